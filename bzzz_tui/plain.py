"""The monitor as text: for pipes, for programs (`--json`), for screen readers (`--plain`).

The same store and the same words as the screen. A repeated line says the state of the cluster only;
a change is a line of its own, so nothing has to be compared by ear.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from bzzz_core.api.event_documents import Lines
from bzzz_core.errors import BzzzError, ConfigError, plainly
from bzzz_core.model import MemberState
from bzzz_core.ports import Clock
from bzzz_tui import view
from bzzz_tui.feed.opening import Target, open_target
from bzzz_tui.feed.rotation import Pace
from bzzz_tui.monitor.asked import Asked, Call, asked
from bzzz_tui.monitor.nodes import NODES
from bzzz_tui.monitor.tables import as_text
from bzzz_tui.monitor.views import HOME, VIEWS, load, view_named
from bzzz_tui.query import QueryError
from bzzz_tui.store import FeedEvent, Happening, Heard, Link, LinkPhase, Snapshot, Store
from bzzz_tui.wording import ASCII, Glyphs, clean, span

if TYPE_CHECKING:
    from bzzz_tui.recording.format import Recording

EXIT_NOBODY_ANSWERS: Final = 3
_ALMOST: Final = 0.9
"""Of the time between two lines: a beat that comes a little early is not left out."""
HOSTS: Final = replace(
    NODES, hidden=frozenset({"gpus", "rtt", "roles", "models", "languages", "trend"})
)
"""The table of the overview: of a node what fits into a line that is read aloud."""


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """What is printed, and how often."""

    once: bool = False
    as_json: bool = False
    view: str = HOME
    query: str = ""


Text: TypeAlias = Callable[[Store, int, str, Glyphs], list[str]]
Ask: TypeAlias = Callable[[Call, Store], Awaitable[Asked]]


def run(target: Target, *, clock: Clock, pace: Pace, how: How, write: Callable[[str], None]) -> int:
    """Print a view of a cluster once, or whenever it was asked for; return the exit code.

    Raises:
        ConfigError: No such view or none as text, the filter is none, or the target is wrong.
    """
    spec = view_named(how.view)
    try:
        if spec is not None and spec.stream:
            code: int = load(spec.stream)(target, clock=clock, how=how, write=write)
            return code
        text = text_of_view(how.view, how.query)
        printer = Printer(how, text, write)
        ask = load(spec.ask) if spec is not None and spec.ask and not how.as_json else None
        return asyncio.run(_run(target, clock=clock, pace=pace, printer=printer, ask=ask))
    except KeyboardInterrupt:
        return 130


def text_of_view(name: str, query: str = "") -> Text:
    """Return what makes the lines of a view.

    Raises:
        ConfigError: No such view or none as text, or the filter is none.
    """
    spec = view_named(name)
    known = [each.name for each in VIEWS if each.text or each.stream]
    if spec is None or not spec.text:
        raise ConfigError(f"no view {name!r} as text; there are {', '.join(known)}")
    text: Text = load(spec.text)
    try:
        text(Store(now_ms=0), 0, query, ASCII)
    except QueryError as exc:
        raise ConfigError(f"--filter, character {exc.at + 1}: {exc}") from exc
    return text


def replay(
    recording: Recording,
    *,
    clock: Clock,
    pace: Pace,
    speed: float,
    how: How,
    write: Callable[[str], None],
) -> int:
    """Print a view of a recording, at its end or as it is played; return the exit code.

    Raises:
        ConfigError: No such view or none as text, or the filter is none.
    """
    text, spec = text_of_view(how.view, how.query), view_named(how.view)
    if spec is not None and spec.ask:
        raise ConfigError(f"a recording does not have what the view {spec.name} asks for")
    printer = Printer(how, text, write)
    try:
        return asyncio.run(_replay(recording, clock=clock, pace=pace, speed=speed, printer=printer))
    except KeyboardInterrupt:
        return 130


async def _run(
    target: Target, *, clock: Clock, pace: Pace, printer: Printer, ask: Ask | None = None
) -> int:
    events: asyncio.Queue[FeedEvent] = asyncio.Queue()
    follow = not printer.once
    feed = open_target(target, clock=clock, pace=pace, emit=events.put_nowait, follow=follow)
    store, turn = Store(now_ms=clock.now_ms()), _Turn(pace.refresh_ms)
    with plainly():
        async with asyncio.TaskGroup() as group:
            running = group.create_task(feed.run())
            code = None
            while code is None:
                event = await events.get()
                before = len(store.events)
                store.apply(event)
                happened = list(store.events)[before:]
                if isinstance(event, Link):
                    code = printer.link(event, clock.now_ms())
                elif turn.is_due(store, event, clock.now_ms(), happened=bool(happened)):
                    if ask is not None:
                        await _ask(ask, feed.call, store, printer.view)
                    code = printer.answer(store, happened, clock.now_ms())
            running.cancel()
    return code


async def _ask(ask: Ask, call: Call, store: Store, view: str) -> None:
    """Ask for what a view is made of besides what the feed tells; what fails is told with it."""
    try:
        store.asked[view] = await ask(call, store)
    except BzzzError as exc:
        store.asked[view] = Asked(trouble=str(exc))


async def _replay(
    recording: Recording, *, clock: Clock, pace: Pace, speed: float, printer: Printer
) -> int:
    from bzzz_tui.recording.replay import ReplayClock, ReplayFeed  # noqa: PLC0415

    played = ReplayClock(clock)
    store, turn, over = Store(now_ms=0), _Turn(pace.refresh_ms), asyncio.Event()

    def take(event: FeedEvent) -> None:
        before = len(store.events)
        store.apply(event)
        happened = list(store.events)[before:]
        if turn.is_due(store, event, played.now_ms(), happened=bool(happened)):
            printer.answer(store, happened, played.now_ms())
        if feed.ended:
            over.set()

    feed = ReplayFeed(recording, clock=played, emit=take, speed=speed)
    if printer.once or feed.ended:
        feed.finish()
        return 0
    async with asyncio.TaskGroup() as group:
        playing = group.create_task(feed.run())
        await over.wait()
        playing.cancel()
    return 0


class _Turn:
    """Says when the state of the cluster is due to be said again."""

    def __init__(self, every_ms: int) -> None:
        self._every_ms = every_ms
        self._said_ms: int | None = None

    def is_due(self, store: Store, event: FeedEvent, now_ms: int, *, happened: bool) -> bool:
        """Return whether to say it now: something happened, or the last time is long enough ago.

        An answer to a question is always said: the question was asked in time.
        """
        due = isinstance(event, Snapshot) or happened or self._said_ms is None
        due = due or now_ms - (self._said_ms or 0) >= self._every_ms * _ALMOST
        if due and store.status is not None and not _only_lines(event):
            self._said_ms = now_ms
            return True
        return False


def _only_lines(event: FeedEvent) -> bool:
    return isinstance(event, Heard) and isinstance(event.message, Lines)


class Printer:
    """Writes lines; says with which code to end, or None to go on."""

    def __init__(self, how: How, text: Text, write: Callable[[str], None]) -> None:
        """Take what to write, how its lines are made, and where they go."""
        self._how = how
        self._text = text
        self._write = write
        self._said: list[str] = []

    @property
    def view(self) -> str:
        """Return the full name of the view that is printed."""
        spec = view_named(self._how.view)
        return self._how.view if spec is None else spec.name

    @property
    def once(self) -> bool:
        """Return whether one look is all that is wanted."""
        return self._how.once

    def answer(self, store: Store, happened: Sequence[Happening], now_ms: int) -> int | None:
        """Write what a node told."""
        how = self._how
        if how.as_json:
            document: dict[str, Any] = {"source": store.source}
            document |= {"age_ms": store.age_ms(now_ms), "status": store.status}
            self._write(msgspec.json.encode(document).decode())
        elif how.once or how.view != HOME:
            trouble = asked(store, self.view).trouble
            lines = [f"not known: {clean(trouble)}"] if trouble else []
            lines = lines or self._text(store, now_ms, how.query, ASCII)
            if lines != self._said:
                self._write("\n".join(lines if how.once else [*lines, ""]))
            self._said = lines
        else:
            self._write(state_line(store, now_ms=now_ms))
            for happening in happened:
                self._write(f"  {happening.text}")
        return 0 if how.once else None

    def link(self, link: Link, now_ms: int) -> int | None:
        """Write that nobody answers."""
        if link.phase is not LinkPhase.LOST:
            return None
        if self._how.once:
            if self._how.as_json:
                lost = {"source": None, "age_ms": None, "status": None, "error": link.reason}
                self._write(msgspec.json.encode(lost).decode())
            else:
                self._write(f"no host answers: {clean(link.reason)}")
            return EXIT_NOBODY_ANSWERS
        if link.retry_at_ms is not None:
            wait = span((link.retry_at_ms - now_ms) / 1_000)
            self._write(f"no host answers: {clean(link.reason)}; next attempt in {wait}")
        return None


def overview(store: Store, now_ms: int, query: str, glyphs: Glyphs) -> list[str]:
    """Return the whole overview as lines.

    Raises:
        QueryError: The query is none.
    """
    hosts = as_text(HOSTS, store, now_ms, query, glyphs)
    return [state_line(store, now_ms=now_ms), "", *hosts]


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
