"""Who is kept from running is noticed by who only wants to wake up."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from itertools import count
from pathlib import Path

import pytest

from tests.chaos.host import said_since
from tests.chaos.standstill import (
    COUNTED_MS,
    TICK_MS,
    WINDOW_MS,
    Pauses,
    processors_watched,
    watch_loop,
)
from tests.fakes.scripted_records import JumpingClock


class StutteringClock(JumpingClock):
    """Stands still for a while in one of its sleeps."""

    async def sleep_ms(self, duration_ms: int) -> None:
        """Jump, and once further than was asked for."""
        still_ms = 350 if len(self.slept) == 3 else 0
        await super().sleep_ms(duration_ms)
        self.ms += still_ms


def test_what_one_processor_lost_within_a_second_is_added_up() -> None:
    pauses = Pauses()
    pauses.note(0, 1_000, 120)
    pauses.note(1, 1_100, 130)
    pauses.note(0, 1_400, 90)
    assert pauses.lost_ms_max == 210
    pauses.note(0, 1_000 + WINDOW_MS, 60)
    assert pauses.lost_ms_max == 210
    pauses.note(0, 1_500 + WINDOW_MS, 400)
    assert pauses.lost_ms_max == 460


def test_what_any_machine_is_late_by_does_not_count() -> None:
    pauses = Pauses()
    for tick in range(100):
        pauses.note(0, tick * TICK_MS, COUNTED_MS - 1)
    assert pauses.lost_ms_max == 0


def test_each_processor_is_watched_by_a_thread_bound_to_it() -> None:
    """They end with the block, and what they see is noted: here each awakening is half a second."""
    own = os.sched_getaffinity(0)
    watchers: dict[int, set[int]] = {}
    all_there = threading.Event()
    ticks = count(0, 500_000_000)

    def asleep(duration_s: float) -> None:
        assert duration_s == TICK_MS / 1000
        (processor,) = os.sched_getaffinity(0)
        watchers.setdefault(processor, set()).add(threading.get_ident())
        if set(watchers) == own:
            all_there.set()
        all_there.wait(30)

    with processors_watched(asleep, lambda: next(ticks)) as pauses:
        assert all_there.wait(30)
    assert all(len(threads) == 1 for threads in watchers.values())
    assert os.sched_getaffinity(0) == own, "this thread goes where it likes"
    assert pauses.lost_ms_max >= 500 - TICK_MS
    assert not [one for one in threading.enumerate() if one.name.startswith("watch")]


@pytest.mark.parametrize("computed_ms", [0, 300])
def test_a_late_loop_is_told_with_what_it_computed(computed_ms: int) -> None:
    async def body() -> list[tuple[int, int]]:
        clock = StutteringClock()
        told: list[tuple[int, int]] = []
        computing = (computed_ms * 1_000_000 * (clock.ms > 350) for _ in iter(int, 1))
        watching = asyncio.create_task(
            watch_loop(clock, lambda: next(computing), lambda *late: told.append(late))
        )
        for _ in range(50):
            await asyncio.sleep(0)
        watching.cancel()
        return told

    assert asyncio.run(body()) == [(350, computed_ms)]


def test_what_a_host_said_since_then_is_found_in_its_log(tmp_path: Path) -> None:
    def line(at: str, component: str, event: str, **fields: object) -> str:
        said = {"at": at, "component": component, "event": event, "node": "a", "level": "info"}
        return json.dumps(said | fields)

    log = tmp_path / "agent.log"
    lines = [
        line("2026-01-01T00:00:01.000Z", "leadership", "elected"),
        line("2026-01-01T00:00:02.000Z", "leadership", "stepped down", reason="quorum lost"),
        line("2026-01-01T00:00:03.000Z", "dht", "asked"),
        "Traceback, and no line of the log",
        line("2026-01-01T00:00:04.000Z", "fabric", "broker lost"),
    ]
    log.write_text("half a line}\n" + "\n".join(lines))
    assert said_since(log.read_text(), "2026-01-01T00:00:02.000Z") == [
        "2026-01-01T00:00:02.000Z a: stepped down {'reason': 'quorum lost'}",
        "2026-01-01T00:00:04.000Z a: broker lost",
    ]
