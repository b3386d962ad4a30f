"""Records in memory that fail as they are told to, and a clock that needs no waiting.

Each write takes the next fault from the script: `None` lets it through, an error is raised instead
of writing, and `lost(error)` writes first and raises then, as a store whose answer was lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bzzz_core.errors import BzzzError, QuorumUnavailable, RevisionConflict
from bzzz_core.model import Revision, StreamId
from bzzz_core.ports import Guard, Record


@dataclass(frozen=True, slots=True)
class Lost:
    """The write happens, the answer is `error`."""

    error: BzzzError


class ScriptedRecords:
    """One stream; `writes` tells which keys were asked for, `log` what was written."""

    def __init__(
        self, faults: Iterable[BzzzError | Lost | None] = (), *, dedupes: bool = True
    ) -> None:
        """Start with `_term` at revision 1."""
        self.faults = list(faults)
        self.stream = StreamId("scripted")
        self.held: dict[str, Record] = {"_term": Record("_term", b"", Revision(1))}
        self.last = 1
        self.log: list[bytes] = []
        self.asked: list[tuple[bytes, Guard, str | None]] = []
        self.in_flight = 0
        self.in_flight_most = 0
        self.readable = True
        self.before_write: Callable[[], None] = lambda: None
        self._seen: dict[str, Revision] = {}
        self._dedupes = dedupes

    async def read(self, key: str) -> Record | None:
        """Return what is held, or fail while `readable` is off."""
        if not self.readable:
            raise QuorumUnavailable("told so")
        return self.held.get(key)

    async def write(
        self, key: str, value: bytes, guard: Guard, *, request_id: str | None = None
    ) -> Revision:
        """Obey the script."""
        self.asked.append((value, guard, request_id))
        self.in_flight += 1
        self.in_flight_most = max(self.in_flight, self.in_flight_most)
        try:
            await asyncio.sleep(0)
            fault = self.faults.pop(0) if self.faults else None
            if isinstance(fault, BzzzError):
                raise fault
            self.before_write()
            revision = self.put(key, value, guard, request_id)
            if isinstance(fault, Lost):
                raise fault.error
            return revision
        finally:
            self.in_flight -= 1

    def put(self, key: str, value: bytes, guard: Guard, request_id: str | None) -> Revision:
        """Write as the store does."""
        if self._dedupes and request_id in self._seen:
            return self._seen[request_id]
        held = self.held.get(guard.key)
        if (held.revision if held else 0) != guard.revision:
            raise RevisionConflict("told so by the guard")
        self.last += 1
        revision = Revision(self.last)
        self.held[key] = Record(key, value, revision, request_id)
        if key == "log":
            self.log.append(value)
        if request_id is not None:
            self._seen[request_id] = revision
        return revision

    def move_term(self) -> None:
        """Let another leader take over."""
        self.last += 1
        self.held["_term"] = Record("_term", b"another", Revision(self.last))


class JumpingClock:
    """Sleeping takes no time but moves the clock."""

    def __init__(self) -> None:
        """Start at zero."""
        self.ms = 0
        self.slept: list[int] = []

    def now_ms(self) -> int:
        """Return the milliseconds slept so far."""
        return self.ms

    async def sleep_ms(self, duration_ms: int) -> None:
        """Jump."""
        self.ms += duration_ms
        self.slept.append(duration_ms)
        await asyncio.sleep(0)
