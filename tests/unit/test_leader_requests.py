"""Questions to the leader find whoever leads, and carry failures back by their kind."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest

from bzzz_core.errors import (
    BzzzError,
    NotEnrolled,
    NotLeader,
    PermissionDenied,
    RateLimited,
    RequestInvalid,
    RequestTimeout,
    RevisionConflict,
    error_of,
)
from bzzz_core.fabric.layout import lead_subject, permissions
from bzzz_core.fabric.memory import MemoryHub
from bzzz_core.leader_requests import BODY_BYTES_MAX, LeaderRequests
from bzzz_core.model import FencingToken, NodeId, Revision, StreamId
from bzzz_core.telemetry import tracing
from tests.fakes.virtual_time import VirtualClock, run

VOTERS = (NodeId("a" * 26), NodeId("b" * 26))
EDGE = NodeId("e" * 26)
TOKEN = FencingToken(StreamId("s"), Revision(1))


class Cluster:
    """Two voters, of which at most one leads, and an edge, all with their real rights."""

    def __init__(self) -> None:
        self.hub = MemoryHub(clock=VirtualClock())
        self.leader: NodeId | None = VOTERS[0]
        self.asked: list[tuple[NodeId, NodeId, bytes]] = []
        self.written = asyncio.Event()
        self.written.set()
        self.strangers: set[NodeId] = set()
        self.admissions: list[tuple[NodeId, str]] = []
        self.nodes = {node: self._node(node) for node in (*VOTERS, EDGE)}

    async def _settle(self) -> None:
        await self.written.wait()

    async def _admit(self, asker: NodeId, asked: str) -> None:
        self.admissions.append((asker, asked))
        if asker in self.strangers:
            raise NotEnrolled(f"{asker} is no member")

    def _node(self, me: NodeId) -> LeaderRequests:
        fabric = self.hub.attach(me, allowed=permissions(me, voter=me in VOTERS))
        node = LeaderRequests(
            me=me,
            fabric=fabric,
            clock=VirtualClock(),
            leads=lambda: TOKEN if self.leader == me else None,
            admit=self._admit,
            settled=self._settle,
        )

        async def echo(asker: NodeId, body: bytes) -> bytes:
            self.asked.append((me, asker, body))
            return b"heard " + body

        async def tell_trace(_asker: NodeId, _body: bytes) -> bytes:
            return tracing.current().trace.encode()

        async def refuse(_asker: NodeId, _body: bytes) -> bytes:
            raise RevisionConflict("somebody was faster")

        node.serve("echo", echo)
        node.serve("stop", echo, own_place=True)
        node.serve("refuse", refuse)
        node.serve("trace", tell_trace)
        return node

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Cluster"]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.nodes[voter].run()) for voter in VOTERS]
            await VirtualClock().sleep_ms(10)
            try:
                yield self
            finally:
                for task in tasks:
                    task.cancel()

    async def ask(self, node: NodeId, operation: str, body: bytes = b"x") -> bytes:
        return await self.nodes[node].ask(operation, body, timeout_ms=12_000)


def play(scenario: Callable[[Cluster], Awaitable[None]]) -> None:
    async def body() -> None:
        async with Cluster().running() as cluster:
            await scenario(cluster)

    run(body())


@pytest.mark.parametrize("asker", [VOTERS[0], VOTERS[1], EDGE])
def test_whoever_asks_is_answered_by_the_leader_and_known_by_its_subject(asker: NodeId) -> None:
    async def scenario(cluster: Cluster) -> None:
        assert await cluster.ask(asker, "echo", b"question") == b"heard question"
        assert cluster.asked == [(VOTERS[0], asker, b"question")]

    play(scenario)


@pytest.mark.parametrize("asker", [VOTERS[0], VOTERS[1], EDGE])
def test_the_leader_answers_under_the_trace_of_the_question(asker: NodeId) -> None:
    async def scenario(cluster: Cluster) -> None:
        with tracing.request(trace="1" * 32, request="of the asker alone"):
            assert await cluster.ask(asker, "trace") == b"1" * 32
        assert await cluster.ask(asker, "trace") == b"", "the next question is another's"

    play(scenario)


def test_a_question_waits_for_the_next_leader() -> None:
    async def scenario(cluster: Cluster) -> None:
        cluster.leader = None
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(cluster.ask(EDGE, "echo"))
            await VirtualClock().sleep_ms(1_000)
            cluster.leader = VOTERS[1]
        assert asking.result() == b"heard x"
        assert [who for who, _, _ in cluster.asked] == [VOTERS[1]]

    play(scenario)


def test_without_a_leader_the_question_ends_in_time() -> None:
    async def scenario(cluster: Cluster) -> None:
        cluster.leader = None
        before = asyncio.get_running_loop().time()
        with pytest.raises((NotLeader, RequestTimeout)):
            await cluster.ask(EDGE, "echo")
        assert asyncio.get_running_loop().time() - before <= 12.2
        assert cluster.asked == []

    play(scenario)


def test_a_failure_arrives_as_what_it_was_on_the_leader() -> None:
    async def scenario(cluster: Cluster) -> None:
        with pytest.raises(RevisionConflict, match="somebody was faster"):
            await cluster.ask(EDGE, "refuse")

    play(scenario)


def test_an_unknown_operation_is_refused_and_counted() -> None:
    async def scenario(cluster: Cluster) -> None:
        with pytest.raises(RequestInvalid, match="nonsense"):
            await cluster.ask(EDGE, "nonsense")
        assert cluster.nodes[VOTERS[0]].counters["unknown"] == 1

    play(scenario)


def test_nobody_asks_in_the_name_of_another() -> None:
    async def scenario(cluster: Cluster) -> None:
        fabric = cluster.hub.attach(EDGE, allowed=permissions(EDGE, voter=False))
        with pytest.raises(PermissionDenied):
            await fabric.request(lead_subject(VOTERS[1], "echo"), b"", timeout_ms=100)
        assert cluster.asked == []

    play(scenario)


@pytest.mark.parametrize("asker", [VOTERS[0], EDGE])
def test_an_answer_waits_until_what_was_done_is_written_down(asker: NodeId) -> None:
    async def scenario(cluster: Cluster) -> None:
        cluster.written.clear()
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(cluster.ask(asker, "echo"))
            await VirtualClock().sleep_ms(1_000)
            assert len(cluster.asked) == 1, "it is done"
            assert not asking.done()
            cluster.written.set()
        assert asking.result() == b"heard x"

    play(scenario)


@pytest.mark.parametrize("asker", [VOTERS[1], EDGE])
def test_who_is_no_member_is_refused_whatever_it_asks(asker: NodeId) -> None:
    """The broker may still let it in; nothing but the registry says who belongs to the cluster."""

    async def scenario(cluster: Cluster) -> None:
        cluster.strangers.add(asker)
        for operation in ("echo", "refuse", "nonsense"):
            with pytest.raises(NotEnrolled, match="no member"):
                await cluster.ask(asker, operation)
        assert cluster.asked == []
        assert cluster.admissions == [(asker, what) for what in ("echo", "refuse", "nonsense")]
        assert cluster.nodes[VOTERS[0]].counters["failed"] == 3
        cluster.strangers.clear()
        assert await cluster.ask(asker, "echo") == b"heard x"

    play(scenario)


def test_too_large_a_question_never_leaves() -> None:
    async def scenario(cluster: Cluster) -> None:
        with pytest.raises(RequestInvalid):
            await cluster.ask(EDGE, "echo", bytes(BODY_BYTES_MAX + 1))

    play(scenario)


def test_a_code_of_another_release_stays_an_expected_failure() -> None:
    error = error_of("not_invented_yet", "says the leader")
    assert type(error) is BzzzError
    assert "not_invented_yet" in str(error)


@pytest.mark.parametrize("kind", [RevisionConflict, NotLeader, RequestInvalid])
def test_each_code_leads_back_to_its_class(kind: type[BzzzError]) -> None:
    assert type(error_of(kind.code, "x")) is kind


class Hanging:
    """A handler that answers nobody before it is let go."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.asked = 0

    async def __call__(self, _asker: NodeId, _body: bytes) -> bytes:
        self.asked += 1
        await self.release.wait()
        return b"done"


