"""The patience across lives, the watchdog, the lag of the loop, the thread of one's own."""

import asyncio
import threading
from pathlib import Path

import pytest

from bzzz_core.errors import BzzzError
from bzzz_core.health.own_thread import OwnThread
from bzzz_core.health.stop_note import PATIENCE_MS_MAX, PATIENCE_MS_MIN, StopNote
from bzzz_core.health.watchdog import period_ms, tell_watchdog
from bzzz_core.telemetry.loop_lag import LoopLag
from tests.fakes.virtual_time import VirtualClock, run


def test_each_life_that_ended_for_the_same_reason_is_followed_by_a_more_patient_one(
    tmp_path: Path,
) -> None:
    patience = []
    for _ in range(8):
        note = StopNote(tmp_path)
        patience.append(note.patience_ms("memory"))
        assert note.patience_ms("descriptors") == PATIENCE_MS_MIN
        asyncio.run(note.add("memory"))
    assert patience[:3] == [PATIENCE_MS_MIN, 2 * PATIENCE_MS_MIN, 4 * PATIENCE_MS_MIN]
    assert patience[-1] == PATIENCE_MS_MAX
    asyncio.run(StopNote(tmp_path).clear())
    assert StopNote(tmp_path).patience_ms("memory") == PATIENCE_MS_MIN


@pytest.mark.parametrize("content", [b"", b"{", b'{"check": "memory", "times": -1}', b"\xff" * 99])
def test_a_damaged_note_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "health-stop"
    path.write_bytes(content)
    path.chmod(0o600)
    assert StopNote(tmp_path).patience_ms("memory") == PATIENCE_MS_MIN


def test_a_disk_that_refuses_the_note_is_no_failure(tmp_path: Path) -> None:
    asyncio.run(StopNote(tmp_path / "missing").add("memory"))


def test_the_watchdog_is_told_several_times_in_its_period() -> None:
    assert period_ms({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7"}, pid=7) == 20_000


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "8"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "-5"},
        {"WATCHDOG_USEC": "9" * 40},
        {"WATCHDOG_USEC": "soon"},
    ],
)
def test_where_no_watchdog_asks_none_is_told(environment: dict[str, str]) -> None:
    assert period_ms(environment, pid=7) is None


def test_an_agent_that_has_given_up_on_itself_keeps_silent() -> None:
    told: list[str] = []
    alive = [True]

    async def body() -> None:
        clock = VirtualClock()
        async with asyncio.TaskGroup() as group:
            telling = group.create_task(
                tell_watchdog(lambda: alive[0], clock=clock, tell=told.append, every_ms=20_000)
            )
            await clock.sleep_ms(50_000)
            alive[0] = False
            await clock.sleep_ms(100_000)
            telling.cancel()

    run(body())
    assert told == ["WATCHDOG=1"] * 3


def test_the_lag_is_what_a_sleep_took_too_long() -> None:
    lag = LoopLag()
    for late_ms in (3, 700, -2, 40):
        lag.note(late_ms / 1_000)
    assert (lag.take_worst_ms(), lag.longest_s) == (700, 0.7)
    assert lag.take_worst_ms() == 0


def test_a_loop_that_sleeps_well_has_no_lag() -> None:
    lag = LoopLag()

    async def body() -> None:
        async with asyncio.TaskGroup() as group:
            measuring = group.create_task(lag.run())
            await VirtualClock().sleep_ms(10_500)
            measuring.cancel()

    run(body())
    assert lag.longest_s == 0


def test_a_thread_that_hangs_is_not_joined_by_another() -> None:
    release = threading.Event()

    async def body() -> None:
        thread = OwnThread("test")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await thread.do(release.wait)
        with pytest.raises(BzzzError, match="has not come back"):
            await thread.do(lambda: None)
        release.set()

    asyncio.run(body())


def test_a_thread_brings_back_result_and_failure() -> None:
    def fail() -> None:
        raise FileNotFoundError

    async def body() -> None:
        thread = OwnThread("test")
        assert await thread.do(lambda: 7) == 7
        with pytest.raises(FileNotFoundError):
            await thread.do(fail)

    asyncio.run(body())
