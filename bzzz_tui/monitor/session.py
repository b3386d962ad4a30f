"""One watched cluster: its feed, what is known of it, and what the operator may do to it.

Theory of operation
-------------------
The session lives in the app for as long as one cluster is watched; views come and go over it. One
view at a time is *attached*: the one on the screen. An event of the feed is folded into the store
at once, whoever looks; the attached view is told "something waits" once, and takes everything that
came since in one go (`take`). So a slow terminal gets fewer, larger changes and never a queue of
them, and a hidden view costs nothing.

While paused nobody is told; what waits is taken when the operator goes on.

Rules: no Textual. A view is told by `Listener.store_changed`, which must only post a message.
Widgets read the store and never write it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Final, Protocol

from bzzz_core.errors import BzzzError, PermissionDenied, TransportError
from bzzz_core.ports import Clock
from bzzz_tui.monitor.breaking import Breaking
from bzzz_tui.monitor.opened import OpenCluster, Opened, Replaying
from bzzz_tui.monitor.top import STALE_MS
from bzzz_tui.store import Changes, FeedEvent, Happening, Link, LinkPhase, Store

LINES_MAX: Final = 5_000
"""Lines of logs that wait while painting is held; older ones are let go."""
_MANY_ROWS: Final = 1_000
HISTORY_MAX: Final = 100
"""Lines that the command line remembers."""


@dataclass(slots=True)
class ViewState:
    """What a view shows and where its cursor is; kept while the view is away."""

    cursor: str | None = None
    filter: str = ""
    sort: tuple[str, bool] | None = None
    """Key of the column, and whether the largest comes first; None: the natural order."""
    columns: tuple[str, ...] = ()
    """Keys of the columns that are wanted; empty: all."""
    wide: bool = False
    """All columns, beyond the edge if need be, instead of the most important ones."""
    first: int = 0
    """How many columns are scrolled out at the left; the first column always stays."""
    marks: set[str] = field(default_factory=set)
    more: dict[str, Any] = field(default_factory=dict)
    """Whatever else a view wants to find again."""


class Listener(Protocol):
    """The view on the screen."""

    def store_changed(self) -> None:
        """Post a message to take what waits; not called again before it was taken."""
        ...


class MonitorSession:
    """Feeds the store and tells the view on the screen."""

    def __init__(
        self,
        open_cluster: OpenCluster,
        *,
        clock: Clock,
        context: str = "",
        write: bool = False,
        refresh_ms: int | None = None,
        on_failed: Callable[[BzzzError], None] = lambda _error: None,
    ) -> None:
        """Open nothing yet.

        Args:
            open_cluster: Opens it; called once, by `run`.
            clock: Measures every age.
            context: What it is called here, as far as that is known already.
            write: The operator asked for changes to be allowed, whatever the profile says.
            refresh_ms: How often the feed asks, as it was opened.
            on_failed: Told when there is no feed and there will be none.
        """
        self.clock = clock
        self.store = Store(now_ms=clock.now_ms())
        self.opened: Opened | None = None
        self.paused_ms: int | None = None
        """Since when painting is held; None: it is not."""
        self.failed: BzzzError | None = None
        self.busy = 0
        """Changes of the cluster under way."""
        self.history: list[str] = []
        """What was typed on the command line, oldest first."""
        self.views: dict[str, ViewState] = {}
        self._on_failed = on_failed
        self._open_cluster = open_cluster
        self._context = context
        self._write = write
        self._refresh_ms = refresh_ms
        self._listener: Listener | None = None
        self._settled = 0
        self._waiting: Changes | None = None
        self._told = False

    @property
    def context(self) -> str:
        """Return what the cluster is called here; empty: not known yet."""
        named = self.opened.context if self.opened else self._context
        if named or self.store.head is None:
            return named
        return self.store.head.cluster.name

    @property
    def badge(self) -> tuple[str, str] | None:
        """Return name and colour of the cluster for the top line; None: it has no colour."""
        color = self.opened.color if self.opened else ""
        return (self.context, color) if color and self.context else None

    @property
    def can_write(self) -> bool:
        """Return whether the cluster may be changed from here."""
        return self._write or (self.opened is not None and self.opened.write)

    @property
    def stale_ms(self) -> int:
        """Return from which age on data is old: three times the time between two questions."""
        return max(STALE_MS, 3 * (self._refresh_ms or 0))

    @property
    def started(self) -> bool:
        """Return whether the feed was opened, or could not be."""
        return self.opened is not None or self.failed is not None

    def state(self, view: str) -> ViewState:
        """Return what a view left behind, or what it begins with."""
        return self.views.setdefault(view, ViewState())

    async def run(self) -> None:
        """Watch until cancelled. A feed that cannot be opened is told, not raised."""
        try:
            self.opened = await self._open_cluster(self._take)
            await self.opened.feed.run()
        except BzzzError as exc:
            # Not a host that is silent (the feed handles that): the profile or a key is wrong.
            self.failed = exc
            now_ms = self.clock.now_ms()
            self._take(Link(phase=LinkPhase.LOST, host=None, since_ms=now_ms, reason=str(exc)))
            self._on_failed(exc)

    def attach(self, listener: Listener) -> None:
        """Tell this view from now on; it is up to date when it has painted everything once."""
        self._listener, self._waiting, self._told = listener, None, False

    def detach(self, listener: Listener) -> None:
        """Tell nobody, if it was this view that was told."""
        if self._listener is listener:
            self._listener = None

    def take(self) -> Changes:
        """Return everything that changed since the last time."""
        taken, self._waiting, self._told = self._waiting or Changes(), None, False
        return taken

    def pause(self) -> bool:
        """Hold painting, or go on; return whether it is held now."""
        if self.paused_ms is None:
            self.paused_ms = self.clock.now_ms()
            return True
        self.paused_ms = None
        self._tell()
        return False

    def refresh_now(self) -> None:
        """Ask the cluster now."""
        if self.opened is not None:
            self.opened.feed.hurry()

    def set_refresh_ms(self, refresh_ms: int) -> None:
        """Ask the cluster this often from now on."""
        self._refresh_ms = refresh_ms
        if self.opened is not None:
            self.opened.feed.set_refresh_ms(refresh_ms)

    def remember(self, line: str) -> None:
        """Keep a line of the command line."""
        if not self.history or self.history[-1] != line:
            self.history.append(line)
            del self.history[:-HISTORY_MAX]

    @property
    def breaking(self) -> Breaking | None:
        """Return what breaks nodes of this cluster; None: it is no demo."""
        return self.opened.breaking if self.opened is not None else None

    @property
    def replay(self) -> Replaying | None:
        """Return the recording that is played; None: this is live."""
        return self.opened.replay if self.opened is not None else None

    def remark(self, happening: Happening) -> None:
        """Put a line among what happened: something that was done from here."""
        self.store.events.append(happening)
        changes = Changes(happened=1)
        if self._listener is not None:
            self._waiting = changes if self._waiting is None else merged(self._waiting, changes)
            self._tell()

    async def call(
        self,
        method: str,
        path: str,
        body: object | None = None,
        *,
        host: str | None = None,
        reads: bool = False,
    ) -> Any:
        """Ask for an operation of the API; anything but reading must be allowed.

        Args:
            method: Anything but `GET` changes the cluster,
            path: Of the operation.
            body: What it takes.
            host: Whom to ask; None: the node that answers now.
            reads: unless this says that it only reads, whatever its method.

        Raises:
            PermissionDenied: The monitor only reads here.
            BzzzError: No connection, or the agent refused.
        """
        changes = method != "GET" and not reads
        if changes and not self.can_write:
            raise PermissionDenied("this monitor only reads; start it with --write")
        if self.opened is None:
            raise TransportError("not connected to the cluster yet")
        self.busy += changes
        try:
            return await self.opened.feed.call(method, path, body, host=host)
        finally:
            self.busy -= changes

    def _take(self, event: FeedEvent) -> None:
        changes = self.store.apply(event)
        if changes.order and len(self.store.rows) >= self._settled + _MANY_ROWS:
            # Rows stay, and are in no cycle. A full collection that looks at 10,000 of them stops
            # the program for 100 ms and more (measured), every few seconds.
            self._settled = len(self.store.rows)
            gc.freeze()
        if self._listener is None:
            return  # Whoever attaches paints everything.
        self._waiting = changes if self._waiting is None else merged(self._waiting, changes)
        self._tell()

    def _tell(self) -> None:
        waits = self._waiting is not None and self.paused_ms is None
        if waits and self._listener is not None and not self._told:
            self._told = True
            self._listener.store_changed()


def merged(one: Changes, other: Changes) -> Changes:
    """Return two changes as one: sets united, counts and lines added, either is both."""
    values: dict[str, Any] = {}
    for each in fields(Changes):
        a, b = getattr(one, each.name), getattr(other, each.name)
        adds = isinstance(a, int | tuple) and not isinstance(a, bool)
        values[each.name] = a + b if adds else a | b
    if len(values["lines"]) > LINES_MAX:
        values["lines"] = values["lines"][-LINES_MAX:]
    return Changes(**values)
