"""Being cancelled although the library in between keeps the cancellation to itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def heedful(call: Awaitable[T]) -> T:
    """Await a call of nats-py, and be cancelled afterwards if it kept a cancellation to itself.

    It does so while it waits for room in a socket, and `asyncio.wait_for` of CPython 3.11, which it
    uses, does if the cancellation comes together with the result. A time limit is a cancellation
    too: without this, what it bounds may go on for ever. The call itself is not made shorter.
    """
    task = asyncio.current_task()
    assert task is not None, "awaited in a task"
    before = task.cancelling()
    try:
        return await call
    finally:
        if task.cancelling() > before:
            raise asyncio.CancelledError