@asynccontextmanager
async def hanging(
    cluster: Cluster, asker: NodeId, number: int, operation: str = "wait"
) -> AsyncIterator[Hanging]:
    """Keep `number` questions of one node open, which asks each of them once."""
    handler = Hanging()
    cluster.nodes[VOTERS[0]].serve(operation, handler)
    fabric = cluster.hub.attach(asker, allowed=permissions(asker, voter=asker in VOTERS))
    async with asyncio.TaskGroup() as group:
        for _ in range(number):
            question = fabric.request(lead_subject(asker, operation), b"", timeout_ms=60_000)
            group.create_task(_suppressed(question))
        await VirtualClock().sleep_ms(10)
        try:
            yield handler
        finally:
            handler.release.set()


def test_one_asker_cannot_take_the_leaders_time_from_the_others() -> None:
    async def scenario(cluster: Cluster) -> None:
        async with hanging(cluster, EDGE, 50) as waiting:
            assert await cluster.ask(VOTERS[1], "echo") == b"heard x"
            assert waiting.asked == 4
        assert cluster.nodes[VOTERS[0]].counters["refused"] == 46

    play(scenario)


def test_one_question_too_many_is_refused_at_once_and_says_why() -> None:
    """Silence would be taken for the want of a leader, and cost the asker seconds."""

    async def scenario(cluster: Cluster) -> None:
        async with hanging(cluster, EDGE, 4):
            before_ms = VirtualClock().now_ms()
            with pytest.raises(RateLimited, match="4 questions"):
                await cluster.nodes[EDGE].ask("echo", b"x", timeout_ms=300)
            assert VirtualClock().now_ms() - before_ms <= 300
            assert cluster.nodes[VOTERS[0]].counters["refused"] >= 2, "it asked again meanwhile"
        assert await cluster.ask(EDGE, "echo") == b"heard x"

    play(scenario)


