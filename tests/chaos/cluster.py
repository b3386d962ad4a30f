"""A cluster of real hosts in miniature: who leads, who leads the stream, and when all is well.

Every host has its own network namespace (`network`), its own processes (`host`) and its own files.
Statuses are asked through the host's own loopback, so they come through any cut. What the cluster
says of itself is only used to choose targets and to wait; whether it kept its promises is decided
afterwards from the history and the log, by `checker`.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import msgspec

from bzzz_core.api.documents import Status
from bzzz_core.demo.layout import ClusterFiles, lay_out
from bzzz_core.enrolled import voter_set
from bzzz_core.model import VoterSet, voter_count
from tests.chaos.final_log import FinalLog, read_log
from tests.chaos.history import HISTORIES, Event, HistoryTail, HistoryWriter, read_history
from tests.chaos.host import ROOT, ChaosHost
from tests.chaos.network import ChaosNetwork
from tests.chaos.roles import Roles, agreed

ANSWER_S_MAX: Final = 2.0
START_S_MAX: Final = 60.0
READ_S_MAX: Final = 240.0
STEADY_S: Final = 3.5
"""The brokers' leaders are heard once a second, and voters ask who leads the stream every two."""
_WORDS_MAX: Final = 4_000
_LOOK_S: Final = 0.1
_LOOK_AFTER_S: Final = 0.2
Found = TypeVar("Found")


