"""Keeps a run's leases alive while it works, one task a host."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from bzzz_core.clock import utc_now
from bzzz_core.deploy.lease import BEAT_MS, Lease
from bzzz_core.errors import BzzzError, LeaseLost
from bzzz_core.ports import Clock

T = TypeVar("T")


async def while_kept(
    leases: Mapping[str, Lease],
    work: Callable[[], Awaitable[T]],
    *,
    clock: Clock,
    step: Callable[[str], str],
    lost: Callable[[str, LeaseLost], None],
) -> T:
    """Do the work; meanwhile every lease gets its heartbeat.

    Args:
        leases: By host.
        work: What is done.
        clock: For the pauses.
        step: Returns what a host is doing, for the lease.
        lost: Told when another run has taken a host; nothing further may be done there.

    Raises:
        BzzzError: As `work`.
    """
    async with asyncio.TaskGroup() as group:
        beats = [
            group.create_task(_beat(name, lease, clock, step, lost))
            for name, lease in leases.items()
        ]
        outcome: T | BzzzError
        try:
            outcome = await work()
        except BzzzError as exc:
            outcome = exc  # a group would wrap it
        for task in beats:
            task.cancel()
    if isinstance(outcome, BzzzError):
        raise outcome
    return outcome


async def _beat(
    name: str,
    lease: Lease,
    clock: Clock,
    step: Callable[[str], str],
    lost: Callable[[str, LeaseLost], None],
) -> None:
    while True:
        await clock.sleep_ms(BEAT_MS)
        try:
            await lease.beat(step(name), utc_now())
        except LeaseLost as exc:
            lost(name, exc)
            return
        except BzzzError:
            continue  # a link that is lost now may be there at the next beat
