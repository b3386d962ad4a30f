"""The shell forwards; it decides nothing. Three real services, real signatures, no real time."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest

from bzzz_core.election.announce import (
    BACKLOG_MAX,
    Announcer,
    Change,
    LeaderChanged,
    LeadershipEnded,
)
from bzzz_core.election.ballot import (
    decode_record,
    encode_record,
    sign_ballot,
    sign_record,
)
from bzzz_core.election.events import Resign, StepDown
from bzzz_core.election.history import Leadership, decode_leadership, encode_leadership
from bzzz_core.election.machine import View
from bzzz_core.election.messages import (
    Heartbeat,
    HeartbeatAck,
    Proclamation,
    TermRecord,
    VoteReply,
    Warrant,
)
from bzzz_core.election.post import BROADCAST_SUBJECT, LEADER_SUBJECT
from bzzz_core.election.stages import Role
from bzzz_core.election.voters import VOTERS_KEY, encode
from bzzz_core.election.wire import Wire
from bzzz_core.election.wishes import REST_MS, TAKEOVER_MS
from bzzz_core.errors import (
    Deposed,
    NotLeader,
    PermissionDenied,
    QuorumUnavailable,
    RateLimited,
    RequestTimeout,
    TransferFailed,
)
from bzzz_core.model import (
    ClusterId,
    FabricState,
    FencingToken,
    NodeId,
    Revision,
    StreamId,
    Term,
    Voter,
    VoterSet,
)
from bzzz_core.ports import Guard, Record
from bzzz_core.trust.keys import IdentityKey
from tests.fakes.election_nodes import ServiceNode, ServiceWorld


def play(
    story: Callable[[ServiceWorld], Awaitable[None]], size: int = 3, *, manual: bool = False
) -> None:
    async def run(folder: Path) -> None:
        async with ServiceWorld(folder, size, manual=manual) as world:
            await story(world)

    with TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


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
        await before.wishes.resign()
        leader = await elect(world)
        token = leader.service.token()
        assert token == FencingToken(leader.records.stream, Revision(1))
        for node in world.nodes:
            view = node.service.view()
            assert (view.leader, view.term, view.served) == (leader.node, 1, 2)
            expected = LeaderChanged(Term(1), leader.node, token, mine=node is leader)
            assert node.changes == [expected]
            assert not node.clerk.counters
        log = await leader.records.read("log")
        assert log is not None
        story = decode_leadership(log.value)
        assert (story.term, story.leader, story.cause) == (1, leader.node, "first election")

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


def test_a_follower_that_slept_ends_no_term_in_the_history() -> None:
    """It missed the leader when it woke, heard it again, and took over from it much later."""

    async def story(world: ServiceWorld) -> None:
        leader = await elect(world)
        sleeper = next(node for node in world.nodes if node is not leader)
        heard = list(sleeper.fabric.interests)
        sleeper.fabric.interests.clear()
        await world.run(3_000)
        assert sleeper.reported("leader lost")
        sleeper.fabric.interests.extend(heard)
        await world.run(1_000)
        assert sleeper.reported("leader heard again") == [{"term": 1}]
        await world.run(10_000)
        went = world.clock.ms
        asking = asyncio.create_task(leader.service.wishes.transfer(sleeper.node))
        await world.run(1_000)
        await asking
        told, complete = await leader.service.history()
        assert complete
        assert (told[0].end, told[1].leader) == ("handed over", sleeper.node)
        assert int(told[0].ended_at.removeprefix("at ")) >= went

    play(story)


def test_a_resigned_leader_is_replaced_without_waiting_for_silence() -> None:
    """An upgrade must not cost a second of leadership."""

    async def story(world: ServiceWorld) -> None:
        first = await elect(world)
        await world.run(2_000)
        await first.service.wishes.resign()
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
        assert len(leader.reported("serving delayed")) == 3
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
        tried = len(leader.reported("serving delayed"))
        await world.run(1_000)
        assert len(leader.reported("serving delayed")) == tried

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
        assert [node.clerk.counters["malformed"] for node in world.nodes] == [2, 2, 2]
        assert [node.clerk.counters["stranger"] for node in world.nodes] == [1, 1, 1]
        assert leader.service.serves()
        assert {fields["offence"] for fields in leader.reported("rejected")} == {
            "malformed",
            "stranger",
        }

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
        await leader.service.wishes.resign()
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
        leader.service._post._outbox._maxsize = 2  # type: ignore[attr-defined]
        await world.run(2_500)
        assert leader.service.view().role is not Role.LEADER
        assert len(world.leaders()) == 1

    play(story)


# ---- subscribers

TOKEN = FencingToken(StreamId("s"), Revision(1))


def changed(term: int, *, mine: bool = False) -> LeaderChanged:
    return LeaderChanged(Term(term), NodeId("a"), TOKEN, mine)


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
            serving = tasks.create_task(announcer.run())
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


def test_a_failing_subscriber_is_told_of_the_next_change_all_the_same() -> None:
    """Its trouble is reported, and nobody else's."""

    async def story() -> None:
        failures: list[tuple[Change, Exception]] = []
        announcer = Announcer(failed=lambda change, error: failures.append((change, error)))
        seen: list[Change] = []

        async def fail(change: Change) -> None:
            seen.append(change)
            raise QuorumUnavailable("told so")

        announcer.subscribe(fail)
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(announcer.run())
            for term in (1, 2):
                announcer.announce(changed(term))
            for _ in range(5):
                await asyncio.sleep(0)
            serving.cancel()
        assert seen == [changed(1), changed(2)]
        assert [change for change, _ in failures] == seen
        assert announcer.counters == {"failed": 2}

    asyncio.run(story())