def test_a_refused_question_is_asked_again_as_soon_as_there_is_room() -> None:
    async def scenario(cluster: Cluster) -> None:
        async with asyncio.TaskGroup() as group:
            async with hanging(cluster, EDGE, 4):
                asking = group.create_task(cluster.ask(EDGE, "echo"))
                await VirtualClock().sleep_ms(1_000)
                assert not asking.done()
            before_ms = VirtualClock().now_ms()
            assert await asking == b"heard x"
            assert VirtualClock().now_ms() - before_ms <= 100

    play(scenario)


def test_too_many_questions_a_second_are_refused_at_once_too() -> None:
    async def scenario(cluster: Cluster) -> None:
        fabric = cluster.hub.attach(EDGE, allowed=permissions(EDGE, voter=False))
        codes = []
        for _ in range(66):
            data = await fabric.request(lead_subject(EDGE, "echo"), b"x", timeout_ms=1_000)
            codes.append(msgspec.msgpack.decode(data)["code"])
        assert codes == [""] * 64 + ["rate_limited"] * 2

    play(scenario)


def test_a_flood_costs_the_leader_a_bounded_number_of_refusals() -> None:
    async def scenario(cluster: Cluster) -> None:
        leader = cluster.nodes[VOTERS[0]]
        async with hanging(cluster, EDGE, 500):
            await VirtualClock().sleep_ms(10)
        assert leader.counters["refused"] == 496
        assert leader.counters["dropped"] >= 496 - 64

    play(scenario)


def test_an_operation_with_a_place_of_its_own_is_heard_while_everything_else_hangs() -> None:
    async def scenario(cluster: Cluster) -> None:
        async with hanging(cluster, EDGE, 200), hanging(cluster, VOTERS[1], 4, "wait-too"):
            before_ms = VirtualClock().now_ms()
            for asker in (EDGE, VOTERS[1], VOTERS[0]):
                assert await cluster.ask(asker, "stop") == b"heard x"
            assert VirtualClock().now_ms() - before_ms <= 10
        assert [asker for _, asker, _ in cluster.asked] == [EDGE, VOTERS[1], VOTERS[0]]

    play(scenario)


def test_what_may_have_been_done_is_not_said_to_be_undone_by_a_later_refusal() -> None:
    async def scenario(cluster: Cluster) -> None:
        waiting = Hanging()
        cluster.nodes[VOTERS[0]].serve("wait", waiting)
        with pytest.raises(RequestTimeout, match="whether it was done is open"):
            await cluster.nodes[EDGE].ask("wait", b"", timeout_ms=24_000)
        assert waiting.asked == 4, "the fifth was refused"
        waiting.release.set()

    play(scenario)


async def _suppressed(question: Awaitable[bytes]) -> None:
    with contextlib.suppress(RequestTimeout):
        await question
