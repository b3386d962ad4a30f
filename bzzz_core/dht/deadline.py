"""A bound in time for one operation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bzzz_core.errors import RequestTimeout


@asynccontextmanager
async def within(timeout_ms: int, what: str) -> AsyncIterator[None]:
    """Cut off what takes longer.

    Raises:
        RequestTimeout: It did; a write may have happened all the same.
    """
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            yield
    except TimeoutError as exc:
        raise RequestTimeout(f"{what}: no answer within {timeout_ms} ms") from exc
