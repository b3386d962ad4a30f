"""Checks run beside each other, and what they find has consequences."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

from bzzz_core.api.event_documents import CheckDocument
from bzzz_core.errors import HealthCritical, TransportError
from bzzz_core.health.check import Check, Finding, critical, ok
from bzzz_core.health.service import Health
from bzzz_core.health.stop_note import WELL_MS
from tests.fakes.virtual_time import VirtualClock, run


class FixedPatience:
    """Patience of a minute; remembers what was written down."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.cleared = 0

    def patience_ms(self, _check: str) -> int:
        return 60_000

    async def add(self, check: str) -> None:
        self.notes.append(check)

    async def clear(self) -> None:
        self.cleared += 1


class World:
    """One node's health, and what it did."""

    def __init__(self) -> None:
        self.patience = FixedPatience()
        self.gave_up: list[HealthCritical] = []
        self.told: list[CheckDocument] = []
        self.finding: Finding = ok("fine")
        self.health = Health(
            clock=VirtualClock(),
            now=lambda: "now",
            patience=self.patience,
            give_up=self.gave_up.append,
        )
        self.health.subscribe(self.told.append)

    async def find(self) -> Finding:
        return self.finding

    def add(
        self, name: str, look: Callable[[], Awaitable[Finding]] | None = None, **more: int
    ) -> None:
        given = {"interval_ms": 10_000, "timeout_ms": 1_000, **more}
        self.health.add(Check(name=name, look=look or self.find, **given))  # type: ignore[arg-type]

    def state(self, name: str) -> str:
        return next(one.state for one in self.health.documents() if one.name == name)

    def words(self, name: str) -> str:
        return next(one.words for one in self.health.documents() if one.name == name)


def play(scenario: Callable[[World], Awaitable[None]]) -> World:
    world = World()

    async def body() -> None:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(world.health.run())
            await scenario(world)
            running.cancel()

    run(body())
    return world


async def pass_ms(duration_ms: int) -> None:
    await VirtualClock().sleep_ms(duration_ms)


def test_a_check_that_hangs_delays_nobody_and_is_told() -> None:
    async def hang() -> Finding:
        await asyncio.Event().wait()
        return ok("never")

    async def scenario(world: World) -> None:
        world.add("hangs", hang)
        world.add("works")
        await pass_ms(30_000)
        assert world.state("works") == "ok"
        assert (world.state("hangs"), world.words("hangs")) == (
            "critical",
            "no answer within 1000 ms",
        )

    play(scenario)


def test_a_look_that_does_not_obey_to_its_timeout_is_told_in_its_place() -> None:
    free = asyncio.Event()

    async def stubborn() -> Finding:
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                if free.is_set():
                    raise
        return ok("at last")

    async def scenario(world: World) -> None:
        world.add("stubborn", stubborn)
        await pass_ms(20_000)
        assert world.state("stubborn") == "critical"
        assert "has not ended for 20 s" in world.words("stubborn")
        free.set()

    play(scenario)


def test_a_failure_of_ours_is_a_finding() -> None:
    async def fail() -> Finding:
        raise TransportError("nobody there")

    async def scenario(world: World) -> None:
        world.add("fails", fail, failures=1)
        await pass_ms(1_000)
        assert (world.state("fails"), world.words("fails")) == ("critical", "nobody there")

    play(scenario)


def test_a_bad_look_is_repeated_sooner_than_planned() -> None:
    async def scenario(world: World) -> None:
        world.add("one", interval_ms=600_000)
        world.finding = critical("gone")
        await pass_ms(5_500)
        assert world.state("one") == "critical"

    play(scenario)


def test_every_look_is_told() -> None:
    async def scenario(world: World) -> None:
        world.add("one")
        await pass_ms(30_000)
        world.finding = critical("gone")
        await pass_ms(60_000)
        world.finding = ok("back")
        await pass_ms(60_000)

    told = [one.state for one in play(scenario).told]
    assert [state for state, _ in itertools.groupby(told)] == ["ok", "critical", "ok"]


def test_the_agent_gives_up_once_and_only_for_what_a_new_start_mends() -> None:
    async def scenario(world: World) -> None:
        world.add("ours", critical=True)
        world.add("theirs")
        world.finding = critical("full")
        await pass_ms(55_000)
        assert not world.gave_up
        assert world.health.not_live() == []
        await pass_ms(60_000)

    world = play(scenario)
    assert [str(why) for why in world.gave_up] == ["ours was critical for too long: full"]
    assert world.patience.notes == ["ours"]
    assert world.health.not_live() == ["ours is critical: full"]


def test_trouble_that_passes_in_time_costs_nothing() -> None:
    async def scenario(world: World) -> None:
        world.add("ours", critical=True)
        for _ in range(5):
            world.finding = critical("full")
            await pass_ms(50_000)
            world.finding = ok("free")
            await pass_ms(20_000)

    assert not play(scenario).gave_up


def test_only_what_is_needed_makes_a_node_unready() -> None:
    async def scenario(world: World) -> None:
        world.add("needed", needed=True, failures=1)
        world.add("other", failures=1)
        world.finding = critical("gone")
        await pass_ms(1_000)
        assert world.health.not_ready() == ["needed: gone"]
        world.finding = ok("back")
        await pass_ms(20_000)
        assert world.health.not_ready() == []
        world.health.stopping()
        assert world.health.not_ready() == ["the agent is stopping"]

    play(scenario)


def test_a_check_that_comes_later_is_looked_at_too() -> None:
    async def scenario(world: World) -> None:
        await pass_ms(5_000)
        world.add("later")
        await pass_ms(1_000)
        assert world.state("later") == "ok"

    play(scenario)


def test_a_good_life_takes_the_note_of_bad_ones_away() -> None:
    async def scenario(world: World) -> None:
        await pass_ms(WELL_MS - 1_000)
        assert world.patience.cleared == 0
        await pass_ms(2_000)
        assert world.patience.cleared == 1

    play(scenario)
