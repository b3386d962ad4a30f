"""A cancellation that a library keeps to itself is felt all the same."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from bzzz_core.fabric.heedful import heedful


async def deaf(then: Exception | None = None) -> str:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    if then is not None:
        raise then
    return "done all the same"


def test_a_swallowed_cancellation_ends_the_caller() -> None:
    async def scenario() -> None:
        caller = asyncio.ensure_future(heedful(deaf()))
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.wait({caller})
        assert caller.cancelled()

    asyncio.run(scenario())


def test_a_failure_does_not_hide_it() -> None:
    async def scenario() -> None:
        caller = asyncio.ensure_future(heedful(deaf(OSError("no"))))
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.wait({caller})
        assert caller.cancelled()

    asyncio.run(scenario())


def test_a_time_limit_around_it_holds() -> None:
    async def scenario() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await heedful(deaf())

    asyncio.run(scenario())


def test_the_clean_up_of_a_task_that_is_being_cancelled_goes_on() -> None:
    """It was cancelled before; what it awaits now in its `finally` is not."""

    async def quick() -> str:
        await asyncio.sleep(0)
        return "tidied"

    async def work(tidied: list[str]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            tidied.append(await heedful(quick()))

    async def scenario() -> None:
        tidied: list[str] = []
        worker = asyncio.ensure_future(work(tidied))
        await asyncio.sleep(0)
        worker.cancel()
        await asyncio.wait({worker})
        assert tidied == ["tidied"]

    asyncio.run(scenario())