def test_a_bug_in_a_subscriber_is_not_hidden() -> None:
    async def story() -> None:
        announcer = Announcer()

        async def stumble(_change: Change) -> None:
            raise ZeroDivisionError

        announcer.subscribe(stumble)
        announcer.announce(changed(1))
        with pytest.raises(ExceptionGroup):
            await announcer.run()

    asyncio.run(story())


def test_what_a_hanging_subscriber_misses_is_counted() -> None:
    announcer = Announcer()

    async def nothing(_change: Change) -> None:
        return

    announcer.subscribe(nothing)
    for term in range(1, BACKLOG_MAX + 4):
        announcer.announce(changed(term))
    assert announcer.counters == {"dropped": 3}


# ---- handing over, by hand, other voters


async def settle(world: ServiceWorld) -> tuple[ServiceNode, list[ServiceNode]]:
    leader = await elect(world)
    await world.run(REST_MS)
    return leader, [node for node in world.nodes if node is not leader]


async def wish(world: ServiceWorld, work: Awaitable[View], duration_ms: int = 3_000) -> View:
    async def ask() -> View:
        return await work

    task = asyncio.get_running_loop().create_task(ask())
    await world.run(duration_ms)
    return await task


def test_leadership_is_handed_over_within_a_moment_and_written_down() -> None:
    """The state is taken over by hash, and the history says why and who voted."""

    async def story(world: ServiceWorld) -> None:
        leader, (other, third) = await settle(world)
        view = await wish(world, leader.service.wishes.transfer(third.node), 300)
        assert (view.leader, view.term) == (third.node, 2)
        assert world.leaders() == [third]
        assert leader.changes[1] == LeadershipEnded(Term(1), StepDown.TRANSFERRED)
        await world.run(500)
        for node in world.nodes:
            stories, complete = await node.service.history()
            assert complete
            first, second = stories
            assert (first.leader, first.end) == (leader.node, "handed over")
            assert (second.leader, second.cause) == (third.node, "handed over")
            assert (second.predecessor, len(second.state)) == (leader.node, 64)
        assert other.service.view().leader == third.node

    play(story)


def test_a_transfer_that_cannot_be_leaves_the_leader_in_office() -> None:
    async def story(world: ServiceWorld) -> None:
        leader, (other, _) = await settle(world)
        with pytest.raises(NotLeader):
            await other.service.wishes.transfer()
        with pytest.raises(TransferFailed, match="x has no vote"):
            await leader.service.wishes.transfer(NodeId("x"))
        leader.put_faults.append(QuorumUnavailable("told so"))
        with pytest.raises(TransferFailed, match="leads on"):
            await wish(world, leader.service.wishes.transfer(other.node))
        assert leader.reported("not handed over")
        assert world.leaders() == [leader]
        leader.put_faults.append(QuorumUnavailable("told so"))

    play(story)


