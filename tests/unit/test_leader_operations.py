"""What the API says about leadership, and what operators may ask of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from bzzz_core.api.operations import Call, Operation
from bzzz_core.config.schema import AgentConfig
from bzzz_core.election.machine import View
from bzzz_core.election.quarantine import Offence, Rejected
from bzzz_core.election.quorum import QuorumWatch
from bzzz_core.election.service import ElectionService
from bzzz_core.enrolment.registry import EnrolledNode, NodeState, Registry
from bzzz_core.errors import (
    NotLeader,
    PermissionDenied,
    QuorumUnavailable,
    RequestInvalid,
    TransferFailed,
    TransportError,
)
from bzzz_core.leader_operations import LeaderOperations, guarded
from bzzz_core.leadership import Leadership
from bzzz_core.model import ClusterId, FabricState, NodeId, VoterSet
from tests.fakes.election_nodes import ServiceNode, ServiceWorld


def call(body: object = None) -> Call:
    return Call(params={}, query={}, body=msgspec.json.encode(body) if body is not None else b"")


@dataclass
class StandInLeadership:
    """What `LeaderOperations` asks of a `Leadership`, around a real election."""

    node: ServiceNode
    voters: VoterSet
    quorum: QuorumWatch
    votes: bool = True

    @property
    def clerk(self) -> Any:
        return self.node.clerk

    @property
    def election(self) -> ElectionService | None:
        return self.node.service if self.votes else None

    def view(self) -> View | None:
        return self.node.service.view()


@dataclass
class StandInRequests:
    """Asks whoever leads in this process."""

    me: NodeId
    desks: list[Desk]
    served: dict[str, Callable[[NodeId, bytes], Awaitable[bytes]]] = field(default_factory=dict)

    def serve(self, operation: str, handler: Callable[[NodeId, bytes], Awaitable[bytes]]) -> None:
        self.served[operation] = handler

    async def ask(self, operation: str, body: bytes, *, timeout_ms: int) -> bytes:
        assert timeout_ms > 0
        for desk in self.desks:
            if desk.node.service.serves():
                return await desk.requests.served[operation](self.me, body)
        raise NotLeader("nobody")


@dataclass
class Desk:
    """One node's operations."""

    node: ServiceNode
    leadership: StandInLeadership
    requests: StandInRequests
    operations: LeaderOperations
    audited: list[tuple[str, dict[str, object]]]
    config: SimpleNamespace
    registry: Registry | None = None

    @property
    def entry(self) -> SimpleNamespace:
        """How the cluster's list names this node; every node has the same list."""
        (found,) = [one for one in self.config.cluster.nodes if one.id == self.node.node]
        return found


def furnish(world: ServiceWorld, policy: str = "read-only") -> list[Desk]:
    names = [
        SimpleNamespace(id=node.node, name=f"bzzz-{n}", voter=True)
        for n, node in enumerate(world.nodes, 1)
    ]
    cluster = SimpleNamespace(nodes=names, failover="automatic", without_quorum=policy)
    desks: list[Desk] = []
    desks += [make_desk(world, node, cluster, desks) for node in world.nodes]
    return desks


def make_desk(
    world: ServiceWorld, node: ServiceNode, cluster: SimpleNamespace, desks: list[Desk]
) -> Desk:
    audited: list[tuple[str, dict[str, object]]] = []
    quorum = QuorumWatch(
        view=node.service.view, policy=cluster.without_quorum, clock=world.clock, grace_ms=1_000
    )
    leadership = StandInLeadership(node, world.voters, quorum)
    requests = StandInRequests(node.node, desks)
    config = SimpleNamespace(me=SimpleNamespace(id=node.node), cluster=cluster)
    operations = LeaderOperations(
        cast("Leadership", leadership),
        config=lambda: cast("AgentConfig", config),
        registry=lambda: desk.registry,
        requests=requests,
        audit=lambda what, **fields: audited.append((what, fields)),
    )
    desk = Desk(node, leadership, requests, operations, audited, config)
    return desk


