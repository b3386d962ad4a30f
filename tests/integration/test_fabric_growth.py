"""A fabric grows from one broker to five and shrinks again, and loses nothing on the way.

Everything is real but the registry: units as on hosts, brokers, certificates, the system account.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bzzz_core.fabric.layout import CONTROL_STREAM
from bzzz_core.fabric.unit import UnitState
from bzzz_core.ports import Guard
from tests.fakes.fabric_contents import KEYS, ROUNDS, contents, fill
from tests.fakes.fabric_units import FabricUnits, play

pytestmark = pytest.mark.integration


async def join(units: FabricUnits, number: int, group: asyncio.TaskGroup) -> None:
    """Let one more node vote and wait until the brokers count it."""
    before = len(await units.peers(0))
    units.start(number, group)
    assert units.units[number].state is UnitState.NO_VOTER
    units.vote({*units.voters, number})
    await units.ready(number)
    await units.eventually(lambda: _counts(units, before + 1))


async def _counts(units: FabricUnits, peers: int) -> bool:
    found = await units.peers(0)
    return len(found) == peers and all(found.values())


async def scale(units: FabricUnits, replicas: int, at: int = 0) -> None:
    async with units.keeper(at) as keeper:
        await keeper.scale(CONTROL_STREAM, replicas)
    await units.eventually(lambda: units.settled(at, replicas))


async def leave(units: FabricUnits, number: int, at: int = 0) -> None:
    """Take a voter out in order: streams off it, its broker ended, its peer removed."""
    name = units.name(number)
    async with units.keeper(at) as keeper:
        state = await keeper.state(CONTROL_STREAM)
        assert state is not None
        if name in {replica.server_name for replica in state.placed}:
            await keeper.evict(CONTROL_STREAM, name)
            await units.eventually(lambda: units.settled(at, state.replicas))
    units.vote(units.voters - {number})
    await units.until(lambda: units.units[number].state is UnitState.NO_VOTER)
    async with units.system(at) as system:
        await system.remove_peer(name)
        await system.remove_peer(name)  # Asking twice is harmless.
        assert name not in {peer.name for peer in await system.peers()}


def test_one_broker_grows_to_three_and_then_can_be_lost(tmp_path: Path) -> None:
    """Every message keeps its sequence, and what was alone before is not needed any more."""
    units = FabricUnits(tmp_path / "cluster", nodes=3, voters=1)

    async def scenario(group: asyncio.TaskGroup) -> None:
        units.start(0, group)
        await units.ready(0)
        async with units.records(0) as records:
            await fill(records)
        async with units.keeper(0) as keeper:
            written = await contents(keeper)
        assert len(written) == KEYS * ROUNDS
        for number in (1, 2):
            await join(units, number, group)
        await scale(units, 3)
        await units.cut_power([0])
        await units.eventually(lambda: _has_leader(units, 1))
        for number in (1, 2):
            async with units.keeper(number) as keeper:
                assert await contents(keeper) == written

    play(units, scenario)


async def _has_leader(units: FabricUnits, at: int) -> bool:
    async with units.keeper(at) as keeper:
        state = await keeper.state(CONTROL_STREAM)
    return state is not None and state.placed[0].leader


@pytest.mark.full
def test_one_broker_grows_to_three_and_to_five_and_back_to_one(tmp_path: Path) -> None:
    """Every message keeps its sequence, and the last revision of every key its value."""
    units = FabricUnits(tmp_path / "cluster", nodes=5, voters=1)

    async def scenario(group: asyncio.TaskGroup) -> None:
        units.start(0, group)
        await units.ready(0)
        async with units.records(0) as records:
            await fill(records)
        async with units.keeper(0) as keeper:
            written = await contents(keeper)
        assert len(written) == KEYS * ROUNDS
        for number, replicas in ((1, None), (2, 3), (3, None), (4, 5)):
            await join(units, number, group)
            if replicas:
                await scale(units, replicas)
                async with units.keeper(number) as keeper:
                    assert await contents(keeper) == written
        await scale(units, 3)
        for number in (4, 3):
            await leave(units, number)
        async with units.keeper(0) as keeper:
            await keeper.move_leader(CONTROL_STREAM, units.name(0))
        await units.eventually(lambda: _led_by(units, 0))
        await scale(units, 1)
        for number in (2, 1):
            await leave(units, number)
        assert list(await units.peers(0)) == [units.name(0)]
        async with units.keeper(0) as keeper:
            assert await contents(keeper) == written
        # Alone again, it still comes back by itself and takes writes at the next revision.
        await units.stop(0)
        units.start(0, group)
        await units.ready(0)
        async with units.records(0) as records:
            last = await records.read("key-0")
            assert last is not None
            assert last.value == f"{ROUNDS - 1} of 0".encode()
            after = await records.write("key-0", b"after", Guard("key-0", last.revision))
            assert after == len(written) + 1

    play(units, scenario)


async def _led_by(units: FabricUnits, number: int) -> bool:
    async with units.keeper(0) as keeper:
        state = await keeper.state(CONTROL_STREAM)
    return state is not None and state.settled and state.placed[0].server_name == units.name(number)
