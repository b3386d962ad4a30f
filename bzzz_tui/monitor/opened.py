"""What a session stands on: a cluster that was opened, its feed, and what else it can do.

Whoever opens one (a profile, a demo, a recording) satisfies these; the session and its views ask
for nothing more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from bzzz_tui.feed.log_streams import LogHost
from bzzz_tui.monitor.breaking import Breaking
from bzzz_tui.store import FeedEvent


class Feed(Protocol):
    """What keeps the store up to date, and carries what is asked of the cluster."""

    async def run(self) -> None:
        """Emit events until cancelled."""
        ...

    def hurry(self) -> None:
        """Ask now instead of at the next turn."""
        ...

    def set_refresh_ms(self, refresh_ms: int) -> None:
        """Ask this often from now on."""
        ...

    async def call(
        self, method: str, path: str, body: object | None = None, *, host: str | None = None
    ) -> Any:
        """Ask for an operation of the API: of the host that is watched, or of `host`.

        Raises:
            BzzzError: No connection, or the agent refused.
        """
        ...


class Replaying(Protocol):
    """A recording being played; satisfied by `bzzz_tui.recording.replay`."""

    @property
    def position_ms(self) -> int:
        """Return where it stands, in milliseconds since its beginning."""
        ...

    @property
    def duration_ms(self) -> int:
        """Return its length."""
        ...

    @property
    def paused(self) -> bool:
        """Return whether it is held still."""
        ...

    @property
    def speed(self) -> float:
        """Return how many times as fast as the world it plays."""
        ...

    @property
    def at(self) -> str:
        """Return the time of the day at which it stands, in UTC."""
        ...

    def describe(self) -> str:
        """Return where it stands: `REPLAY 12:03:21 of 12:00:00-12:05:00, x2, paused`."""
        ...

    def pause(self) -> None:
        """Hold still, or go on."""
        ...

    def set_speed(self, speed: float) -> None:
        """Play so many times as fast as the world."""
        ...

    def step(self, direction: int) -> None:
        """Hold still after the next thing that is told (1), or before the last one (-1)."""
        ...

    def skip(self, by_ms: int) -> None:
        """Go forward or back."""
        ...

    def go_to(self, words: str) -> None:
        """Go to a time of the day, or by a duration: `12:03:21`, `+30s`, `-2m`.

        Raises:
            ConfigError: It is neither.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A cluster that is watched from now on, and what its profile allows from here."""

    feed: Feed
    context: str = ""
    """Name of the profile; empty: the name that the cluster gives itself."""
    color: str = ""
    """Ground of the name in the top line: one of the terminal's own colours."""
    production: bool = False
    """What destroys something wants the typed name."""
    write: bool = False
    """Changes are allowed; otherwise the monitor only reads, unless it was told."""
    ssh: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Host name -> the command that opens a shell there."""
    hosts: Callable[[], Sequence[LogHost]] = tuple
    """Gives a way of its own to each host, for whoever asks several at once (their logs)."""
    breaking: Breaking | None = None
    """Breaks its nodes on purpose; None: it is no demo."""
    replay: Replaying | None = None
    """Goes to and fro in a recording; None: it is live."""


OpenCluster: TypeAlias = Callable[[Callable[[FeedEvent], None]], Awaitable[Opened]]
"""Opens a cluster; its feed calls the given function for each event."""