def play(
    story: Callable[[ServiceWorld, list[Desk]], Awaitable[None]],
    policy: str = "read-only",
    *,
    manual: bool = False,
) -> None:
    async def run(folder: Path) -> None:
        async with ServiceWorld(folder, manual=manual) as world:
            desks = furnish(world, policy)
            world.start()
            await world.run(5_000)
            await story(world, desks)

    with TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


async def during(world: ServiceWorld, work: Awaitable[Any], duration_ms: int = 2_000) -> Any:
    async def ask() -> Any:
        return await work

    task = asyncio.get_running_loop().create_task(ask())
    await world.run(duration_ms)
    return await task


def leader_of(world: ServiceWorld, desks: list[Desk]) -> tuple[Desk, list[Desk]]:
    (node,) = world.leaders()
    (leader,) = [desk for desk in desks if desk.node is node]
    return leader, [desk for desk in desks if desk is not leader]


def test_the_offered_paths_are_these() -> None:
    async def story(_world: ServiceWorld, desks: list[Desk]) -> None:
        offered = {(each.method, each.path) for each in desks[0].operations.operations()}
        assert offered == {
            ("GET", "/v1/leader"),
            ("GET", "/v1/leader/history"),
            ("POST", "/v1/leader/transfer"),
            ("POST", "/v1/leader/elect"),
            ("POST", "/v1/leader/release"),
        }

    play(story)


def test_every_node_shows_the_leader_by_name() -> None:
    async def story(world: ServiceWorld, desks: list[Desk]) -> None:
        leader, (other, _) = leader_of(world, desks)
        mine = await leader.operations.show(call())
        theirs = await other.operations.show(call())
        assert (mine.role, theirs.role) == ("leader", "follower")
        assert mine.leader == theirs.leader == mine.node
        assert (mine.term, mine.serving, mine.cause, mine.stale) == (
            1,
            True,
            "first election",
            False,
        )
        assert mine.since_at == theirs.since_at
        assert (mine.majority, mine.voters_number) == (2, 1)
        assert mine.voters == ("bzzz-1", "bzzz-2", "bzzz-3")

    play(story)


def test_a_node_that_knows_nothing_says_so() -> None:
    async def story(world: ServiceWorld, desks: list[Desk]) -> None:
        desk = desks[0]
        desk.leadership.view = lambda: None  # type: ignore[method-assign]
        shown = await desk.operations.show(call())
        assert (shown.leader, shown.role, shown.term, shown.since_at) == (None, "follower", 0, None)
        with pytest.raises(NotLeader, match="leader elect"):
            await desk.operations.transfer(call({}))
        await world.run(100)

    play(story)


def test_a_transfer_asked_anywhere_is_done_by_the_leader_and_audited() -> None:
    async def story(world: ServiceWorld, desks: list[Desk]) -> None:
        leader, (other, third) = leader_of(world, desks)
        name = (await third.operations.show(call())).node
        done = await during(world, other.operations.transfer(call({"to": name})))
        assert (done.leader, done.term) == (name, 2)
        fields = {"actor": other.node.node, "to": third.node.node, "term": 1}
        assert leader.audited == [("leadership transferred", fields)]
        assert other.audited == [
            ("leader transfer", {"actor": "somebody by API with token admin", "to": name})
        ]
        again = await during(world, other.operations.transfer(call({"to": third.node.node})))
        assert (again.leader, again.term) == (name, 2), "it leads already"
        anybody = await during(world, other.operations.transfer(call({"by": "root"})))
        assert other.audited[-1][1]["actor"] == "root by API with token admin"
        assert anybody.term == 3

    play(story)


def test_a_transfer_asked_twice_happens_once() -> None:
    """The answer to the first may have been lost, and somebody else leads by now."""

    async def story(world: ServiceWorld, desks: list[Desk]) -> None:
        leader, (other, _) = leader_of(world, desks)
        question = msgspec.msgpack.encode((1, None))
        first = await during(world, other.requests.ask("leader-transfer", question, timeout_ms=1))
        second = await other.requests.ask("leader-transfer", question, timeout_ms=1)
        assert first == second
        assert leader.node not in world.leaders()

    play(story)