def test_wishes_alone_move_leadership_no_more_often_than_leaders_rest() -> None:
    """A script that asks all the time drove terms from 4 to 28 in ten seconds."""

    async def story(world: ServiceWorld) -> None:
        await settle(world)
        before = max(node.service.view().term for node in world.nodes)
        refused = 0
        for _ in range(100):
            for leader in world.leaders():
                try:
                    await wish(world, leader.service.wishes.transfer(), 100)
                except RateLimited:
                    refused += 1
            await world.run(100)
        after = max(node.service.view().term for node in world.nodes)
        assert after - before in {5, 6, 7}, "in 20 s, one each 3 s"
        assert refused > 50
        await world.run(REST_MS)
        (leader,) = world.leaders()
        assert (await wish(world, leader.service.wishes.transfer())).term == after + 1

    play(story)


def test_a_second_transfer_waits_for_nobody() -> None:
    async def story(world: ServiceWorld) -> None:
        leader, (other, _) = await settle(world)
        first = asyncio.get_running_loop().create_task(
            wish(world, leader.service.wishes.transfer(other.node), 2_000)
        )
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(NotLeader):
            await leader.service.wishes.transfer(other.node)
        assert (await first).leader == other.node
        leader.service.wishes.settle("nobody waits for this")

    play(story)


def test_a_transfer_to_a_node_that_dies_ends_in_an_ordinary_election() -> None:
    async def story(world: ServiceWorld) -> None:
        leader, (other, third) = await settle(world)
        task = asyncio.get_running_loop().create_task(leader.service.wishes.transfer(other.node))
        await asyncio.sleep(0)
        await world.stop(other)
        await world.run(4_000)
        view = await task
        assert view.leader in {leader.node, third.node}
        assert len(world.leaders()) == 1

    play(story)


def test_a_transfer_that_finds_no_successor_in_time_says_so() -> None:
    async def story(world: ServiceWorld) -> None:
        leader, others = await settle(world)
        task = asyncio.get_running_loop().create_task(leader.service.wishes.transfer())
        await asyncio.sleep(0)
        for node in others:
            await world.stop(node)
        await world.run(TAKEOVER_MS + 2_000)
        with pytest.raises(TransferFailed, match="nobody leads yet"):
            await task

    play(story)


def test_a_successor_does_not_serve_on_another_state_than_was_handed_over() -> None:
    """Same revision, other bytes: somebody has changed the store under us."""

    async def story(world: ServiceWorld) -> None:
        leader, (other, _) = await settle(world)
        stream = world.hub.find_stream("control")
        hand_over = leader.service._post.transfer

        def tamper(warrant: Warrant, number: int) -> None:
            log = stream.records["log"]
            stream.records["log"] = Record("log", b"another", log.revision)
            hand_over(warrant, number)

        leader.service._post.transfer = tamper  # type: ignore[method-assign]
        task = asyncio.get_running_loop().create_task(leader.service.wishes.transfer(other.node))
        await world.run(4_000)
        assert (await task).leader != other.node
        assert other.reported("state not taken over")
        assert len(world.leaders()) == 1

    play(story)


def test_with_manual_failover_an_operator_elects() -> None:
    async def story(world: ServiceWorld) -> None:
        leader, (other, third) = await settle(world)
        with pytest.raises(TransferFailed, match="there is a leader"):
            await other.service.wishes.stand()
        await world.stop(leader)
        await world.run(10_000)
        assert world.leaders() == []
        assert other.service.view().waits_for_operator
        view = await wish(world, other.service.wishes.stand())
        assert view.leader == other.node
        assert world.leaders() == [other]
        stories, _ = await third.service.history()
        assert [one.cause for one in stories] == ["first election", "an operator asked for it"]
        assert stories[0].end == "fell silent"
        await world.stop(third)
        await world.run(5_000)
        task = asyncio.get_running_loop().create_task(other.service.wishes.stand())
        await world.run(15_000)
        with pytest.raises(TransferFailed, match="nobody leads yet"):
            await task

    play(story, manual=True)


