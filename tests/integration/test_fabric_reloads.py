"""A broker that reads its configuration again, as in every change of voters, is not noticed."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bzzz_core.errors import BzzzError
from bzzz_core.fabric.layout import CONTROL_STREAM
from bzzz_core.fabric.snapshot import Saved, save
from bzzz_core.fabric.streams import StreamKeeper
from bzzz_core.model import Revision
from bzzz_core.ports import Guard
from tests.fakes.broker_cluster import BrokerCluster
from tests.fakes.fabric_units import FabricUnits, play
from tests.fakes.fabric_worlds import storage_cluster, storage_on_brokers

pytestmark = pytest.mark.integration
RELOADS = 40
"""Without asking again 15 to 70 of a hundred were noticed, by each of those who ask."""
EACH_S = 0.05


class Askers:
    """Ask without a pause, and count who was answered and what went wrong."""

    def __init__(self) -> None:
        """Ask nobody yet."""
        self.answered: Counter[str] = Counter()
        self.troubles: Counter[str] = Counter()

    async def during(
        self, reload: Callable[[], None], **questions: Callable[[int], Awaitable[object]]
    ) -> None:
        """Reload again and again while all of them ask."""
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(self._ask(name, q)) for name, q in questions.items()]
            for _ in range(RELOADS):
                reload()
                await asyncio.sleep(EACH_S)
            for task in asking:
                task.cancel()
        assert not self.troubles
        assert set(self.answered) == set(questions)

    async def _ask(self, name: str, question: Callable[[int], Awaitable[object]]) -> None:
        while True:
            try:
                await question(self.answered[name])
            except BzzzError as exc:
                self.troubles[f"{name}: {exc!r}"] += 1
            else:
                self.answered[name] += 1


async def saved(keeper: StreamKeeper, directory: Path) -> Saved:
    directory.mkdir(exist_ok=True)  # noqa: ASYNC240  a test
    return await save(keeper, CONTROL_STREAM, directory, cluster_id="c")


def test_records_and_streams(tmp_path: Path) -> None:
    units = FabricUnits(tmp_path / "cluster", nodes=1, voters=1)

    async def scenario(group: asyncio.TaskGroup) -> None:
        units.start(0, group)
        await units.ready(0)
        async with (
            units.records(0) as records,
            units.keeper(0) as keeper,
            units.system(0) as system,
        ):
            await Askers().during(
                lambda: units.signal(0, signal.SIGHUP),
                record=lambda _: records.read("one"),
                write=lambda n: records.write(f"key-{n}", b"", Guard(f"key-{n}", 0)),
                states=lambda _: keeper.states(),
                save=lambda n: saved(keeper, tmp_path / f"saved-{n}"),
                peers=lambda _: system.peers(),
            )

    play(units, scenario)


def test_keys_logs_and_blobs(tmp_path: Path) -> None:
    async def body(cluster: BrokerCluster) -> None:
        async with storage_on_brokers(cluster) as world:
            keys, log, blobs = world.keys[0], world.logs[0], world.blobs[0]
            await log.append(b"entry")
            await Askers().during(
                lambda: cluster.signal(0, signal.SIGHUP),
                key=lambda _: keys.get("one"),
                put=lambda n: keys.put(f"key-{n}", b""),
                end=lambda _: log.end(),
                log=lambda _: log.read(Revision(1)),
                blob=lambda n: blobs.put(f"blob-{n % 20}", b"%d" % n),
            )

    with storage_cluster(tmp_path / "cluster", nodes=1) as cluster:
        asyncio.run(body(cluster))