@pytest.mark.parametrize(
    ("body", "problem"), [({"to": "nobody"}, "there is no node nobody"), ({"to": 7}, "body")]
)
def test_a_transfer_to_nobody_is_refused(body: dict[str, object], problem: str) -> None:
    async def story(_world: ServiceWorld, desks: list[Desk]) -> None:
        with pytest.raises(RequestInvalid, match=problem):
            await desks[0].operations.transfer(call(body))
        with pytest.raises(RequestInvalid):
            await desks[0].requests.served["leader-transfer"](NodeId("x"), b"\xc1")

    play(story)


def test_wishes_are_for_voters_and_an_edge_says_where_to_go() -> None:
    """An edge's certificate could keep leadership on the move; its question goes no further."""

    async def story(world: ServiceWorld, desks: list[Desk]) -> None:
        leader, (edge, _) = leader_of(world, desks)
        edge.entry.voter = False
        voters = ", ".join(sorted(desk.entry.name for desk in desks if desk is not edge))
        for wish in (edge.operations.transfer, edge.operations.elect):
            with pytest.raises(PermissionDenied, match=f"is for voters; run it on one of {voters}"):
                await wish(call({"by": "root"}))
        assert [what for what, _ in edge.audited] == [
            "leader transfer refused",
            "leader election refused",
        ]
        assert leader.audited == []
        question = msgspec.msgpack.encode((1, None))
        with pytest.raises(PermissionDenied, match="is for voters"):
            await edge.requests.ask("leader-transfer", question, timeout_ms=1)
        ((what, fields),) = leader.audited
        assert (what, fields["actor"]) == ("leadership transfer refused", edge.node.node)
        assert world.leaders() == [leader.node]

    play(story)


def test_a_node_without_a_vote_cannot_be_made_leader_and_is_named() -> None:
    async def story(world: ServiceWorld, desks: list[Desk]) -> None:
        leader, (other, _) = leader_of(world, desks)
        leader.config.cluster.nodes.append(SimpleNamespace(id="e" * 26, name="bzzz-4", voter=False))
        with pytest.raises(TransferFailed, match=r"^bzzz-4 has no vote"):
            await during(world, other.operations.transfer(call({"to": "bzzz-4"})))
        assert world.leaders() == [leader.node]

    play(story)


def test_the_history_names_nodes_and_reasons() -> None:
    async def story(world: ServiceWorld, desks: list[Desk]) -> None:
        leader, (other, _) = leader_of(world, desks)
        await during(world, other.operations.transfer(call({"to": other.node.node})))
        told = await other.operations.history(call())
        assert (told.complete, told.stale) == (True, False)
        first, second = told.leaderships
        assert (first.leader, first.end) == (
            (await leader.operations.show(call())).node,
            "handed over",
        )
        assert (second.predecessor, second.cause) == (first.leader, "handed over")
        assert all(ballot.voter.startswith("bzzz-") for ballot in second.ballots)
        assert all(candidate.name.startswith("bzzz-") for candidate in second.candidates)
        told_by = [await desk.operations.history(call()) for desk in desks]
        assert any(one.given for told in told_by for one in told.decisions)

    play(story)


def test_a_node_that_has_left_keeps_its_name_in_the_history() -> None:
    """And one that has got its name since is not taken for it."""

    async def story(world: ServiceWorld, desks: list[Desk]) -> None:
        leader, (other, third) = leader_of(world, desks)
        await world.stop(leader.node)
        await world.run(4_000)
        gone, left = leader.node.key, NodeState.LEFT
        entry = EnrolledNode(gone.node_id, "bzzz-2", gone.public_key, "10.0.0.1", state=left)
        for desk in (other, third):
            desk.config.cluster.nodes = [n for n in desk.config.cluster.nodes if n.id != entry.id]
        told = await other.operations.history(call())
        assert told.leaderships[0].leader == entry.id, "nobody knows it"
        other.registry = Registry(ClusterId("c"), 1, (entry,))
        first, second = (await other.operations.history(call())).leaderships
        assert (first.leader, first.leader_id) == ("bzzz-2 (left)", entry.id)
        assert (second.predecessor, second.leader[:5]) == ("bzzz-2 (left)", "bzzz-")
        assert "bzzz-2 (left)" in (await other.operations.show(call())).voters
        with pytest.raises(RequestInvalid, match="there is no node bzzz-2 "):
            await other.operations.transfer(call({"to": "bzzz-2 (left)"}))

    play(story)