class ChaosCluster:
    """`nodes` hosts as a context manager; all are started inside, and gone after."""

    def __init__(
        self, directory: Path, *, nodes: int, small_disks: int = 0, ipv6: bool = False
    ) -> None:
        """Start nothing yet.

        Args:
            directory: Where everything lies.
            nodes: How many hosts.
            small_disks: How many of the last voters get a disk that can be filled.
            ipv6: Whether the hosts know each other by IPv6 addresses and have no others.
        """
        self.directory = directory
        self._count = nodes
        self._small_disks = small_disks
        self._network = ChaosNetwork(nodes, ipv6=ipv6)
        self._files: ClusterFiles | None = None
        self._history: HistoryWriter | None = None
        self._logs_read = 0
        self._tail = HistoryTail(directory)
        self.hosts: list[ChaosHost] = []

    @property
    def network(self) -> ChaosNetwork:
        """Return the switch and its cables."""
        return self._network

    @property
    def files(self) -> ClusterFiles:
        """Return where everything lies."""
        assert self._files is not None, "enter the ChaosCluster first"
        return self._files

    @property
    def voters(self) -> VoterSet:
        """Return the committed voters."""
        return voter_set(self.hosts[0].config)

    def __enter__(self) -> Self:
        """Lay out and start all hosts; does not wait for the election."""
        self._network.__enter__()
        try:
            self._files = lay_out(
                self.directory / "nodes",
                agents=self._count,
                name="chaos",
                addresses=self._network.addresses,
                broker="unit",
            )
            self._history = HistoryWriter(self.directory / "harness.jsonl")
            for number, files in enumerate(self._files.agents):
                self.hosts.append(self._host(number))
                assert files.name == self.hosts[number].name
            for host in self.hosts:
                host.start()
        except BaseException:
            self._tear_down()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End every process and remove every namespace."""
        self._tear_down()

    def note(self, event: Event) -> None:
        """Add an event of the harness to the history."""
        assert self._history is not None, "enter the ChaosCluster first"
        self._history.add(event)

    def history(self) -> list[Event]:
        """Return what all clients wrote down so far, in the order of time."""
        return read_history(sorted(self.directory.glob(HISTORIES)))

    def fresh(self) -> list[Event]:
        """Return what was written down since the last call."""
        return self._tail.fresh()

    async def statuses(self) -> list[Status | None]:
        """Return what each host says of itself; None for one that does not answer."""
        return list(await asyncio.gather(*(asyncio.to_thread(self._ask, h) for h in self.hosts)))

    async def roles(self, timeout_s: float = START_S_MAX) -> Roles:
        """Wait until all is well, and say who is what.

        That is: every host agrees on a serving leader, every voter takes part in elections and is
        at its own broker, every member is alive, the stream is led elsewhere and every voter knows
        where, and every broker says that it has everything.

        Raises:
            TimeoutError: That did not come about.
        """
        ends = asyncio.get_running_loop().time() + timeout_s
        while True:
            left_s = ends - asyncio.get_running_loop().time()
            roles = await self.wait("the cluster to agree", self._agreed, left_s)
            unwell = await self._unwell()
            if not unwell:
                return roles
            if left_s < _LOOK_S:
                raise TimeoutError(f"after {timeout_s} s brokers are not well: {unwell}")
            await asyncio.sleep(_LOOK_S)

    async def settled(self, timeout_s: float = START_S_MAX) -> Roles:
        """Wait until all is well and stays so for `STEADY_S`, and say who is what.

        What comes back to the brokers makes itself heard with their next heartbeat: one that was
        cut off has tried to be elected meanwhile, and those who lead have to be elected again.

        Raises:
            TimeoutError: That did not come about.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + timeout_s
        while True:
            seen = await self.roles(ends - loop.time())
            since = loop.time()
            while await self._well() == seen:
                if loop.time() - since >= STEADY_S:
                    return seen
                await asyncio.sleep(_LOOK_S)

    async def new_leader(self, after_term: int, timeout_s: float) -> Status:
        """Wait until some host names a serving leader of a later term.

        Raises:
            TimeoutError: None came.
        """

        def found(statuses: Sequence[Status | None]) -> Status | None:
            return next(
                (s for s in statuses if s and s.term > after_term and s.leader_serving), None
            )

        return await self.wait(f"a leader after term {after_term}", found, timeout_s)

    async def wait(
        self,
        what: str,
        look: Callable[[Sequence[Status | None]], Found | None],
        timeout_s: float,
    ) -> Found:
        """Ask for statuses until `look` finds what it looks for.

        Raises:
            TimeoutError: It found nothing in time.
        """
        statuses: Sequence[Status | None] = []
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    statuses = await self.statuses()
                    found = look(statuses)
                    if found is not None:
                        return found
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError as exc:
            raise TimeoutError(f"waited {timeout_s} s for {what}\n{_lines(statuses)}") from exc

    def final_log(self, *, led_by: str | None = None, at_least: int = 0) -> FinalLog:
        """Read the control stream through the broker that leads it, or through a named one.

        Args:
            led_by: The node whose broker is to lead meanwhile.
            at_least: The last revision that a client was told of.

        Raises:
            RuntimeError: The log could not be read to its end; the words say why.
        """
        reader = next(host for host in self.hosts if host.voter)
        self._logs_read += 1
        output = self.directory / f"log-{self._logs_read}.bin"
        command = [sys.executable, "-m", "tests.chaos.final_log", "--at-least", str(at_least)]
        command += ["--config", str(reader.files.config), "--output", str(output)]
        command += ["--led-by", led_by] if led_by else []
        inside = self._network.inside(reader.number, command)
        done = subprocess.run(
            inside, cwd=ROOT, check=False, timeout=READ_S_MAX, stderr=subprocess.PIPE, text=True
        )
        if done.returncode:
            raise RuntimeError(f"the log of the run was not read: {done.stderr[-_WORDS_MAX:]}")
        return read_log(output)

    @asynccontextmanager
    async def looked_after(self) -> AsyncIterator[None]:
        """Play systemd while the block runs."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._look_after())
            try:
                yield
            finally:
                task.cancel()

    def ended_by_themselves(self) -> list[str]:
        """Return the processes that ended though nobody killed them."""
        return [line for host in self.hosts for line in host.ended_by_itself]

    async def _look_after(self) -> None:
        while True:
            for host in self.hosts:
                host.look_after()
            await asyncio.sleep(_LOOK_AFTER_S)

    def _agreed(self, statuses: Sequence[Status | None]) -> Roles | None:
        return agreed(statuses, self.hosts)

    async def _well(self) -> Roles | None:
        """Return who is what if all is well right now."""
        roles = self._agreed(await self.statuses())
        return None if roles is None or await self._unwell() else roles

    async def _unwell(self) -> list[str]:
        """Return which brokers are not, in their own words."""
        voters = [host for host in self.hosts if host.voter]
        answers = await asyncio.gather(*(asyncio.to_thread(self._ask_broker, h) for h in voters))
        return [f"{h.name}: {a}" for h, a in zip(voters, answers, strict=True) if a]

    def _ask_broker(self, host: ChaosHost) -> str:
        try:
            answer = self._get(host, host.config.network.ports.fabric_monitor, "/healthz")
        except OSError as exc:
            return str(exc)
        return "" if b'"status":"ok"' in answer else answer.decode(errors="replace")

    def _ask(self, host: ChaosHost) -> Status | None:
        token = host.files.token.read_text().strip()
        try:
            body = self._get(host, host.files.api_port, "/v1/status", token)
            return msgspec.json.decode(body, type=Status)
        except (OSError, ValueError):
            return None

    def _get(self, host: ChaosHost, port: int, path: str, token: str = "") -> bytes:
        """Return the body of an answer on the host's own loopback."""
        question = (
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Authorization: Bearer {token}\r\n\r\n"
        )
        with self._network.connect(host.number, port, ANSWER_S_MAX) as link:
            link.sendall(question.encode())
            answer = b"".join(iter(partial(link.recv, 65_536), b""))
        return answer.partition(b"\r\n\r\n")[2]

    def _host(self, number: int) -> ChaosHost:
        files = self.files.agents[number]
        voters = voter_count(self._count)
        return ChaosHost(
            files,
            number=number,
            history=self.directory / f"{files.name}.jsonl",
            inside=partial(self._network.inside, number),
            small_disk=voters - self._small_disks <= number < voters,
        )

    def _tear_down(self) -> None:
        for host in self.hosts:
            host.kill("machine")
            host.remove()
        self._network.__exit__(None, None, None)
        if self._history is not None:
            self._history.__exit__(None, None, None)


def _lines(statuses: Sequence[Status | None]) -> str:
    return "\n".join(
        "no answer"
        if status is None
        else f"{status.node}: {status.role}, term {status.term}, leader {status.leader},"
        f" serving {status.leader_serving}, stream led by {status.fabric.stream_leader},"
        f" fabric {status.fabric.state}, members "
        + " ".join(f"{member.name}={member.state}" for member in status.members)
        for status in statuses
    )
