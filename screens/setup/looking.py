"""Looking at hosts, several at a time, and what came of it put where all steps see it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from bzzz_core.deploy.unforeseen import foreseen
from bzzz_core.errors import BzzzError
from screens.setup.context import Context
from screens.setup.engine import Look, LookState

_AT_ONCE: Final = 8


async def look_at(context: Context, names: Sequence[str], looked: Callable[[], None]) -> None:
    """Look at hosts of the answers; `looked` is called whenever something came of it."""
    limit = asyncio.Semaphore(_AT_ONCE)
    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(_look_at_one(context, name, limit, looked))


async def _look_at_one(
    context: Context, name: str, limit: asyncio.Semaphore, looked: Callable[[], None]
) -> None:
    spec = context.draft.spec()
    host = next((host for host in context.draft.hosts if host.name == name), None)
    if spec is None or host is None:
        return
    context.take_look(host)
    context.looks[name] = Look(state=LookState.LOOKING)
    looked()
    wanted = next(entry for entry in spec.hosts if entry.name == name)
    async with limit:
        try:
            with foreseen(name):
                context.looks[name] = await context.engine.look(spec, wanted)
        except BzzzError as exc:
            context.looks[name] = Look(state=LookState.FAILED, words=str(exc))
    looked()
