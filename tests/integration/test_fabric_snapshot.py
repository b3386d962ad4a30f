"""Streams saved to files come back as they were, to a cluster of another size and after a loss."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from bzzz_core.errors import BrokerError, IntegrityError, RequestInvalid
from bzzz_core.fabric import child, store
from bzzz_core.fabric.binary import find_binary
from bzzz_core.fabric.broker import BrokerConfig, render
from bzzz_core.fabric.layout import CONTROL_STREAM
from bzzz_core.fabric.offline import unclustered
from bzzz_core.fabric.server import BrokerServer
from bzzz_core.fabric.snapshot import restore, save_all
from bzzz_core.model import NodeId
from bzzz_core.ports import Guard
from bzzz_core.trust import private_files
from tests.fakes.fabric_contents import contents, fill
from tests.fakes.fabric_units import FabricUnits, play

pytestmark = pytest.mark.integration


@pytest.mark.journey
def test_a_stream_comes_back_with_its_sequences_into_a_lost_store(tmp_path: Path) -> None:
    """Damage is refused before anything is deleted, and so is what exists already."""
    units = FabricUnits(tmp_path / "cluster", nodes=1, voters=1)
    cluster_id = units.configs[0].cluster.id
    files = tmp_path / "saved"

    async def scenario(group: asyncio.TaskGroup) -> None:
        units.start(0, group)
        await units.ready(0)
        async with units.records(0) as records:
            await fill(records)
        async with units.keeper(0) as keeper:
            written = await contents(keeper)
            (saved,) = await save_all(keeper, files, cluster_id=cluster_id)
            assert saved.messages == len(written)
            path = files / saved.file
            assert path.stat().st_mode & 0o777 == 0o600
            with pytest.raises(RequestInvalid, match="exists with"):
                await restore(keeper, path, replicas=1, cluster_id=cluster_id, force=False)
            damaged = files / "damaged"
            damaged.write_bytes(path.read_bytes()[:-50] + os.urandom(50))
            with pytest.raises(IntegrityError, match="damaged"):
                await restore(keeper, damaged, replicas=1, cluster_id=cluster_id, force=True)
            assert await contents(keeper) == written, "nothing was changed"
            with pytest.raises(RequestInvalid, match="is of cluster"):
                await restore(keeper, path, replicas=1, cluster_id="other", force=False)
        await units.stop(0)
        store.set_aside(units.store(0))  # The disk was lost.
        units.start(0, group)
        await units.ready(0)
        async with units.keeper(0) as keeper:
            await restore(keeper, path, replicas=1, cluster_id=cluster_id, force=False)
            assert await contents(keeper) == written
        async with units.records(0) as records:
            last = await records.read("key-0")
            assert last is not None
            at = await records.write("key-0", b"after", Guard("key-0", last.revision))
            assert at == max(written) + 1

    play(units, scenario)


@pytest.mark.journey
def test_an_unclustered_store_is_refused_and_moved_by_snapshot(tmp_path: Path) -> None:
    """Started clustered, JetStream would delete it; the way leads through a file."""
    units = FabricUnits(tmp_path / "cluster", nodes=1, voters=1)
    config = units.config(0)
    directory = units.store(0)
    files = tmp_path / "saved"

    async def write_alone() -> None:
        name = store.server_name(directory, NodeId(config.me.id))
        broker = replace(BrokerConfig.from_agent_config(config, server_name=name), clustered=False)
        private_files.replace(directory / "nats.conf", render(broker).encode())
        process = await child.start(find_binary(), directory / "nats.conf")
        try:
            async with units.records(0) as records:
                await fill(records)
        finally:
            await child.end(process)

    async def scenario(group: asyncio.TaskGroup) -> None:
        await write_alone()
        with pytest.raises(BrokerError, match="snapshot --offline"):
            await BrokerServer(config, clock=units.clock).run_supervised()
        assert list(directory.glob("jetstream/*/streams/*")), "refusing deletes nothing"
        async with unclustered(config, clock=units.clock) as keeper:
            written = await contents(keeper)
            await save_all(keeper, files, cluster_id=config.cluster.id)
        directory.rename(tmp_path / "old")
        units.start(0, group)
        await units.ready(0)
        async with units.keeper(0) as keeper:
            path = files / f"{CONTROL_STREAM}.snapshot"
            await restore(keeper, path, replicas=1, cluster_id=config.cluster.id, force=False)
            assert await contents(keeper) == written
        with pytest.raises(RequestInvalid, match="without --offline"):
            async with unclustered(config, clock=units.clock):
                pass

    play(units, scenario)
