"""Runs what only voters do, whenever this node is one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from bzzz_core.errors import PermissionDenied
from bzzz_core.ports import Clock

_AGAIN_MS: Final = 1_000


class WhileVoting:
    """Starts the duties when the node becomes a voter and cancels them when it stops being one."""

    def __init__(
        self,
        *,
        votes: Callable[[], bool],
        duties: Mapping[str, Callable[[], Coroutine[Any, Any, None]]],
        clock: Clock,
    ) -> None:
        """Start nothing yet.

        Args:
            votes: Whether this node votes now.
            duties: What to run, by name; each is called anew every time.
            clock: For the waits.
        """
        self._votes = votes
        self._duties = dict(duties)
        self._clock = clock
        self._changed = asyncio.Event()

    def look(self) -> None:
        """Ask `votes` again soon."""
        self._changed.set()

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            if self._votes():
                await self._serve()
            else:
                await self._change()

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._keep(duty), name=name)
                for name, duty in self._duties.items()
            ]
            while self._votes():
                await self._change()
            for task in tasks:
                task.cancel()

    async def _keep(self, duty: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run one duty; without the rights for it (the brokers may know better) try again."""
        while True:
            try:
                await duty()
            except PermissionDenied:
                await self._clock.sleep_ms(_AGAIN_MS)
            else:
                return

    async def _change(self) -> None:
        await self._changed.wait()
        self._changed.clear()
