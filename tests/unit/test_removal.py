"""Removal keeps a living majority of those that count in elections; a leave can be called off."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from bzzz_core.enrolment.messages import Leaving, Named, Nothing, Revocation, pack
from bzzz_core.enrolment.registrar import Registrar
from bzzz_core.enrolment.registry import EnrolledNode, NodeState, Registry, encode
from bzzz_core.enrolment.removal import Removal
from bzzz_core.errors import NotEnrolled, RequestInvalid
from bzzz_core.model import (
    ClusterId,
    FencingToken,
    NodeId,
    Revision,
    StreamId,
    Voter,
    VoterSet,
)
from bzzz_core.ports import Guard, Record
from bzzz_core.trust.keys import node_id_of
from tests.fakes.virtual_time import VirtualClock

TOKEN = FencingToken(StreamId("s"), Revision(7))


def node(number: int) -> EnrolledNode:
    key = number.to_bytes(32, "big")
    return EnrolledNode(
        id=node_id_of(key), name=f"n{number}", public_key=key, address="127.0.0.1", voter=True
    )


A, B, C = NODES = (node(1), node(2), node(3))


class HeldRecords:
    """The control stream as a dictionary; one leader, never deposed."""

    stream = TOKEN.stream

    def __init__(self, **values: bytes) -> None:
        self.values = values

    async def read(self, key: str) -> Record | None:
        value = self.values.get(key)
        return None if value is None else Record(key, value, Revision(1))

    async def write(
        self, key: str, value: bytes, guard: Guard, *, request_id: str | None = None
    ) -> Revision:
        raise AssertionError((key, value, guard, request_id))

    async def put(self, token: FencingToken, key: str, value: bytes) -> Revision:
        assert token == TOKEN
        await asyncio.sleep(0)
        self.values[key] = value
        return Revision(2)


class Cluster:
    """Three voters and the leader's part of removal."""

    def __init__(self, *committed: EnrolledNode) -> None:
        self.dead: set[EnrolledNode] = set()
        self.audited: list[str] = []
        nodes = Registry(cluster=ClusterId("c"), version=1, nodes=tuple(sorted(NODES)))
        voters = sorted(Voter(each.id, each.name, each.public_key) for each in committed)
        self.records = HeldRecords(_nodes=encode(nodes))

        async def taken(registry: Registry) -> None:
            del registry

        async def voters_only(asker: NodeId, what: str) -> Registry:
            del asker, what
            return await self.registrar.registry()

        self.clock = VirtualClock()
        self.registrar = Registrar(
            records=self.records,
            put=self.records.put,
            leads=lambda: TOKEN,
            known=lambda: nodes,
            taken=taken,
        )
        self.removal = Removal(
            registrar=self.registrar,
            voters_only=voters_only,
            committed=lambda: VoterSet(tuple(voters)),
            alive=lambda wanted: wanted not in {each.id for each in self.dead},
            clock=self.clock,
            now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
            audit=lambda what, **_fields: self.audited.append(what),
        )

    async def revoke(self, member: EnrolledNode, *, costs_quorum: bool = False) -> None:
        await self.removal.revoke(A.id, pack(Revocation(member.name, costs_quorum)))

    async def found(self, member: EnrolledNode) -> EnrolledNode:
        found = (await self.registrar.registry()).find(member.id)
        assert found is not None
        return found

    async def state(self, member: EnrolledNode) -> NodeState:
        found = (await self.registrar.registry()).find(member.id)
        assert found is not None
        return found.state


def test_a_second_voter_is_not_revoked_before_the_first_is_replaced() -> None:
    async def scenario() -> None:
        cluster = Cluster(A, B, C)
        await cluster.revoke(B)
        with pytest.raises(RequestInvalid, match="only 1 of 3"):
            await cluster.revoke(C)
        assert await cluster.state(B) is NodeState.REVOKED
        assert await cluster.state(C) is NodeState.MEMBER

    asyncio.run(scenario())


def test_of_two_voters_revoked_at_once_one_stays() -> None:
    async def scenario() -> None:
        cluster = Cluster(A, B, C)
        another = cluster.registrar.change(lambda registry: registry.with_route_pin(A.id, "pin"))
        _, *said = await asyncio.gather(
            another, cluster.revoke(B), cluster.revoke(C), return_exceptions=True
        )
        assert [type(each) for each in said] == [type(None), RequestInvalid]
        assert await cluster.state(C) is NodeState.MEMBER

    asyncio.run(scenario())


def test_the_only_voter_that_counts_is_not_revoked_while_others_are_to_follow() -> None:
    """After B was revoked, A alone counts until the voters are changed once more."""

    async def scenario() -> None:
        cluster = Cluster(A)
        await cluster.revoke(B)
        for costs_quorum in (False, True):
            with pytest.raises(RequestInvalid, match="n1 is the only voter that counts yet"):
                await cluster.revoke(A, costs_quorum=costs_quorum)
        assert await cluster.state(A) is NodeState.MEMBER
        await cluster.revoke(C)
        with pytest.raises(RequestInvalid, match="last voter"):
            await cluster.revoke(A)

    asyncio.run(scenario())


