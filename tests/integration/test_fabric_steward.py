"""The steward on real brokers: members come and go, and it brings brokers and streams in order."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from bzzz_core.enrolled import voter_set
from bzzz_core.enrolment.registry import NodeState, Registry, genesis
from bzzz_core.growth.steward import Steward
from bzzz_core.model import NodeId, VoterSet
from tests.fakes.fabric_contents import contents, fill
from tests.fakes.fabric_units import FabricUnits, play

pytestmark = [pytest.mark.integration, pytest.mark.full]


class Membership:
    """The registry, the roster and the committed voters of a cluster whose node 0 leads."""

    def __init__(self, units: FabricUnits, members: int) -> None:
        self.units = units
        self.ids = [NodeId(config.me.id) for config in units.configs]
        self.registry = self._with(range(members), voters={0})
        self.committed = voter_set(units.config(0))
        self.dead: set[int] = set()
        self.steward = Steward(
            me=self.ids[0],
            config=lambda: units.config(0),
            clock=units.clock,
            leads=lambda: True,
            registry=lambda: self.registry,
            committed=lambda: self.committed,
            alive=lambda node: self.ids.index(node) not in self.dead,
            set_voters=self._set_voters,
            commit=self._commit,
            replace_after_ms=1_000,
        )

    def join(self, number: int) -> None:
        """Let one more node be a member."""
        members = {self.ids.index(node.id) for node in self.registry.members}
        self.registry = self._with({*members, number}, voters=self.units.voters)

    def revoke(self, number: int) -> None:
        """Withdraw the trust in a node."""
        self.registry = self.registry.without(self.ids[number], NodeState.REVOKED, at="now")
        self.units.expel(number)

    async def at_rest(self, voters: set[int]) -> None:
        """Return once the steward has made exactly these nodes the voters."""
        wanted = {self.ids[number] for number in voters}

        async def done() -> bool:
            peers = {name.partition("-")[0] for name in await self.units.peers(0)}
            committed = {voter.node for voter in self.committed.voters}
            at_rest = self.steward.doing == "all is as it should be"
            return at_rest and committed == wanted == peers

        await self.units.eventually(done, timeout_s=60)
        assert await self.units.settled(0, len(voters))

    def _with(self, members: object, *, voters: set[int]) -> Registry:
        everybody = genesis(self.units.configs[0])
        numbers = set(members)  # type: ignore[call-overload]
        nodes = tuple(node for node in everybody.nodes if self.ids.index(node.id) in numbers)
        registry = Registry(cluster=everybody.cluster, version=1, nodes=nodes)
        return registry.with_voters(frozenset(self.ids[number] for number in voters))

    async def _set_voters(self, voters: frozenset[NodeId]) -> None:
        self.registry = self.registry.with_voters(voters)
        self.units.vote(self.ids.index(node) for node in voters)

    async def _commit(self, voters: VoterSet) -> None:
        self.committed = voters


def test_members_make_voters_and_a_lost_one_is_replaced(tmp_path: Path) -> None:
    """1 -> 3, a voter dies for good and a fourth member takes over, -> 5, one is revoked."""
    units = FabricUnits(tmp_path / "cluster", nodes=6, voters=1)
    cluster = Membership(units, members=1)

    async def scenario(group: asyncio.TaskGroup) -> None:
        for number in range(6):
            units.start(number, group)
        await units.ready(0)
        async with units.records(0) as records:
            await fill(records)
        async with units.keeper(0) as keeper:
            written = await contents(keeper)
        steward = group.create_task(cluster.steward.run())
        await cluster.at_rest({0})
        for number in (1, 2):
            cluster.join(number)
        await cluster.at_rest({0, 1, 2})
        # A voter dies for good; who takes its place is the next member.
        cluster.join(3)
        await units.cut_power([2])
        shutil.rmtree(units.store(2))
        cluster.dead.add(2)
        await cluster.at_rest({0, 1, 3})
        # It comes back with an empty disk, and two more members make it five.
        cluster.dead.clear()
        units.start(2, group)
        cluster.join(4)
        await cluster.at_rest({0, 1, 2, 3, 4})
        cluster.revoke(4)
        await units.until(lambda: units.name_or_none(4) is None)
        await units.until(lambda: len(cluster.committed.voters) == 3, timeout_s=60)
        await cluster.at_rest({units_number(cluster, v.node) for v in cluster.committed.voters})
        steward.cancel()
        async with units.keeper(0) as keeper:
            assert await contents(keeper) == written
        assert not cluster.steward.counters["failed"] or cluster.steward.counters["Commit"] == 4

    play(units, scenario)


def units_number(cluster: Membership, node: NodeId) -> int:
    return cluster.ids.index(node)