def test_an_edge_asks_the_leader_for_the_history_or_shows_what_it_was_told() -> None:
    async def story(world: ServiceWorld, desks: list[Desk]) -> None:
        _, (other, _) = leader_of(world, desks)
        other.leadership.votes = other.entry.voter = False
        assert (await other.operations.history(call())).complete

        async def fail(*_: object, **__: object) -> bytes:
            raise TransportError("told so")

        other.requests.ask = fail  # type: ignore[method-assign]
        told = await other.operations.history(call())
        assert not told.complete
        assert [one.term for one in told.leaderships] == [1]
        for operation in ("leader-history", "leader-transfer"):
            with pytest.raises(NotLeader):
                await other.requests.served[operation](
                    NodeId("x"), msgspec.msgpack.encode((1, None))
                )
        other.entry.voter = True
        with pytest.raises(TransferFailed, match="ask another voter"):
            await other.operations.elect(call())

    play(story)


@pytest.mark.parametrize("policy", ["read-only", "stop"])
def test_without_quorum_the_leader_is_shown_and_the_history_follows_the_policy(policy: str) -> None:
    async def story(world: ServiceWorld, desks: list[Desk]) -> None:
        leader, (other, third) = leader_of(world, desks)
        for desk in (leader, third):
            await world.stop(desk.node)
        await world.run(3_000)
        shown = await other.operations.show(call())
        assert (shown.leader, shown.stale) == (None, True)
        if policy == "stop":
            with pytest.raises(QuorumUnavailable):
                await other.operations.history(call())
        else:
            assert (await other.operations.history(call())).stale

    play(story, policy)


def test_an_operator_elects_and_releases() -> None:
    async def story(world: ServiceWorld, desks: list[Desk]) -> None:
        leader, (other, third) = leader_of(world, desks)
        lie = Rejected("a lie", Offence.UNTRUE).against(third.node.node, proven=True)
        other.node.service._post.reject(lie, b"proof")
        (note,) = (await other.operations.show(call())).quarantined
        assert note.until_released
        assert note.node.startswith("bzzz-")
        released = await other.operations.release(call({"node": note.node}))
        assert released == {"released": True}
        with pytest.raises(RequestInvalid, match="not in quarantine"):
            await other.operations.release(call({"node": note.node}))
        leader.node.fabric.state = FabricState.LOST
        await world.run(2_000)
        assert (await other.operations.show(call())).waits_for_operator
        done = await during(world, other.operations.elect(call()))
        assert done.term == 2
        assert [what for what, _ in other.audited] == [
            "leader release",
            "leader release refused",
            "leader election",
        ]

    play(story, manual=True)


def test_polls_and_votes_are_told_in_words() -> None:
    async def story(world: ServiceWorld, desks: list[Desk]) -> None:
        leader, (other, third) = leader_of(world, desks)
        await world.stop(leader.node)
        third.node.votes.fails = True
        await world.run(4_000)
        decisions = (await other.operations.history(call())).decisions
        polls = [one for one in decisions if not one.given and one.reason]
        assert polls

    play(story)


@pytest.mark.parametrize("policy", ["read-only", "stop"])
def test_under_stop_nothing_that_may_be_stale_is_answered(policy: str) -> None:
    """The hash table answers from what it has, or not at all, as the operator chose."""

    async def story(world: ServiceWorld, desks: list[Desk]) -> None:
        leader, (other, third) = leader_of(world, desks)

        async def answer(_call: Call) -> str:
            return "known"

        offered = Operation("GET", "/v1/dht/x", answer, "dht:read", "Known")
        (operation,) = guarded([offered], other.leadership.quorum)
        assert (operation.method, operation.path) == ("GET", "/v1/dht/x")
        assert await operation.handler(call()) == "known"
        for desk in (leader, third):
            await world.stop(desk.node)
        await world.run(3_000)
        if policy == "stop":
            with pytest.raises(QuorumUnavailable):
                await operation.handler(call())
        else:
            assert await operation.handler(call()) == "known"

    play(story, policy)
