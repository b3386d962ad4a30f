"""Many questions, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from bzzz_core.errors import plainly

Result = TypeVar("Result")


async def in_turns(
    questions: Sequence[Callable[[], Awaitable[Result]]], *, at_once: int
) -> list[Result]:
    """Return all answers in the order of the questions; the first failure ends the others."""
    turns = asyncio.Semaphore(at_once)

    async def ask(question: Callable[[], Awaitable[Result]]) -> Result:
        async with turns:
            return await question()

    with plainly():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(question)) for question in questions]
    return [task.result() for task in tasks]
