"""The application under the screens: colours, keys that work everywhere, and how it fails.

Rules of this file: the only one that touches private names of Textual; the theme is registered and
chosen in the constructor, because colour filters are; a crash restores the terminal, says one line
and leaves a report without local variables, for those could hold a secret.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import traceback
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, ClassVar, Final

from rich.segment import Segments
from rich.text import Text
from textual.app import App
from textual.binding import BindingType
from textual.theme import Theme

from bzzz_core.ports import Clock
from bzzz_tui.actions import Scope, bindings
from bzzz_tui.palette import palette_of
from bzzz_tui.terminal import Terminal
from bzzz_tui.wording import ASCII, UNICODE, Glyphs
from themes.loader import ThemeSpec, load

_INTERRUPTED: Final = 130


class AppBase(App[int], inherit_bindings=False):
    """Textual's App, made ours."""

    CSS_PATH = Path(__file__).with_name("app.tcss")
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Scope.EVERYWHERE)]
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012  Textual declares it as an instance variable
        (0, "-tiny"),
        (40, "-narrow"),
        (100, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-flat"),
        (12, "-short"),
        (20, "-normal"),
        (32, "-tall"),
    ]

    def __init__(self, *, terminal: Terminal, clock: Clock) -> None:
        """Take what the terminal can show and the clock every age is measured by."""
        spec = load(terminal.theme)
        # ansi_color is decided here because NO_COLOR's filter is chosen inside.
        super().__init__(ansi_color=True if spec.ansi else None)
        self.palette = palette_of(spec)
        self.register_theme(_textual_theme(spec))
        self.theme = spec.name
        self.terminal = terminal
        self.clock = clock
        self.animation_level = "none"
        self.crash_report: Path | None = None
        self._services: set[asyncio.Task[None]] = set()

    def on_mount(self) -> None:
        """End in order when the terminal is closed or the process is asked to end.

        Otherwise a demo's directory, with its keys, would stay behind.
        """
        for number in (signal.SIGHUP, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self.exit, _INTERRUPTED)

    @property
    def glyphs(self) -> Glyphs:
        """Return the symbols this terminal can show."""
        return ASCII if self.terminal.ascii else UNICODE

    def start_service(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` until it ends, is cancelled, or the app ends; the app waits for its end.

        Textual's workers are cancelled two or three times over when a screen closes, which would
        cut short what they do in `finally`: stopping a demo's processes, closing connections.
        """
        service = asyncio.ensure_future(work)
        self._services.add(service)
        service.add_done_callback(self._service_ended)
        return service

    def _service_ended(self, service: asyncio.Task[None]) -> None:
        self._services.discard(service)
        error = None if service.cancelled() else service.exception()
        if isinstance(error, Exception):
            self._handle_exception(error)

    async def action_quit(self) -> None:
        """Quit; services are cancelled, and waited for."""
        self.exit(0)

    async def _shutdown(self) -> None:
        await super()._shutdown()
        services = list(self._services)
        for service in services:
            end_service(service)
        await asyncio.gather(*services, return_exceptions=True)

    def _fatal_error(self) -> None:
        """Replace Textual's traceback, which would print local variables, by one line."""
        self.crash_report = _write_report(traceback.format_exc())
        line = Text(
            f"bzzz-tui stopped because of a fault of its own. Report: {self.crash_report}",
            style="bold red",
        )
        self._exit_renderables.append(Segments(self.console.render(line, self.console.options)))
        self._close_messages_no_wait()


def end_service(service: asyncio.Task[None]) -> None:
    """Cancel a service, but only once: what it does to end in order is not disturbed."""
    if not service.done() and not service.cancelling():
        service.cancel()


def _write_report(text: str) -> Path:
    descriptor, name = tempfile.mkstemp(prefix="bzzz-tui-crash-", suffix=".txt")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return Path(name)


def _textual_theme(spec: ThemeSpec) -> Theme:
    c = spec.colors
    cursor_text = c.on_accent if spec.ansi else c.foreground
    return Theme(
        name=spec.name,
        ansi=spec.ansi,
        dark=spec.dark,
        primary=c.accent,
        secondary=c.info,
        accent=c.accent,
        success=c.ok,
        warning=c.warn,
        error=c.bad,
        foreground=c.foreground,
        background=c.background,
        surface=c.surface,
        panel=c.panel,
        boost=c.panel,
        variables={
            "ansi-background": c.background,
            "ansi-foreground": c.foreground,
            "bz-text": c.foreground,
            "bz-muted": c.muted,
            "bz-rule": c.rule,
            "bz-cursor": c.cursor,
            "bz-info": c.info,
            "bz-on-accent": c.on_accent,
            "bz-panel": c.panel,
            "bz-surface": c.surface,
            "input-cursor-background": c.accent if not spec.ansi else "ansi_white",
            "input-cursor-foreground": c.on_accent,
            "input-selection-background": c.cursor,
            "block-cursor-background": c.cursor,
            "block-cursor-foreground": cursor_text,
            "scrollbar": c.rule,
            "scrollbar-hover": c.muted,
            "scrollbar-active": c.accent,
            "scrollbar-background": c.background,
            "scrollbar-background-hover": c.background,
            "scrollbar-background-active": c.background,
            "scrollbar-corner-color": c.background,
        },
    )