def test_who_has_no_vote_cannot_be_elected_by_hand() -> None:
    async def story(world: ServiceWorld) -> None:
        world.nodes[0].votes.vote = None
        world.start(world.nodes[0])
        await world.run(100)
        with pytest.raises(TransferFailed, match="no vote"):
            await world.nodes[0].service.wishes.stand()

    play(story)


def test_voters_change_and_everybody_goes_on_under_the_new_set() -> None:
    """1 -> 3: who leads stops first, all others find out, terms go on."""

    async def story(world: ServiceWorld) -> None:
        leader, others = await settle(world)
        outsider = IdentityKey.generate()
        wanted = VoterSet(
            tuple(
                sorted(
                    (*world.voters.voters[:2], Voter(outsider.node_id, "n", outsider.public_key))
                )
            )
        )
        with pytest.raises(NotLeader):
            await others[0].service.wishes.change_voters(wanted)
        await leader.service.wishes.change_voters(wanted)
        assert leader.changes[-1] == LeadershipEnded(Term(1), StepDown.VOTERS_CHANGED)
        await world.run(1_000)
        adopted = []
        for node in world.nodes:
            assert node.task is not None
            assert node.task.done()
            adopted.append(node.task.result())
            node.task = None
        assert {(one.number, one.term, one.digest()) for one in adopted} == {
            (2, 1, wanted.digest())
        }
        again = [
            await world.add(key, voters=adopted[0])
            for key in (*world.keys, outsider)
            if wanted.find(key.node_id)
        ]
        world.nodes = again
        world.start(*again)
        await world.run(3_000)
        (second,) = world.leaders()
        assert second.service.view().term == 2
        history, _ = await second.service.history()
        assert [one.end for one in history] == ["the voters changed", ""]
        with pytest.raises(NotLeader):
            await leader.service.wishes.change_voters(wanted)

    play(story)


def test_a_change_of_voters_whose_answer_is_lost_ends_the_leadership_all_the_same() -> None:
    """It may be committed: the new voters may have elected somebody already."""

    async def story(world: ServiceWorld) -> None:
        leader, _ = await settle(world)
        leader.put_faults.append(RequestTimeout("told so"))
        with pytest.raises(RequestTimeout):
            await leader.service.wishes.change_voters(VoterSet(world.voters.voters[:1]))
        await world.run(3_000)
        assert leader.changes[1] == LeadershipEnded(Term(1), StepDown.VOTERS_CHANGED)
        assert len(world.leaders()) == 1

    play(story)


def test_a_leader_elected_by_voters_of_the_past_does_not_serve() -> None:
    """They are committed, and nobody has told this node yet."""

    async def story(world: ServiceWorld) -> None:
        later = VoterSet(world.voters.voters[:1], number=2)
        records = world.nodes[0].records
        await records.write(VOTERS_KEY, encode(later), Guard(VOTERS_KEY, Revision(0)))
        world.start()
        await world.run(3_000)
        assert world.leaders() == []
        assert all(node.task is not None and node.task.done() for node in world.nodes)
        for node in world.nodes:
            node.task = None

    play(story)


def test_a_message_of_strangers_makes_a_node_look_at_the_voters_and_not_too_often() -> None:
    async def story(world: ServiceWorld) -> None:
        leader, (other, _) = await settle(world)
        later = VoterSet(world.voters.voters[:1], number=2)
        put = Guard("_term", Revision(1))
        await leader.records.write(VOTERS_KEY, encode(later), put)
        stranger = IdentityKey.generate()
        forged = Wire(
            me=stranger.node_id,
            cluster=ClusterId("c"),
            stream=leader.records.stream,
            voters=world.voters,
            signer=stranger,
        ).seal(HeartbeatAck(Term(1), Revision(1), 1, 50.0))
        for _ in range(3):
            await other.fabric.publish(f"bz.el.to.{other.node}", forged)
        await world.run(100)
        assert other.task is not None
        assert other.task.done()
        assert other.task.result().number == 2
        other.task = None

    play(story)


# ---- misbehaviour


