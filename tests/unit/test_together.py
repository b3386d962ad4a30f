"""Things done at once: when it is over, nothing of it goes on."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from bzzz_core.deploy.together import together


async def failing(text: str) -> None:
    raise ValueError(text)


def test_what_went_wrong_is_raised_when_all_are_over() -> None:
    over: list[str] = []

    async def slow() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        over.append("slow")

    async def work() -> None:
        with suppress(ValueError):
            await together([failing("odd"), slow()])
        over.append("together")

    asyncio.run(work())
    assert over == ["slow", "together"]


def test_nothing_that_went_wrong_is_lost() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(together([failing("odd"), asyncio.sleep(0), failing("even")]))
    assert [str(one) for one in caught.value.exceptions] == ["odd", "even"]


def test_who_is_cut_off_waits_until_all_have_let_go() -> None:
    over: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            over.append("slow")

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None

        async def quick() -> None:
            task.cancel()
            await asyncio.Event().wait()

        with suppress(asyncio.CancelledError):
            await together([slow(), quick()])
        over.append("together")

    asyncio.run(work())
    assert over == ["slow", "together"]
