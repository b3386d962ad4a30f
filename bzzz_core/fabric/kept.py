"""Work that goes on as long as a fabric is attached or tries to be: followers of streams.

Whoever needs it registers it at any time; it starts with the fabric's own task group, so that it
ends with the fabric and its failures are not lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

Work = Callable[[], Coroutine[Any, Any, None]]


class Kept:
    """One piece of such work."""

    def __init__(self, work: Work, on_attach: Callable[[], None], among: list[Kept]) -> None:
        """Use `KeptWork.add`."""
        self.on_attach = on_attach
        self._work = work
        self._among = among
        self._task: asyncio.Task[None] | None = None

    def start(self, group: asyncio.TaskGroup) -> None:
        """Begin the work."""
        self._task = group.create_task(self._work(), name="kept-work")

    def stop(self) -> None:
        """End the work."""
        if self in self._among:
            self._among.remove(self)
        if self._task is not None:
            self._task.cancel()


class KeptWork:
    """All such work of one fabric."""

    def __init__(self) -> None:
        """Start with none."""
        self._all: list[Kept] = []
        self._group: asyncio.TaskGroup | None = None

    def add(self, work: Work, on_attach: Callable[[], None]) -> Kept:
        """Do `work` from now on, or from the start; tell it of each new connection."""
        kept = Kept(work, on_attach, self._all)
        self._all.append(kept)
        if self._group is not None:
            kept.start(self._group)
        return kept

    def start_all(self, group: asyncio.TaskGroup) -> None:
        """Begin everything, and what is added later."""
        self._group = group
        for kept in self._all:
            kept.start(group)

    def ended(self) -> None:
        """Begin nothing more: the group is over."""
        self._group = None

    def attached(self) -> None:
        """Tell everybody of a new connection."""
        for kept in self._all:
            kept.on_attach()
