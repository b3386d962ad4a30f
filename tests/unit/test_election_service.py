"""The shell forwards; it decides nothing. Three real services, real signatures, no real time."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from bzzz_core.election.announce import (
    BACKLOG_MAX,
    Announcer,
    Change,
    LeaderChanged,
    LeadershipEnded,
)
from bzzz_core.election.events import StepDown
from bzzz_core.election.messages import HeartbeatAck
from bzzz_core.election.service import BROADCAST_SUBJECT, Announcement
from bzzz_core.election.stages import Role
from bzzz_core.election.wire import Wire
from bzzz_core.errors import Deposed, PermissionDenied, QuorumUnavailable
from bzzz_core.model import ClusterId, FabricState, FencingToken, NodeId, Revision, StreamId, Term
from bzzz_core.ports import Guard
from bzzz_core.trust.keys import IdentityKey
from tests.fakes.election_nodes import ServiceNode, ServiceWorld


def play(story: Callable[[ServiceWorld], Awaitable[None]], size: int = 3) -> None:
    async def run() -> None:
        async with ServiceWorld(size) as world:
            await story(world)

    asyncio.run(run())


async def elect(world: ServiceWorld) -> ServiceNode:
    world.start()
    await world.run(2_000)
    (leader,) = world.leaders()
    return leader


def test_three_nodes_elect_a_serving_leader_and_all_are_told_once() -> None:
    """The main path through real messages, ballots and records."""

    async def story(world: ServiceWorld) -> None:
        before = world.nodes[0].service
        assert (before.view().role, before.view().leader) == (Role.FOLLOWER, None)
        assert before.token() is None
        await before.resign()
        leader = await elect(world)
        token = leader.service.token()
        assert token == FencingToken(leader.records.stream, Revision(1))
        for node in world.nodes:
            view = node.service.view()
            assert (view.leader, view.term, view.served) == (leader.node, 1, 2)
            expected = LeaderChanged(Term(1), leader.node, token, mine=node is leader)
            assert node.changes == [expected]
            assert node.service.rejected == 0
        log = await leader.records.read("log")
        assert log is not None
        announcement = msgspec.msgpack.decode(log.value, type=Announcement)
        assert announcement == Announcement(Term(1), leader.node)

    play(story)


def test_a_single_node_elects_itself() -> None:
    """A cluster of one works without anybody else."""

    async def story(world: ServiceWorld) -> None:
        assert (await elect(world)).service.view().role is Role.LEADER

    play(story, size=1)


def test_a_killed_leader_is_replaced_within_a_second_and_a_half() -> None:
    """Detection, ballots, one record, one write."""

    async def story(world: ServiceWorld) -> None:
        first = await elect(world)
        await world.stop(first)
        await world.run(1_200)
        (second,) = world.leaders()
        assert second is not first
        assert [change.term for change in second.changes] == [1, 2]

    play(story)


def test_a_resigned_leader_is_replaced_without_waiting_for_silence() -> None:
    """An upgrade must not cost a second of leadership."""

    async def story(world: ServiceWorld) -> None:
        first = await elect(world)
        await world.run(2_000)
        await first.service.resign()
        await world.run(250)
        (second,) = world.leaders()
        assert second is not first
        assert first.changes[1] == LeadershipEnded(Term(1), StepDown.RESIGNED)
        assert isinstance(first.changes[2], LeaderChanged)

    play(story)


def test_a_leader_that_is_cut_off_stops_and_follows_when_it_is_back() -> None:
    """Check-quorum on one side, a newer record on the other."""

    async def story(world: ServiceWorld) -> None:
        first = await elect(world)
        first.fabric.state = FabricState.LOST
        await world.run(700)
        assert first not in world.leaders()
        assert first.reported("stepped down") == [{"term": 1, "reason": StepDown.QUORUM_LOST}]
        await world.run(1_500)
        (second,) = world.leaders()
        first.fabric.state = FabricState.CONNECTED
        await world.run(1_000)
        assert first.service.view().leader == second.node

    play(story)


def test_a_refused_first_write_ends_leadership() -> None:
    """The fence decides, not the clock."""

    async def story(world: ServiceWorld) -> None:
        for node in world.nodes:
            node.first_write_faults.append(Deposed("told so"))
        world.start()
        await world.run(1_050)
        (ended,) = [node for node in world.nodes if node.reported("stepped down")]
        assert ended.reported("stepped down")[0]["reason"] is StepDown.GUARD_REFUSED
        assert ended.changes == []

    play(story)


def test_a_first_write_without_quorum_is_tried_again() -> None:
    """A leader that cannot write yet does not serve yet."""

    async def story(world: ServiceWorld) -> None:
        for node in world.nodes:
            node.first_write_faults += [QuorumUnavailable("told so")] * 3
        leader = await elect(world)
        assert len(leader.reported("first write delayed")) == 3
        assert len(leader.changes) == 1

    play(story)


def test_a_first_write_ends_with_the_leadership() -> None:
    """A deposed leader must not go on trying."""

    async def story(world: ServiceWorld) -> None:
        for node in world.nodes:
            node.first_write_faults += [QuorumUnavailable("told so")] * 500
        world.start()
        await world.run(1_500)
        (leader,) = [node for node in world.nodes if node.reported("elected")]
        leader.fabric.state = FabricState.LOST
        await world.run(700)
        tried = len(leader.reported("first write delayed"))
        await world.run(1_000)
        assert len(leader.reported("first write delayed")) == tried

    play(story)


def test_an_error_that_no_waiting_cures_is_not_hidden() -> None:
    """A missing permission is a mistake in the deployment: fail loudly."""

    async def story(world: ServiceWorld) -> None:
        for node in world.nodes:
            node.first_write_faults.append(PermissionDenied("told so"))
        world.start()
        await world.run(1_500)
        (failed,) = [node for node in world.nodes if node.task is not None and node.task.done()]
        assert failed.task is not None
        with pytest.raises(ExceptionGroup):
            await failed.task
        failed.task = None

    play(story)


def test_foreign_and_forged_messages_are_counted_and_dropped() -> None:
    """Whatever arrives, the election goes on."""

    async def story(world: ServiceWorld) -> None:
        leader = await elect(world)
        outsider = IdentityKey.generate()
        forged = Wire(
            me=outsider.node_id,
            cluster=ClusterId("c"),
            stream=leader.records.stream,
            voters=world.voters,
            signer=outsider,
        ).seal(HeartbeatAck(Term(1), Revision(1), 1, 50.0))
        for data in (b"", b"nonsense", forged):
            await leader.fabric.publish(BROADCAST_SUBJECT, data)
        await world.run(100)
        assert [node.service.rejected for node in world.nodes] == [3, 3, 3]
        assert leader.service.serves()
        assert {fields["code"] for fields in leader.reported("rejected")} == {"trust"}

    play(story)


def test_a_forged_record_deposes_and_a_new_leader_is_elected_on_top_of_it() -> None:
    """Whoever can write the store can disturb, not lead."""

    async def story(world: ServiceWorld) -> None:
        first = await elect(world)
        await first.records.write("_term", b"me!", Guard("_term", Revision(1)))
        await world.stop(first)
        await world.run(4_000)
        (second,) = world.leaders()
        assert second.service.view().sequence > 3
        assert second.reported("rejected")

    play(story)


def test_a_vote_that_cannot_be_saved_is_not_given() -> None:
    """A full disk costs a vote, never a promise."""

    async def story(world: ServiceWorld) -> None:
        for node in world.nodes[1:]:
            node.votes.fails = True
        world.start()
        await world.run(4_000)
        assert world.leaders() == []
        assert world.nodes[1].reported("vote not saved")
        for node in world.nodes[1:]:
            node.votes.fails = False
        await world.run(4_000)
        assert len(world.leaders()) == 1

    play(story)


def test_a_lost_vote_file_is_reported_and_heals_with_the_next_term() -> None:
    """The voter abstains, follows, and votes again later."""

    async def story(world: ServiceWorld) -> None:
        leader = await elect(world)
        other = next(node for node in world.nodes if node is not leader)
        await world.stop(other)
        world.hub.attach(other.node)
        again = await world.add(other.key)
        again.votes.vote = None
        world.nodes[world.nodes.index(other)] = again
        world.start(again)
        await world.run(3_000)
        assert again.reported("vote file lost: abstaining") == [{}]
        assert again.service.view().abstains
        await leader.service.resign()
        await world.run(3_000)
        assert not again.service.view().abstains
        assert again.votes.vote is not None

    play(story)


def test_a_hanging_connection_does_not_stall_the_machine() -> None:
    """Old messages are dropped; the machine goes on ticking."""

    async def story(world: ServiceWorld) -> None:
        leader = await elect(world)
        never = asyncio.Event()

        async def hang(subject: str, data: bytes) -> None:
            del subject, data
            await never.wait()

        leader.fabric.publish = hang  # type: ignore[method-assign]
        leader.service._outbox._maxsize = 2  # type: ignore[attr-defined]
        await world.run(2_500)
        assert leader.service.view().role is not Role.LEADER
        assert len(world.leaders()) == 1

    play(story)


# ---- subscribers

TOKEN = FencingToken(StreamId("s"), Revision(1))


def changed(term: int, *, mine: bool = False) -> LeaderChanged:
    return LeaderChanged(Term(term), NodeId("a"), TOKEN, mine)


async def _serve(announcer: Announcer) -> None:
    async with asyncio.TaskGroup() as tasks:
        announcer.start(tasks)


def test_a_hanging_subscriber_delays_nobody() -> None:
    """Each has its own queue."""

    async def story() -> None:
        announcer = Announcer()
        seen: list[Change] = []
        never = asyncio.Event()

        async def hang(_change: Change) -> None:
            await never.wait()

        async def note(change: Change) -> None:
            seen.append(change)

        announcer.subscribe(hang)
        announcer.subscribe(note)
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(_serve(announcer))
            await asyncio.sleep(0)
            for term in range(1, BACKLOG_MAX + 10):
                announcer.announce(changed(term))
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            serving.cancel()
        assert [change.term for change in seen] == list(range(1, BACKLOG_MAX + 10))

    asyncio.run(story())


def test_each_change_is_told_once_and_an_end_only_after_its_beginning() -> None:
    """A leadership that never served did not begin for anybody."""
    announcer = Announcer()

    async def nothing(_change: Change) -> None:
        return

    announcer.subscribe(nothing)
    queue = announcer._queues[0][1]
    ended = LeadershipEnded(Term(2), StepDown.RESIGNED)
    for change in (
        ended,
        changed(1),
        changed(1),
        LeadershipEnded(Term(1), StepDown.RESIGNED),
        changed(2, mine=True),
        ended,
        ended,
        changed(1),
    ):
        announcer.announce(change)
    assert [queue.get_nowait() for _ in range(queue.qsize())] == [
        changed(1),
        changed(2, mine=True),
        ended,
    ]
