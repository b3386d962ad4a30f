"""Components end in their order, within their time, whatever each of them does."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bzzz_core.errors import NotEnrolled, TransportError
from bzzz_core.shutdown.plan import FORCE_MS, Phase, Place, Urgency
from bzzz_core.shutdown.request import StopRequest
from bzzz_core.shutdown.service import Lifecycle
from tests.fakes.virtual_time import VirtualClock, run

Scenario = Callable[[Lifecycle, StopRequest], Awaitable[None]]


class Part:
    """A component that writes down what happens to it; `holds` is how often it ignores the end."""

    def __init__(self, name: str, diary: list[str], *, needs_ms: int = 0, holds: int = 0) -> None:
        self.name = name
        self._diary = diary
        self._needs_ms = needs_ms
        self._holds = holds

    async def work(self) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self._holds -= 1
                if self._holds < 0:
                    await VirtualClock().sleep_ms(self._needs_ms)
                    self._diary.append(self.name)
                    raise


def place(phase: Phase, priority: int = 10, timeout_ms: int = 1_000) -> Place:
    return Place(phase, priority, timeout_ms)


def play(
    build: Callable[[Lifecycle], None],
    scenario: Scenario,
    *,
    raises: type[BaseException] | None = None,
) -> Lifecycle:
    lifecycle = Lifecycle(clock=VirtualClock())
    build(lifecycle)

    async def body() -> None:
        stop = StopRequest()
        async with asyncio.TaskGroup() as group:
            group.create_task(scenario(lifecycle, stop))
            if raises is None:
                await lifecycle.run(stop)
            else:
                with pytest.raises(raises):
                    await lifecycle.run(stop)

    run(body())
    return lifecycle


async def stop_soon(_lifecycle: Lifecycle, stop: StopRequest) -> None:
    await VirtualClock().sleep_ms(100)
    stop.ask("the test")


def results(lifecycle: Lifecycle) -> dict[str, tuple[str, int]]:
    return {ending.name: (ending.result, ending.took_ms) for ending in lifecycle.endings}


def test_parts_end_by_phase_and_priority_and_hooks_come_first() -> None:
    diary: list[str] = []

    def build(lifecycle: Lifecycle) -> None:
        for name, where in {
            "child": place(Phase.POST_SHUTDOWN),
            "bus": place(Phase.SHUTDOWN, 40),
            "api": place(Phase.SHUTDOWN, 10),
            "table": place(Phase.SHUTDOWN, 20),
        }.items():
            lifecycle.add(name, Part(name, diary, needs_ms=50).work(), place=where)

        async def farewell() -> None:
            diary.append("farewell")

        async def tidy() -> None:
            diary.append("tidy")

        lifecycle.add("farewell", stop=farewell, place=place(Phase.PRE_SHUTDOWN))
        lifecycle.add("tidy", stop=tidy, place=place(Phase.CLEANUP))
        for phase in Phase:
            lifecycle.before(phase, lambda phase=phase: diary.append(f"[{phase}]"))

    lifecycle = play(build, stop_soon)
    assert diary == [
        *("[pre-shutdown]", "farewell"),
        *("[shutdown]", "api", "table", "bus"),
        *("[post-shutdown]", "child", "[cleanup]", "tidy"),
    ]
    assert {result for result, _ in results(lifecycle).values()} == {"ok"}
    assert results(lifecycle)["api"] == ("ok", 50)


def test_a_part_is_asked_to_stop_before_its_work_is_cancelled() -> None:
    diary: list[str] = []

    async def drain() -> None:
        await VirtualClock().sleep_ms(200)
        diary.append("drained")

    def build(lifecycle: Lifecycle) -> None:
        lifecycle.add("api", Part("cancelled", diary).work(), stop=drain)

    play(build, stop_soon)
    assert diary == ["drained", "cancelled"]


def test_one_that_hangs_is_forced_and_the_next_has_its_turn() -> None:
    diary: list[str] = []

    def build(lifecycle: Lifecycle) -> None:
        stuck, next_one = place(Phase.SHUTDOWN, 10, 700), place(Phase.SHUTDOWN, 20)
        lifecycle.add("stuck", Part("stuck", diary, holds=1).work(), place=stuck)
        lifecycle.add("next", Part("next", diary).work(), place=next_one)

    lifecycle = play(build, stop_soon)
    assert diary == ["stuck", "next"]
    assert results(lifecycle) == {"stuck": ("forced", 700), "next": ("ok", 0)}
    assert lifecycle.abandoned == []


def test_one_that_does_not_even_obey_to_force_is_abandoned_in_known_time() -> None:
    diary: list[str] = []

    def build(lifecycle: Lifecycle) -> None:
        stuck = place(Phase.SHUTDOWN, 10, 700)
        # It lets go at the third time, when the last sweep of all comes, so the loop can end here.
        lifecycle.add("stuck", Part("stuck", diary, holds=2).work(), place=stuck)
        lifecycle.add("next", Part("next", diary).work(), place=place(Phase.CLEANUP))

    lifecycle = play(build, stop_soon)
    assert diary == ["next", "stuck"]
    assert results(lifecycle)["stuck"] == ("abandoned", 700 + FORCE_MS)
    assert lifecycle.abandoned == ["stuck"]


def test_a_second_signal_shortens_what_goes_on_and_what_is_to_come() -> None:
    diary: list[str] = []

    def build(lifecycle: Lifecycle) -> None:
        for number, name in enumerate(("first", "second")):
            slow = place(Phase.SHUTDOWN, number, 60_000)
            lifecycle.add(name, Part(name, diary, needs_ms=50_000).work(), place=slow)

    async def twice(_lifecycle: Lifecycle, stop: StopRequest) -> None:
        stop.ask("SIGTERM")
        await VirtualClock().sleep_ms(3_000)
        stop.ask("SIGTERM", urgency=Urgency.FAST)

    lifecycle = play(build, twice)
    assert results(lifecycle) == {"first": ("forced", 4_000), "second": ("forced", 1_000)}


def test_a_fast_end_is_fast_from_the_start() -> None:
    def build(lifecycle: Lifecycle) -> None:
        slow = place(Phase.SHUTDOWN, 10, 60_000)
        lifecycle.add("slow", Part("slow", [], needs_ms=50_000).work(), place=slow)

    async def quit_now(_lifecycle: Lifecycle, stop: StopRequest) -> None:
        stop.ask("SIGQUIT", urgency=Urgency.FAST)

    assert results(play(build, quit_now)) == {"slow": ("forced", 1_000)}


def test_a_part_that_fails_ends_all_in_order_and_is_the_reason() -> None:
    diary: list[str] = []

    async def break_down() -> None:
        await VirtualClock().sleep_ms(100)
        raise TransportError("the wire is cut")

    def build(lifecycle: Lifecycle) -> None:
        lifecycle.add("broken", break_down())
        lifecycle.add("other", Part("other", diary).work())

    async def watch(_lifecycle: Lifecycle, stop: StopRequest) -> None:
        await stop.wait()
        assert stop.reason == "broken failed"

    play(build, watch, raises=TransportError)
    assert diary == ["other"]


def test_a_part_that_has_done_its_work_ends_nothing() -> None:
    async def once() -> None:
        return

    def build(lifecycle: Lifecycle) -> None:
        lifecycle.add("once", once())
        lifecycle.add("other", Part("other", []).work())

    lifecycle = play(build, stop_soon)
    assert set(results(lifecycle)) == {"once", "other"}


def test_the_first_reason_stays_and_is_what_the_process_fails_with() -> None:
    async def twice(_lifecycle: Lifecycle, stop: StopRequest) -> None:
        stop.ask("let go", because=NotEnrolled("it left"))
        stop.ask("SIGTERM")
        assert (stop.reason, stop.urgency) == ("let go", Urgency.ORDERLY)

    play(lambda lifecycle: lifecycle.add("one", Part("one", []).work()), twice, raises=NotEnrolled)


def test_a_bug_at_the_end_is_raised_and_a_known_failure_is_not() -> None:
    async def bug() -> None:
        raise ZeroDivisionError

    async def known() -> None:
        raise TransportError("nobody there")

    play(lambda lifecycle: lifecycle.add("goodbye", stop=known), stop_soon)
    last: list[str] = []

    def build(lifecycle: Lifecycle) -> None:
        lifecycle.add("goodbye", stop=bug)
        lifecycle.add("fabric", Part("fabric", last).work())

    play(build, stop_soon, raises=ZeroDivisionError)
    assert last == ["fabric"]


def test_what_is_cancelled_from_outside_leaves_no_task_behind() -> None:
    diary: list[str] = []

    async def body() -> None:
        lifecycle = Lifecycle(clock=VirtualClock())
        lifecycle.add("one", Part("one", diary).work())
        async with asyncio.TaskGroup() as group:
            running = group.create_task(lifecycle.run(StopRequest()))
            await VirtualClock().sleep_ms(10)
            running.cancel()

    run(body())
    assert diary == ["one"]