def test_a_voter_that_gives_two_ballots_is_convicted_by_all() -> None:
    """Whoever holds the two tells everybody; the proof speaks for itself."""

    async def story(world: ServiceWorld) -> None:
        leader, others = await settle(world)
        record = await leader.records.read("_term")
        assert record is not None
        certificate = decode_record(record.value).certificate
        elected_by = {signed.ballot.voter for signed in certificate}
        (traitor,) = [node for node in others if node.node in elected_by]
        (third,) = [node for node in others if node is not traitor]
        first = next(signed.ballot for signed in certificate if signed.ballot.voter == traitor.node)
        second = msgspec.structs.replace(first, candidate=third.node)
        reply = VoteReply(
            third.node, Term(1), sign_ballot(second, traitor.key), "", Term(1), Revision(0)
        )
        sealed = Wire(
            me=traitor.node,
            cluster=ClusterId("c"),
            stream=leader.records.stream,
            voters=world.voters,
            signer=traitor.key,
        ).seal(reply)
        await traitor.fabric.publish(f"bz.el.to.{third.node}", sealed)
        await world.run(500)
        for node in (leader, third):
            assert node.clerk.quarantined() == {traitor.node}
            assert [what for what, _ in node.audited] == ["voter quarantined"]
        assert traitor.clerk.quarantined() == frozenset()
        assert world.leaders() == [leader], "it leads on: a majority wanted it"
        await world.stop(leader)
        await world.run(4_000)
        assert world.leaders() == [], "two of three are needed, and one of them is not believed"
        assert third.service.pardon(traitor.node)
        assert not third.service.pardon(traitor.node)
        await world.run(3_000)
        assert len(world.leaders()) == 1

    play(story)


def test_writes_that_fail_end_a_leadership_and_news_of_an_older_one_do_not() -> None:
    """A leader that cannot write is useless even if everybody hears it."""

    async def story(world: ServiceWorld) -> None:
        leader, _ = await settle(world)
        token = leader.service.token()
        assert token is not None
        leader.service.trouble(FencingToken(token.stream, Revision(99)), "another one's")
        assert leader.service.serves()
        leader.service.trouble(token, "writes hang")
        assert not leader.service.serves()
        await world.run(1_000)
        assert leader.changes[1] == LeadershipEnded(Term(1), StepDown.UNABLE)
        assert len(world.leaders()) == 1

    play(story)


def test_a_history_that_cannot_be_read_is_what_the_node_has_seen() -> None:
    async def story(world: ServiceWorld) -> None:
        leader, (other, _) = await settle(world)
        other.fabric.state = FabricState.LOST
        stories, complete = await other.service.history()
        assert not complete
        assert [one.leader for one in stories] == [leader.node]
        other.fabric.state = FabricState.CONNECTED
        stream = world.hub.find_stream("control")
        held = stream.records["_history"]
        stream.records["_history"] = Record("_history", b"\xc1", held.revision)
        assert (await other.service.history())[1] is False
        await leader.service.wishes.resign()
        await world.run(1_000)
        assert any(node.reported("history begun anew") for node in world.nodes)
        assert (await other.service.history())[1] is True

    play(story)


def test_a_leader_deposed_while_it_writes_the_history_steps_down() -> None:
    async def story(world: ServiceWorld) -> None:
        for node in world.nodes:
            node.put_faults.append(Deposed("told so"))
        world.start()
        await world.run(1_500)
        assert any(node.reported("stepped down") for node in world.nodes)

    play(story)


def test_a_history_write_that_outlives_its_leadership_is_given_up() -> None:
    async def story(world: ServiceWorld) -> None:
        for node in world.nodes:
            node.put_faults += [QuorumUnavailable("told so")] * 30
        leader = await elect(world)
        await leader.service.wishes.resign()
        await world.run(4_000)
        assert len(world.leaders()) == 1

    play(story)


def test_a_doubled_heartbeat_is_counted_and_nobodys_fault() -> None:
    async def story(world: ServiceWorld) -> None:
        leader, (other, _) = await settle(world)
        await leader.fabric.publish("bz.el.all", leader.service.sealed_heartbeat)
        await world.run(50)
        assert other.clerk.counters[f"stale:{leader.node}"] == 1
        assert other.clerk.quarantined() == frozenset()

    play(story)


