"""Messages while the brokers are away: they stay on the node, and everybody is told."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bzzz_core.breaker import Health
from bzzz_core.errors import PermissionDenied, TransportError
from bzzz_core.fabric.hybrid import (
    Backend,
    Event,
    FellBack,
    HybridFabric,
    Recovered,
    Switched,
)
from bzzz_core.fabric.layout import Permissions
from bzzz_core.fabric.memory import MemoryFabric, MemoryHub
from bzzz_core.model import FabricState, NodeId
from bzzz_core.ports import Message
from tests.fakes.scripted_records import JumpingClock

A, B = NodeId("a"), NodeId("b")


class Two:
    """A node with a hybrid fabric, and a plain one."""

    def __init__(self, backend: Backend = Backend.HYBRID) -> None:
        self.clock = JumpingClock()
        hub = MemoryHub(clock=self.clock)
        self.real: MemoryFabric = hub.attach(A)
        self.other: MemoryFabric = hub.attach(B)
        self.events: list[Event] = []
        self.hybrid = HybridFabric(
            self.real, clock=self.clock, backend=backend, notify=self.events.append
        )
        self.here: list[bytes] = []
        self.there: list[bytes] = []

    async def listen(self) -> None:
        await self.hybrid.subscribe("news", lambda message: self.here.append(message.data))
        await self.other.subscribe("news", lambda message: self.there.append(message.data))

    async def say(self, data: bytes) -> None:
        await self.hybrid.publish("news", data)
        for _ in range(3):
            await asyncio.sleep(0)


def play(scenario: Callable[[], Awaitable[None]]) -> None:
    async def body() -> None:
        await scenario()

    asyncio.run(body())


def test_while_the_brokers_are_away_messages_stay_here_and_then_they_travel_again() -> None:
    """Nothing is told later: a message of the past helps nobody."""

    async def scenario() -> None:
        two = Two()
        await two.listen()
        await two.say(b"1")
        assert (two.hybrid.state, two.hybrid.health) == (FabricState.CONNECTED, Health.HEALTHY)
        two.real.state = FabricState.LOST
        await two.say(b"2")
        await two.say(b"3")
        assert (two.hybrid.state, two.hybrid.health) == (FabricState.DEGRADED, Health.DEGRADED)
        two.clock.ms += 700
        two.real.state = FabricState.CONNECTED
        await two.say(b"4")
        assert two.here == [b"1", b"2", b"3", b"4"]
        assert two.there == [b"1", b"4"]
        assert [type(event) for event in two.events] == [FellBack, Recovered]
        assert two.events[1] == Recovered(700)
        real, local = (two.hybrid.metrics[side].report() for side in ("real", "local"))
        assert (real.operations, real.failures, real.error_rate) == (4, 2, 0.5)
        assert (local.operations, local.failures) == (2, 0)

    play(scenario)


def test_falling_back_can_be_off() -> None:
    async def scenario() -> None:
        two = Two(Backend.REAL)
        await two.listen()
        two.real.state = FabricState.LOST
        with pytest.raises(TransportError):
            await two.say(b"1")
        assert two.hybrid.health is Health.FAILED
        assert two.hybrid.state is FabricState.LOST
        assert (two.here, two.events) == ([], [])

    play(scenario)


def test_the_backend_is_switched_while_running_and_interest_stays() -> None:
    async def scenario() -> None:
        two = Two()
        await two.listen()
        two.hybrid.switch(Backend.LOCAL)
        two.hybrid.switch(Backend.LOCAL)
        await two.say(b"here")
        two.hybrid.switch(Backend.REAL)
        await two.say(b"everywhere")
        assert two.here == [b"here", b"everywhere"]
        assert two.there == [b"everywhere"]
        assert two.events == [Switched(Backend.LOCAL), Switched(Backend.REAL)]

    play(scenario)


def test_a_request_never_falls_back() -> None:
    """An answer decides something, and this node's own is not the cluster's."""

    async def scenario() -> None:
        two = Two()
        asked: list[Message] = []
        await two.hybrid.subscribe("question", asked.append)
        two.real.state = FabricState.LOST
        with pytest.raises(TransportError):
            await two.hybrid.request("question", b"", timeout_ms=50)
        assert asked == []

    play(scenario)


@pytest.mark.parametrize("backend", [Backend.LOCAL, Backend.REAL])
def test_an_answer_goes_where_the_question_came_from(backend: Backend) -> None:
    async def scenario() -> None:
        two = Two(backend)
        asked: list[Message] = []
        await two.hybrid.subscribe("question", asked.append)

        async def answer() -> None:
            while not asked:  # noqa: ASYNC110  no time passes here
                await asyncio.sleep(0)
            two.hybrid.switch(Backend.HYBRID)  # Meanwhile something else answers.
            await two.hybrid.reply(asked[0], b"answer")

        async with asyncio.TaskGroup() as group:
            group.create_task(answer())
            assert await two.hybrid.request("question", b"", timeout_ms=1_000) == b"answer"

    play(scenario)


def test_what_the_brokers_refuse_is_not_heard_locally_either() -> None:
    async def scenario() -> None:
        two = Two()
        two.real.allowed = Permissions(publish=(">",), subscribe=())
        with pytest.raises(PermissionDenied):
            await two.listen()
        two.hybrid.switch(Backend.LOCAL)
        await two.say(b"1")
        assert two.here == []

    play(scenario)


def test_a_handler_that_stopped_listening_hears_neither() -> None:
    async def scenario() -> None:
        two = Two()
        heard: list[Message] = []
        interest = await two.hybrid.subscribe("news", heard.append)
        await interest.stop()
        await two.say(b"1")
        two.real.state = FabricState.LOST
        await two.say(b"2")
        assert heard == []

    play(scenario)
