"""The number of a request follows the code that works for it, and nothing hostile gets into it."""

import asyncio
import re
import threading
from itertools import cycle

import pytest

from bzzz_core.telemetry import tracing

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_outside_of_a_request_there_is_none() -> None:
    assert tracing.current() == tracing.Request("", "")


def test_what_runs_inside_works_for_the_request_and_the_one_around_comes_back() -> None:
    with tracing.request(trace=TRACE, request="r-1"):
        with tracing.request(request="r-2") as inner:
            assert inner == tracing.current() == tracing.Request(TRACE, "r-2")
        assert tracing.current() == tracing.Request(TRACE, "r-1")
    assert tracing.current().trace == ""


async def _current() -> str:
    await asyncio.sleep(0)
    return tracing.current().trace


def test_tasks_and_threads_inherit_it_and_neighbours_do_not() -> None:
    async def run() -> list[str]:
        async with asyncio.TaskGroup() as tasks:
            with tracing.request(trace=TRACE):
                inside = tasks.create_task(_current())
                thread = await asyncio.to_thread(tracing.current)
            outside = tasks.create_task(_current())
        return [inside.result(), thread.trace, outside.result()]

    assert asyncio.run(run()) == [TRACE, TRACE, ""]


def test_a_bare_thread_works_for_nobody() -> None:
    found: list[str] = []
    with tracing.request(trace=TRACE):
        thread = threading.Thread(target=lambda: found.append(tracing.current().trace))
        thread.start()
        thread.join()
    assert found == [""]


@pytest.mark.parametrize(
    "hostile",
    [
        "",
        "0" * 32,
        TRACE.upper(),
        TRACE[:-1],
        TRACE + "0",
        TRACE[:-1] + "\n",
        "٤" * 32,
        "x" * 9_999,
    ],
)
def test_what_is_no_trace_counts_as_absent(hostile: str) -> None:
    with tracing.request(trace=hostile, request=hostile + "\n"):
        assert tracing.current() == tracing.Request()


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-01", TRACE),
        (f"cc-{TRACE}-00f067aa0ba902b7-01-what-the-future-brings", TRACE),
        (f"00-{TRACE}-00f067aa0ba902b7-01-more", ""),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", ""),
        (f"00-{TRACE}-00f067aa0ba902b7", ""),
        (f"00-{TRACE}-00f067aa0ba902b7-01\r\nx: y", ""),
        (f"cc-{TRACE}-00f067aa0ba902b7-01-" + "a" * 10_000, ""),
        ("", ""),
    ],
)
def test_traceparent_is_read_as_the_standard_says(header: str, trace: str) -> None:
    assert tracing.parse(header) == trace


def test_what_is_handed_on_is_read_as_the_same() -> None:
    assert tracing.parse(tracing.traceparent(TRACE)) == TRACE


def test_a_new_trace_is_never_all_zeros() -> None:
    dice = cycle([b"\0" * 16, b"\1" * 16])
    assert tracing.new_trace(lambda _count: next(dice)) == "01" * 16
    assert re.fullmatch("[0-9a-f]{32}", tracing.new_trace())
    assert tracing.valid_request(tracing.new_request())