def test_an_idle_follower_is_woken_about_once_a_second() -> None:
    """Nothing ticks: the machine's own deadlines and the score are all."""

    async def story(world: ServiceWorld) -> None:
        leader, (other, _) = await settle(world)
        for node, wakes_max in ((other, 32), (leader, 75)):
            before = node.service._alarm.rings
            await world.run(10_000)
            assert node.service._alarm.rings - before <= wakes_max
        assert leader.service.lag_ms_max <= 1

    play(story)


def test_a_leadership_that_ends_before_it_opens_is_over() -> None:
    """Its first write is still being tried, or its history."""

    async def story(world: ServiceWorld) -> None:
        for node in world.nodes:
            node.first_write_faults += [QuorumUnavailable("told so")] * 40
        world.start()
        while not any(node.reported("elected") for node in world.nodes):
            await world.run(10)
        (leader,) = [node for node in world.nodes if node.reported("elected")]
        opening = leader.service._opening
        leader.service._opening = None  # Nobody cancels it: it has to notice itself.
        leader.service._feed(Resign())
        await world.run(500)
        assert opening is not None
        assert opening.done()
        assert not any(isinstance(each, LeadershipEnded) for each in leader.changes)

    play(story)


def test_a_history_that_cannot_be_written_any_more_is_left_to_the_successor() -> None:
    async def story(world: ServiceWorld) -> None:
        for node in world.nodes:
            node.put_faults += [QuorumUnavailable("told so")] * 60
        leader = await elect(world)
        opening = leader.service._opening
        leader.service._opening = None
        await leader.service.wishes.resign()
        await world.run(500)
        assert opening is not None
        assert opening.done()

    play(story)


def test_only_a_leaders_own_story_is_written_down() -> None:
    """The certificate proves who leads, not what it tells."""

    async def story(world: ServiceWorld) -> None:
        leader, (other, _) = await settle(world)
        wire, record = leader.service._post._wire, leader.service._post._wire._proven
        assert record is not None
        await world.run(100)
        before = other.clerk.leaderships()
        lie = encode_leadership(Leadership(Term(9), other.node, cause="first election"))
        for words in (b"\xc1", lie):
            told = Proclamation(Revision(1), record, Revision(2), words)
            await leader.fabric.publish(LEADER_SUBJECT, wire.seal(told))
        await world.run(100)
        assert other.clerk.leaderships() == before
        assert before[0].cause == "first election"

    play(story)


def test_whoever_signs_a_false_certificate_is_quarantined_and_another_leader_elected() -> None:
    """In a heartbeat, or in the store where it deposes the leader: its signature convicts it."""

    async def story(world: ServiceWorld) -> None:
        leader, (liar, third) = await settle(world)
        record = await leader.records.read("_term")
        assert record is not None
        held = decode_record(record.value)
        false = TermRecord(Term(2), liar.node, record.revision, held.certificate[:0])
        content = encode_record(sign_record(false, liar.key))
        await liar.records.write("_term", content, Guard("_term", record.revision))
        await leader.service.wishes.resign()
        await world.run(4_000)
        honest = [node for node in (leader, third) if liar.node in node.clerk.quarantined()]
        assert honest == [leader, third]
        (second,) = world.leaders()
        assert second in honest
        assert second.service.view().term > 2, "the false term is spent"
        assert ("voter quarantined", "unproven") in [
            (what, fields.get("offence")) for what, fields in third.audited
        ]

    play(story)


def test_a_false_heartbeat_is_followed_by_nobody() -> None:
    async def story(world: ServiceWorld) -> None:
        leader, (liar, third) = await settle(world)
        false = TermRecord(Term(2), liar.node, Revision(1), ())
        beat = Heartbeat(Term(2), Revision(9), 1, liar.node, false, Revision(0), ())
        await liar.fabric.publish(BROADCAST_SUBJECT, liar.service._post._wire.seal(beat))
        await world.run(300)
        for node in (leader, third):
            assert node.service.view().leader == leader.node
            assert node.clerk.quarantined() == {liar.node}

    play(story)
