"""What brokers do when machines, disks or names are lost: nothing acknowledged goes with them."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from pathlib import Path

import pytest

from bzzz_core.election.voters import agree
from bzzz_core.enrolled import voter_set
from bzzz_core.errors import BrokerError, BzzzError, PermissionDenied
from bzzz_core.fabric.records import NatsRecords
from bzzz_core.fabric.store import node_of
from bzzz_core.growth.rescue import rescue
from bzzz_core.model import NodeId, Revision
from bzzz_core.ports import Guard
from bzzz_core.trust.secrets_directory import SecretsDirectory
from tests.fakes.fabric_contents import contents, fill
from tests.fakes.fabric_units import FabricUnits, play

pytestmark = pytest.mark.integration
ALL = (0, 1, 2)


@pytest.fixture
def units(tmp_path: Path) -> FabricUnits:
    return FabricUnits(tmp_path / "cluster", nodes=3, voters=3)


async def start_all(units: FabricUnits, group: asyncio.TaskGroup) -> None:
    for number in ALL:
        units.start(number, group)
    await units.ready(*ALL)


async def filled(units: FabricUnits, group: asyncio.TaskGroup) -> dict[int, tuple[str, str]]:
    """Start three brokers, write, and return what was written once all have it."""
    await start_all(units, group)
    async with units.records(0, replicas=3) as records:
        await fill(records)
    await units.eventually(lambda: units.settled(0, 3))
    async with units.keeper(0) as keeper:
        return await contents(keeper)


def test_a_cluster_that_lost_power_comes_back_unaided(units: FabricUnits) -> None:
    async def scenario(group: asyncio.TaskGroup) -> None:
        written = await filled(units, group)
        await units.cut_power(ALL)
        await start_all(units, group)
        await units.eventually(lambda: units.settled(0, 3))
        for number in ALL:
            async with units.keeper(number) as keeper:
                assert await contents(keeper) == written

    play(units, scenario)


@pytest.mark.full
def test_a_removed_broker_returns_under_a_new_name_only(units: FabricUnits) -> None:
    """Under the old one it would look healthy and never count again."""

    async def scenario(group: asyncio.TaskGroup) -> None:
        written = await filled(units, group)
        old = units.name(2)
        await units.stop(2)
        async with units.system(0) as system:
            await system.remove_peer(old)
        units.start(2, group)
        await units.until(lambda: units.units[2].server is not None)
        await units.until(lambda: units.name_or_none(2) not in (None, old))
        await units.ready(2)
        peers = await units.peers(0)
        assert old not in peers
        assert units.name(2) in peers
        assert node_of(units.name(2)) == node_of(old)
        await units.eventually(lambda: units.settled(2, 3))
        async with units.keeper(2) as keeper:
            assert await contents(keeper) == written
        assert (units.store(2).with_name("broker.left") / "jetstream").is_dir()

    play(units, scenario)


@pytest.mark.full
def test_one_of_three_goes_on_after_a_rescue(units: FabricUnits) -> None:
    async def scenario(group: asyncio.TaskGroup) -> None:
        await filled(units, group)
        config = units.config(0)
        async with units.records(0, replicas=3) as records:
            founders = await agree(records, voter_set(config))
        with pytest.raises(BrokerError, match="needs no rescue"):
            await rescue(config, clock=units.clock)
        async with units.keeper(0) as keeper:
            written = await contents(keeper)
        dead = {units.name(1), units.name(2)}
        await units.cut_power((1, 2))
        # It is refused until the broker itself has noticed the loss.
        done = await units.eventually(lambda: rescue(config, clock=units.clock), timeout_s=60)
        assert set(done.removed) == dead
        assert done.voters == (config.me.name,)
        await units.eventually(lambda: units.settled(0, 1))
        async with units.keeper(0) as keeper:
            now = await contents(keeper)
        assert {at: now[at] for at in written} == written
        assert len(now) == len(written) + 1, "the new voters, and nothing else"
        async with units.records(0) as records:
            voters = await agree(records, founders)
            assert [voter.node for voter in voters.voters] == [config.me.id]
            assert voters.number == founders.number + 1
            last = await records.read("key-0")
            assert last is not None
            await records.write("key-0", b"after", Guard("key-0", last.revision))

    play(units, scenario)


@pytest.mark.full
def test_a_rolling_restart_loses_no_acknowledged_write(units: FabricUnits) -> None:
    """Each broker is asked to end and comes back; a writer goes on all the time."""

    async def scenario(group: asyncio.TaskGroup) -> None:
        await filled(units, group)
        acknowledged: dict[int, bytes] = {}
        stop = asyncio.Event()
        async with units.records(0, replicas=3) as records:
            writer = group.create_task(_write_on(records, acknowledged, stop))
            for number in ALL:
                await units.stop(number)
                units.start(number, group)
                await units.ready(number)
                await units.eventually(lambda: units.settled(0, 3))
            stop.set()
            await writer
        async with units.keeper(1) as keeper:
            kept = await contents(keeper)
        assert len(acknowledged) > 100
        lost = [sequence for sequence in acknowledged if sequence not in kept]
        assert not lost

    play(units, scenario)


async def _write_on(
    records: NatsRecords, acknowledged: dict[int, bytes], stop: asyncio.Event
) -> None:
    """Write one record after the other; of many values of one, the older would be dropped."""
    number = 0
    while not stop.is_set():
        number += 1
        key, value = f"moving-{number}", b"%d" % number
        try:
            at = await records.write(key, value, Guard(key, Revision(0)))
            acknowledged[at] = value
        except BzzzError:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("identity", ["node", "system"])
def test_only_a_route_certificate_opens_a_route(units: FabricUnits, identity: str) -> None:
    """Whoever may open a route may overwrite anything; an agent or an operator may not."""

    async def scenario(group: asyncio.TaskGroup) -> None:
        units.start(0, group)
        await units.until(lambda: units.name_or_none(0) is not None)
        secrets = SecretsDirectory(Path(units.configs[1].security.directory))
        files = {
            "node": (secrets.node_certificate, secrets.node_key),
            "system": (secrets.system_certificate, secrets.system_key),
            "route": (secrets.route_certificate, secrets.route_key),
        }
        me = units.configs[0].me
        await units.until(lambda: _listens(me.fabric_cluster))
        assert b"INFO" in await asyncio.to_thread(_greet, me.fabric_cluster, *files["route"])
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.to_thread(_greet, me.fabric_cluster, *files[identity])

    play(units, scenario)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _greet(port: int, certificate: Path, key: Path) -> bytes:
    """Open a route as far as the first word of the broker."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=certificate.parent / "fabric-ca.pem")
    context.load_cert_chain(certificate, key)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        return secured.recv(4_096)


def test_without_a_system_identity_nobody_lists_or_removes_peers(units: FabricUnits) -> None:
    """And with one, it is good at its own node's broker only."""

    async def scenario(group: asyncio.TaskGroup) -> None:
        await start_all(units, group)
        mine = units.config(0)
        # Another node's system identity at my broker.
        foreign = mine.model_copy(update={"security": units.config(1).security})
        with pytest.raises(BzzzError):
            async with units.system_of(foreign) as system:
                await system.peers()
        SecretsDirectory(Path(mine.security.directory)).system_certificate.unlink()
        with pytest.raises(PermissionDenied, match="no system identity"):
            async with units.system(0):
                pass
        assert NodeId(mine.me.id)

    play(units, scenario)


@pytest.mark.full
def test_a_paused_broker_is_left_alone_for_a_while(units: FabricUnits) -> None:
    """Half a minute of silence is needed before the unit restarts what may come back by itself."""

    async def scenario(group: asyncio.TaskGroup) -> None:
        await start_all(units, group)
        before = units.pid(2)
        units.signal(2, signal.SIGSTOP)
        await asyncio.sleep(3)
        units.signal(2, signal.SIGCONT)
        await units.ready(2)
        assert units.pid(2) == before

    play(units, scenario)
