"""A full disk costs one broker, not the cluster; with room again the broker takes part again.

The disk is a small file system in memory that exists only in a mount namespace of the test: this
file runs itself once more inside.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bzzz_core.errors import BzzzError
from bzzz_core.fabric import watch
from bzzz_core.fabric.records import NatsRecords
from bzzz_core.model import Revision
from bzzz_core.ports import Guard
from tests.fakes.fabric_contents import contents
from tests.fakes.fabric_units import FabricUnits, play

ROOT = Path(__file__).resolve().parents[2]
DISK_BYTES = 48_000_000
VALUE = b"x" * 200_000
SMALL = 2


def isolation() -> Sequence[str]:
    """Return the command that gives a program a mount namespace of its own."""
    return ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]


@pytest.mark.integration
@pytest.mark.full
def test_a_broker_whose_disk_was_full_takes_part_again(tmp_path: Path) -> None:
    play_inside = [
        sys.executable,
        "-c",
        "from tests.integration import test_fabric_disk as t; t.main()",
    ]
    done = subprocess.run(
        [*isolation(), *play_inside],
        cwd=ROOT,
        env={**os.environ, "BZZZ_TEST_DIRECTORY": str(tmp_path), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-6_000:]


def main() -> None:
    """Run the journey in a namespace that is ours."""
    units = FabricUnits(Path(os.environ["BZZZ_TEST_DIRECTORY"]) / "cluster", nodes=3, voters=3)
    store = units.store(SMALL)
    store.mkdir(mode=0o700, parents=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "tmpfs", store], check=True
    )
    # The product's patience is half a minute; the journey is the same with less of it.
    watch.UNWELL_MS_MIN = 3_000  # type: ignore[misc]

    async def scenario(group: asyncio.TaskGroup) -> None:
        for number in range(3):
            units.start(number, group)
        await units.ready(0, 1, 2)
        server = units.units[SMALL].server
        assert server is not None
        limit = server.store_bytes_max
        assert limit is not None
        assert 16_000_000 <= limit < DISK_BYTES, "the broker keeps below what the disk has"
        starts = server.starts
        ballast = store / "ballast"
        async with units.records(0, replicas=3) as records:
            at = await put(records, 20, Revision(0))
            await asyncio.to_thread(fill_up, ballast)
            at = await put(records, 20, at)
            ballast.unlink()
            await units.eventually(lambda: units.settled(0, 3), timeout_s=90)
            await put(records, 5, at)
        await units.eventually(lambda: units.settled(0, 3), timeout_s=60)
        print("restarts of the broker:", server.starts - starts)  # noqa: T201
        found = []
        for number in (0, SMALL):
            async with units.keeper(number) as keeper:
                found.append(await contents(keeper))
        assert found[0] == found[1]
        assert max(found[0]) >= 45, "older values of a record are dropped, sequences are not"

    play(units, scenario)


def fill_up(path: Path) -> None:
    """Take what is left of the disk, while the broker takes some too."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"b" * 4_096)


async def put(records: NatsRecords, count: int, at: Revision) -> Revision:
    """Write `count` values, each acknowledged, whatever a single broker says meanwhile."""
    for _ in range(count):
        async with asyncio.timeout(30):
            while True:
                try:
                    at = await records.write("big", VALUE, Guard("big", at))
                    break
                except BzzzError:
                    await asyncio.sleep(0.2)
                    at = await last(records, at)
    return at


async def last(records: NatsRecords, known: Revision) -> Revision:
    try:
        found = await records.read("big")
    except BzzzError:
        return known
    return found.revision if found else Revision(0)
