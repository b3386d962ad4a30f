"""The running part of a log view: its streams, and searches that take longer than a moment.

Lines that come are gathered for `_GATHER_S` before they are shown: a screen that scrolls at 100
lines a second is read by nobody, and each painting of a full screen costs about 4 ms. Searching is
done in slices of `_SLICE_MS`, a costly pattern in a thread that is told to stop as soon as
somebody looks for something else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from bzzz_tui.app_base import AppBase, end_service
from bzzz_tui.feed.log_streams import Heard, LogEvent, LogHost, LogStreams, Place, Wrote
from bzzz_tui.logs.book import Change
from bzzz_tui.logs.entry import Entry
from bzzz_tui.logs.selection import Scan
from bzzz_tui.logs.shown import ShownLines

if TYPE_CHECKING:
    from screens.monitor.base import MonitorView

_GATHER_S: Final = 0.3
_FIRST_S: Final = 0.05
_AGAIN_S: Final = 0.005
_SLICE_MS: Final = 8


class LogWork:
    """What goes on behind one log view while it is open."""

    def __init__(
        self,
        view: MonitorView,
        lines: ShownLines,
        places: dict[str, Place],
        *,
        changed: Callable[[Change], None],
        renewed: Callable[[], None],
    ) -> None:
        """Do nothing yet.

        Args:
            view: Whose app runs it.
            lines: Where lines go.
            places: Where each host's stream stands; kept by whoever opens the view again.
            changed: Called when lines came or went, at most every `_GATHER_S`.
            renewed: Called when a filter or a search got further.
        """
        self.problems: dict[str, str] = {}
        """Host -> why nothing comes from it."""
        self.hosts: tuple[str, ...] = ()
        """Hosts that are followed."""
        self._view = view
        self._lines = lines
        self._places = places
        self._changed = changed
        self._renewed = renewed
        self._waiting: list[Wrote] = []
        self._due = False
        self._seen_any = False
        self._working = False
        self._wanted: int = 0
        """Counts what was asked for; a search for anything older stops."""
        self._following: asyncio.Task[None] | None = None

    @property
    def started(self) -> bool:
        """Return whether anybody is followed."""
        return self._following is not None

    def follow(self, hosts: tuple[LogHost, ...]) -> None:
        """Follow these hosts instead of whomever was followed."""
        self.stop_following()
        self.hosts = tuple(host.name for host in hosts)
        self.problems = {}
        app = cast("AppBase", self._view.app)
        clock = self._view.session.clock
        streams = LogStreams(hosts, clock=clock, emit=self._take, places=self._places)
        self._following = app.start_service(streams.run())

    def stop_following(self) -> None:
        """Follow nobody."""
        if self._following is not None:
            end_service(self._following)
            self._following = None

    def stop(self) -> None:
        """Follow nobody, and look for nothing."""
        self.stop_following()
        self._wanted += 1

    # ---- lines that come

    def _take(self, event: LogEvent) -> None:
        match event:
            case Heard():
                if event.problem:
                    self.problems[event.host] = event.problem
                else:
                    self.problems.pop(event.host, None)
                self._soon()
            case Wrote():
                self._waiting.append(event)
                self._soon()

    def _soon(self) -> None:
        if not self._due and self._view.stands:
            self._due = True
            self._view.set_timer(_GATHER_S if self._seen_any else _FIRST_S, self.flush)

    def flush(self) -> None:
        """Take in what waits."""
        self._due = False
        waiting, self._waiting = self._waiting, []
        came: list[Entry] = []
        fell = 0
        for wrote in waiting:
            change = self._lines.add(wrote.node, wrote.lines, missed=wrote.missed)
            came += change.came
            fell += change.fell
        self._seen_any = self._seen_any or bool(came)
        self._changed(Change(tuple(came), fell))
        self.work()

    # ---- filters and searches

    def anew(self) -> None:
        """Begin what was asked for just now, and end what was asked for before."""
        self._wanted += 1
        self.work()

    def work(self) -> None:
        """Do a slice; go on in a moment while something is due."""
        end_ms = self._view.session.clock.now_ms() + _SLICE_MS
        self._lines.work(lambda: self._view.session.clock.now_ms() < end_ms)
        scan = self._lines.costly_work()
        if scan is not None:
            self._in_thread(scan)
        elif self._lines.progress is not None and not self._working:
            self._view.set_timer(_AGAIN_S, self.work)
        self._renewed()

    def _in_thread(self, scan: Scan) -> None:
        if not self._working:
            self._working = True
            cast("AppBase", self._view.app).start_service(self._scan(scan, self._wanted))

    async def _scan(self, scan: Scan, wanted: int) -> None:
        try:
            await asyncio.to_thread(scan.advance, lambda: self._wanted == wanted)
        finally:
            self._working = False
        if self._view.stands:
            self.work()
