"""Out of a table: into a file, or onto the clipboard of the operator's own terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bzzz_core.clock import utc_now
from bzzz_core.errors import ConfigError
from bzzz_tui.app_base import CLIPBOARD_BYTES_MAX, AppBase
from bzzz_tui.monitor import export as files
from bzzz_tui.monitor.tables import as_text
from bzzz_tui.wording import Tone

if TYPE_CHECKING:
    from screens.monitor.arranged import ArrangedView
    from screens.monitor.base import MonitorView


def copy(view: MonitorView, lines: Sequence[str]) -> None:
    """Put lines onto the clipboard, and say so."""
    if not lines:
        return
    text = "\n".join(lines)
    if not cast("AppBase", view.app).copy_text(text):
        limit = CLIPBOARD_BYTES_MAX // 1_000
        view.say(f"too much for a terminal's clipboard ({limit} kB); use :export", Tone.WARN)
        return
    what = f"{lines[0][:60]}" if len(lines) == 1 else f"{len(lines)} lines"
    view.say(f"copied {what}, if the terminal takes OSC 52")


def export(view: ArrangedView, words: str) -> None:
    """Write what a table shows, or what is marked in it, into a file; answer when it is written.

    Raises:
        ConfigError: No such format.
    """
    kind, path, replace = files.parse(words, view=view.VIEW, at=utc_now())
    save(view, path, _content(view, kind), replace=replace)


def save(view: MonitorView, path: Path, content: str, *, replace: bool) -> None:
    """Write a file, and answer when it is written."""
    cast("AppBase", view.app).start_service(_write(view, path, content, replace=replace))


def _content(view: ArrangedView, kind: str) -> str:
    store, spec = view.session.store, view.SPEC
    ids = view.meant() if view.state.marks else list(view.arrangement.shown)
    match kind:
        case "csv":
            return files.as_csv(spec, store, ids)
        case "json":
            return files.as_json(spec, store, ids)
        case "svg":
            return view.app.export_screenshot(title=f"bzzz {view.VIEW}")
        case _:
            now_ms, query = view.session.clock.now_ms(), view.state.filter
            return "\n".join(as_text(spec, store, now_ms, query, view.glyphs)) + "\n"


async def _write(view: MonitorView, path: Path, content: str, *, replace: bool) -> None:
    try:
        await asyncio.to_thread(files.write, path, content, replace=replace)
    except ConfigError as exc:
        view.shell.say(str(exc), Tone.BAD)
    else:
        view.shell.say(f"wrote {path}")
