"""Failover of etcd, measured as ours is: kill -9 of the leader until a write is acknowledged again.

Three members on loopback with the settings they come with (heartbeat 100 ms, election 1 s), without
TLS, through their JSON gateway. New writes are sent to both survivors every `POLL_MS`; the first
one that is acknowledged counts, so a client's own patience is no part of the figure. Needs `etcd`
(Debian: etcd-server) on the PATH; `scripts/bench etcd 20` prints one JSON object.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from bzzz_core.process import die_with_parent
from tests.bench.failover import figures

MEMBERS = 3
POLL_MS = 20
ROUND_S_MAX = 60.0
SETTLE_S = 3.0
_KEY = base64.b64encode(b"bench").decode()


@dataclass(slots=True)
class Member:
    """One etcd process."""

    name: str
    client: int
    peer: int
    process: subprocess.Popen[bytes] | None = None


def missing() -> str | None:
    """Return why etcd cannot be measured here, or None."""
    return None if shutil.which("etcd") else "no etcd; on Debian: apt-get install etcd-server"


class EtcdCluster:
    """Three members on loopback, as a context manager."""

    def __init__(self, directory: Path) -> None:
        """Start nothing yet."""
        self._directory = directory
        ports = _free_ports(2 * MEMBERS)
        self.members = [
            Member(f"m{number}", ports[2 * number], ports[2 * number + 1])
            for number in range(MEMBERS)
        ]

    def __enter__(self) -> Self:
        """Start all members."""
        for member in self.members:
            self.start(member)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End all members."""
        for member in self.members:
            if member.process is not None:
                member.process.kill()
                member.process.wait()

    def start(self, member: Member) -> None:
        """Start a member, again on the data it had."""
        peers = ",".join(f"{m.name}=http://127.0.0.1:{m.peer}" for m in self.members)
        client, peer = (f"http://127.0.0.1:{port}" for port in (member.client, member.peer))
        with (self._directory / f"{member.name}.log").open("ab") as log:
            member.process = subprocess.Popen(
                [
                    "etcd",
                    *("--name", member.name, "--data-dir", str(self._directory / member.name)),
                    *("--listen-client-urls", client, "--advertise-client-urls", client),
                    *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                    *("--initial-cluster", peers, "--initial-cluster-token", "bench"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(),  # noqa: PLW1509  no threads here
            )

    async def leader(self, http: httpx.AsyncClient) -> Member:
        """Wait until all members name the same leader for a while, and return it."""
        since = time.monotonic()
        async with asyncio.timeout(ROUND_S_MAX):
            while True:
                said = [await _status(http, member) for member in self.members]
                leaders = {str(status["leader"]) for status in said if status}
                if None in said or len(leaders) != 1:
                    since = time.monotonic()
                elif time.monotonic() - since > SETTLE_S:
                    leader = leaders.pop()
                    ids = [str(status["header"]["member_id"]) for status in said if status]
                    return self.members[ids.index(leader)]
                await asyncio.sleep(0.1)


async def one_round(cluster: EtcdCluster, http: httpx.AsyncClient) -> tuple[int, Member]:
    """Kill the leader; return milliseconds until a write is acknowledged, and the victim."""
    victim = await cluster.leader(http)
    survivors = [member for member in cluster.members if member is not victim]
    assert victim.process is not None, "it leads, so it runs"
    acknowledged = asyncio.Event()

    async def put(member: Member) -> None:
        if await _put(http, member):
            acknowledged.set()

    started = time.monotonic()
    victim.process.kill()
    async with asyncio.timeout(ROUND_S_MAX), asyncio.TaskGroup() as puts:
        tried = []
        while not acknowledged.is_set():
            tried += [puts.create_task(put(member)) for member in survivors]
            await asyncio.sleep(POLL_MS / 1000)
        took_ms = round((time.monotonic() - started) * 1000)
        for task in tried:
            task.cancel()
    victim.process.wait()
    return took_ms, victim


async def measure_etcd(rounds: int) -> dict[str, object]:
    """Kill etcd's leader `rounds` times and return the figures."""
    took_ms = []
    limits = httpx.Limits(max_connections=400)
    with (
        tempfile.TemporaryDirectory(prefix="bzzz-etcd-") as directory,
        EtcdCluster(Path(directory)) as cluster,
    ):
        async with httpx.AsyncClient(timeout=5, limits=limits, trust_env=False) as http:
            for number in range(1, rounds + 1):
                took, victim = await one_round(cluster, http)
                took_ms.append(took)
                print(f"etcd round {number}: {took} ms", file=sys.stderr, flush=True)
                cluster.start(victim)
    return {"version": _version(), **figures(took_ms)}


async def _put(http: httpx.AsyncClient, member: Member) -> bool:
    body = {"key": _KEY, "value": _KEY}
    try:
        answer = await http.post(f"http://127.0.0.1:{member.client}/v3/kv/put", json=body)
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK


async def _status(http: httpx.AsyncClient, member: Member) -> dict[str, Any] | None:
    try:
        url = f"http://127.0.0.1:{member.client}/v3/maintenance/status"
        answer = await http.post(url, json={})
        status = answer.json()
    except (httpx.HTTPError, ValueError):
        return None
    return status if "leader" in status else None


def _version() -> str:
    said = subprocess.run(["etcd", "--version"], capture_output=True, check=True, text=True).stdout
    return said.splitlines()[0].rpartition(" ")[2]


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        listeners = [
            held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [int(listener.getsockname()[1]) for listener in listeners]


if __name__ == "__main__":
    reason = missing()
    if reason:
        sys.exit(f"bench etcd: {reason}")
    print(json.dumps(asyncio.run(measure_etcd(int(sys.argv[1]) if len(sys.argv) > 1 else 20))))
