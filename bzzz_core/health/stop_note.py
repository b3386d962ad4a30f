"""How often in a row an agent stopped itself for its health; keeps restarts from becoming a storm.

An agent that finds itself sick ends, and systemd starts it anew. Where that does not help, it would
go on so for ever, each time taking a voter away. So it leaves a note when it ends this way, and the
next life waits twice as long before it gives up for the same reason; a life of `WELL_MS` without
that takes the note away.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import msgspec

from bzzz_core.errors import BzzzError, TrustError
from bzzz_core.health.own_thread import OwnThread
from bzzz_core.trust import private_files

PATIENCE_MS_MIN: Final = 60_000
"""How long a critical check may stay so in a life after a good one. It bounds the restarts to one a
minute; whatever needs to be faster than that has a way of its own (leadership, the watchdog)."""
PATIENCE_MS_MAX: Final = 32 * PATIENCE_MS_MIN
WELL_MS: Final = 3_600_000
_WRITE_MS_MAX: Final = 2_000


class _Note(msgspec.Struct, frozen=True):
    check: Annotated[str, msgspec.Meta(max_length=100)]
    times: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class StopNote:
    """The note in one node's data directory; satisfies `service.Patience`."""

    def __init__(self, data: Path) -> None:
        """Read what the life before left."""
        self._path = data / "health-stop"
        self._note = _read(self._path)
        self._thread = OwnThread("health-stop-note")

    def patience_ms(self, check: str) -> int:
        """Return how long `check` may stay critical before the agent ends for it."""
        return min(PATIENCE_MS_MIN << min(self._times(check), 10), PATIENCE_MS_MAX)

    async def add(self, check: str) -> None:
        """Write down that the agent ends for this; a disk that refuses is left alone."""
        note = _Note(check, self._times(check) + 1)
        await self._do(partial(private_files.replace, self._path, msgspec.json.encode(note)))

    async def clear(self) -> None:
        """Take the note away: this life was a good one."""
        self._note = None
        await self._do(partial(self._path.unlink, missing_ok=True))

    def _times(self, check: str) -> int:
        return self._note.times if self._note is not None and self._note.check == check else 0

    async def _do(self, work: Callable[[], object]) -> None:
        with contextlib.suppress(BzzzError, OSError):  # A time that is over is one of these.
            async with asyncio.timeout(_WRITE_MS_MAX / 1000):
                await self._thread.do(work)


def _read(path: Path) -> _Note | None:
    try:
        return msgspec.json.decode(private_files.read(path), type=_Note)
    except (TrustError, ValueError):
        return None