def test_a_name_that_was_revoked_is_revoked() -> None:
    async def scenario() -> None:
        cluster = Cluster(A, B, C)
        await cluster.revoke(B)
        version = (await cluster.registrar.registry()).version
        await cluster.revoke(B)
        assert (await cluster.registrar.registry()).version == version
        with pytest.raises(RequestInvalid, match="no node n9"):
            await cluster.removal.revoke(A.id, pack(Named("n9")))

    asyncio.run(scenario())


def test_of_a_node_that_left_the_id_is_wanted() -> None:
    async def scenario() -> None:
        cluster = Cluster(A, B)
        await cluster.registrar.change(lambda r: r.without(C.id, NodeState.LEFT, at="2026"))
        with pytest.raises(RequestInvalid, match=f"say its id: {C.id}"):
            await cluster.revoke(C)
        await cluster.removal.revoke(A.id, pack(Named(C.id)))
        assert await cluster.state(C) is NodeState.REVOKED

    asyncio.run(scenario())


def test_once_the_voters_were_changed_the_next_may_go() -> None:
    async def scenario() -> None:
        cluster = Cluster(A)
        await cluster.revoke(B)
        await cluster.revoke(C)
        assert await cluster.state(C) is NodeState.REVOKED

    asyncio.run(scenario())


def test_a_living_voter_is_not_revoked_while_another_is_dead() -> None:
    """Two of three would be left, of which one is dead."""

    async def scenario() -> None:
        cluster = Cluster(A, B, C)
        cluster.dead = {C}
        with pytest.raises(RequestInvalid, match=r"only 1 of 3 voters .*\(n3: dead or not heard\)"):
            await cluster.revoke(B)
        assert await cluster.state(B) is NodeState.MEMBER

    asyncio.run(scenario())


def test_the_dead_voter_is_the_right_one_to_revoke() -> None:
    async def scenario() -> None:
        cluster = Cluster(A, B, C)
        cluster.dead = {C}
        await cluster.revoke(C)
        assert await cluster.state(C) is NodeState.REVOKED

    asyncio.run(scenario())


def test_an_operator_who_knows_the_price_may_cost_the_quorum() -> None:
    """A node that was broken into is shut out, whatever that stops."""

    async def scenario() -> None:
        cluster = Cluster(A, B, C)
        cluster.dead = {C}
        await cluster.revoke(B, costs_quorum=True)
        assert await cluster.state(B) is NodeState.REVOKED

    asyncio.run(scenario())


def test_the_question_of_an_older_release_keeps_the_majority() -> None:
    async def scenario() -> None:
        cluster = Cluster(A, B, C)
        cluster.dead = {C}
        with pytest.raises(RequestInvalid, match="at-the-cost-of-the-quorum"):
            await cluster.removal.revoke(A.id, pack(Named(B.name)))

    asyncio.run(scenario())


def test_a_leave_that_waits_is_called_off() -> None:
    async def scenario() -> None:
        cluster = Cluster(A, B, C)
        await cluster.removal.leave(C.id, pack(Leaving()))
        assert (await cluster.found(C)).leaving
        for _ in range(2):
            await cluster.removal.stay(C.id, pack(Nothing()))
            assert not (await cluster.found(C)).leaving
        assert cluster.audited == ["leaving", "leaving called off"]

    asyncio.run(scenario())


def test_a_node_that_heard_too_late_that_it_stays_does_not_go() -> None:
    """It votes no more and takes its turn, from a registry in which it was still leaving."""

    async def scenario() -> None:
        cluster = Cluster(A, B, C)
        await cluster.removal.leave(C.id, pack(Leaving()))
        await cluster.registrar.change(lambda registry: registry.with_voters(frozenset({A.id})))
        await cluster.removal.stay(C.id, pack(Nothing()))
        await cluster.removal.leave(C.id, pack(Leaving(again=True)))
        assert await cluster.state(C) is NodeState.MEMBER
        await cluster.removal.leave(C.id, pack(Leaving()))
        assert await cluster.state(C) is NodeState.LEFT
        with pytest.raises(NotEnrolled):
            await cluster.removal.stay(C.id, pack(Nothing()))

    asyncio.run(scenario())


def test_a_turn_that_comes_late_does_not_undo_that_the_node_stays() -> None:
    """It was let in as a voter again, and its question of before arrives only now."""

    async def scenario() -> None:
        cluster = Cluster(A, B, C)
        await cluster.removal.leave(C.id, pack(Leaving()))
        await cluster.removal.stay(C.id, pack(Nothing()))
        await cluster.removal.leave(C.id, pack(Leaving(again=True)))
        assert not (await cluster.found(C)).leaving

    asyncio.run(scenario())


def test_a_node_of_an_older_release_may_still_leave() -> None:
    async def scenario() -> None:
        cluster = Cluster(A, B, C)
        await cluster.removal.leave(C.id, pack(Nothing()))
        assert (await cluster.found(C)).leaving

    asyncio.run(scenario())
