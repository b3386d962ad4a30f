"""The monitor as text: for pipes, for programs (`--json`), for screen readers (`--plain`).

The same store and the same words as the screen. A repeated line says the state of the cluster only;
a change is a line of its own, so nothing has to be compared by ear.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec

from bzzz_core.errors import plainly
from bzzz_core.model import MemberState
from bzzz_core.ports import Clock
from bzzz_tui import view
from bzzz_tui.feed.opening import Target, open_target
from bzzz_tui.feed.rotation import Pace
from bzzz_tui.parts import text_of
from bzzz_tui.store import FeedEvent, Link, LinkPhase, Snapshot, Store
from bzzz_tui.widgets.columns import Column, Placed
from bzzz_tui.wording import ASCII, Glyphs, clean, span

EXIT_NOBODY_ANSWERS: Final = 3
_WIDTHS: Final = {"name": 20, "address": 24, "version": 10}
_COLUMNS: Final = tuple(
    Placed(column, _WIDTHS.get(column.key, column.width))
    for column in view.COLUMNS
    if column.key not in {"trend", "cpu"}
)
_CPU: Final = Placed(Column(key="cpu", title="CPU", width=5), 5)


def run(
    target: Target,
    *,
    clock: Clock,
    pace: Pace,
    once: bool,
    as_json: bool,
    write: Callable[[str], None],
) -> int:
    """Print the state of a cluster once, or whenever it was asked for; return the exit code."""
    try:
        return asyncio.run(
            _run(target, clock=clock, pace=pace, once=once, as_json=as_json, write=write)
        )
    except KeyboardInterrupt:
        return 130


async def _run(
    target: Target,
    *,
    clock: Clock,
    pace: Pace,
    once: bool,
    as_json: bool,
    write: Callable[[str], None],
) -> int:
    events: asyncio.Queue[FeedEvent] = asyncio.Queue()
    feed = open_target(target, clock=clock, pace=pace, emit=events.put_nowait)
    store = Store(now_ms=clock.now_ms())
    with plainly():
        async with asyncio.TaskGroup() as group:
            running = group.create_task(feed.run())
            code = None
            while code is None:
                event = await events.get()
                before = len(store.events)
                store.apply(event)
                if isinstance(event, Snapshot):
                    _print_answer(store, event, clock, once=once, as_json=as_json, write=write)
                    for happening in list(store.events)[before:] if not (once or as_json) else []:
                        write(f"  {happening.text}")
                    code = 0 if once else None
                elif once and event.phase is LinkPhase.LOST:
                    _print_lost(event, as_json=as_json, write=write)
                    code = EXIT_NOBODY_ANSWERS
                elif event.phase is LinkPhase.LOST and event.retry_at_ms is not None:
                    wait = span((event.retry_at_ms - clock.now_ms()) / 1_000)
                    write(f"no host answers: {clean(event.reason)}; next attempt in {wait}")
            running.cancel()
    return code


def table(store: Store, *, now_ms: int, glyphs: Glyphs = ASCII) -> str:
    """Return the whole overview as lines of text."""
    lines = [state_line(store, now_ms=now_ms), ""]
    placed = (*_COLUMNS[:3], _CPU, *_COLUMNS[3:])
    lines.append("  ".join(_set(p, p.column.title) for p in placed).rstrip())
    for row in (store.rows[i] for i in store.order):
        cells = view.cells(row, store.age_ms(now_ms) or 0, placed, glyphs)
        texts = [text_of(cell).strip() for cell in cells]
        texts[3] = texts[3].split(" ")[0]
        lines.append(
            "  ".join(_set(p, text) for p, text in zip(placed, texts, strict=True)).rstrip()
        )
    return "\n".join(lines)


def state_line(store: Store, *, now_ms: int) -> str:
    """Return the state of the cluster in one line that reads well aloud."""
    status = store.status
    if status is None:
        return "unknown: no answer yet"
    _, word, detail = view.verdict(store, now_ms)
    leader = f"leader {clean(status.leader)}" if status.leader else "no leader"
    alive, voters = store.voters()
    up = sum(member.state is MemberState.ALIVE for member in status.members)
    age = span((store.age_ms(now_ms) or 0) / 1_000)
    return (
        f"{clean(status.cluster.name)}: {word}, {detail}; {leader}, term {status.term}; "
        f"quorum {alive} of {voters}; nodes {up} of {len(status.members)}; "
        f"fabric {status.fabric.state.value}; from {store.source}, {age} old"
    )


def _set(placed: Placed, text: str) -> str:
    return text.rjust(placed.width) if placed.column.right else text.ljust(placed.width)


def _print_answer(
    store: Store,
    event: Snapshot,
    clock: Clock,
    *,
    once: bool,
    as_json: bool,
    write: Callable[[str], None],
) -> None:
    now_ms = clock.now_ms()
    if as_json:
        age_ms = now_ms - event.received_ms
        document: dict[str, Any] = {"source": event.source, "age_ms": age_ms}
        write(msgspec.json.encode({**document, "status": event.status}).decode())
    else:
        write(table(store, now_ms=now_ms) if once else state_line(store, now_ms=now_ms))


def _print_lost(link: Link, *, as_json: bool, write: Callable[[str], None]) -> None:
    if as_json:
        lost = {"source": None, "age_ms": None, "status": None, "error": link.reason}
        write(msgspec.json.encode(lost).decode())
    else:
        write(f"no host answers: {clean(link.reason)}")
