"""Whole election services over the memory fabric, with a clock that costs no time."""

from __future__ import annotations

import asyncio
import heapq
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Self

from bzzz_core.config.sections import Timings
from bzzz_core.election.announce import Announcer, Change
from bzzz_core.election.clerk import Clerk
from bzzz_core.election.service import ElectionService
from bzzz_core.election.surroundings import Surroundings
from bzzz_core.errors import BzzzError, Deposed, RevisionConflict, StreamBusy
from bzzz_core.fabric.memory import MemoryFabric, MemoryHub, MemoryRecords
from bzzz_core.model import (
    ClusterId,
    FencingToken,
    NodeId,
    Revision,
    Vote,
    Voter,
    VoterSet,
)
from bzzz_core.ports import Guard
from bzzz_core.trust.keys import IdentityKey
from tests.fakes.election_world import NEVER_VOTED


class SharedClock:
    """Time moves to the next sleeper when everybody else has nothing left to do.

    "Nothing left" means that the loop has turned `TURNS` times, more than any chain of callbacks
    here is long: nothing waits for the real world, for threads are inline (`InlineExecutor`).
    """

    TURNS = 40

    def __init__(self) -> None:
        self.ms = 0
        self._sleepers: list[tuple[int, int, asyncio.Event]] = []
        self._order = count()

    def now_ms(self) -> int:
        return self.ms

    async def sleep_ms(self, duration_ms: int) -> None:
        wake = asyncio.Event()
        heapq.heappush(self._sleepers, (self.ms + duration_ms, next(self._order), wake))
        await wake.wait()

    async def run(self, until_ms: int) -> None:
        """Let time pass up to `until_ms`."""
        while True:
            for _ in range(self.TURNS):
                await asyncio.sleep(0)
            if not self._sleepers or self._sleepers[0][0] > until_ms:
                self.ms = until_ms
                return
            self.ms, _, wake = heapq.heappop(self._sleepers)
            wake.set()


class InlineExecutor(ThreadPoolExecutor):
    """Does in the caller's thread what should be done in another, so that tests repeat exactly."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as exc:  # noqa: BLE001  raised where the future is awaited
            future.set_exception(exc)
        return future


@dataclass(slots=True)
class MemoryVotes:
    """A disk that can fail."""

    vote: Vote | None = NEVER_VOTED
    fails: bool = False

    def load(self) -> Vote | None:
        return self.vote

    def save(self, vote: Vote) -> None:
        if self.fails:
            raise OSError("disk full")
        self.vote = vote


@dataclass(slots=True)
class ServiceNode:
    """One node with everything that a test may look at."""

    key: IdentityKey
    fabric: MemoryFabric
    records: MemoryRecords
    votes: MemoryVotes
    service: ElectionService
    clerk: Clerk
    announcer: Announcer
    task: asyncio.Task[VoterSet] | None = None
    changes: list[Change] = field(default_factory=list)
    reports: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    audited: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    first_write_faults: list[BzzzError] = field(default_factory=list)
    put_faults: list[BzzzError] = field(default_factory=list)

    async def run(self) -> VoterSet:
        async with asyncio.TaskGroup() as group:
            helping = [
                group.create_task(self.announcer.run()),
                group.create_task(self.clerk.run()),
            ]
            voters = await self.service.run()
            for task in helping:
                task.cancel()
        return voters

    @property
    def node(self) -> NodeId:
        return self.key.node_id

    def reported(self, what: str) -> list[dict[str, object]]:
        return [fields for name, fields in self.reports if name == what]


class ServiceWorld:
    """Some nodes on one hub, as an asynchronous context."""

    def __init__(self, folder: Path, size: int = 3, *, manual: bool = False) -> None:
        self.folder = folder
        self.manual = manual
        self.clock = SharedClock()
        self.hub = MemoryHub(clock=self.clock)
        keys = sorted((IdentityKey.generate() for _ in range(size)), key=lambda key: key.node_id)
        self.voters = VoterSet(tuple(Voter(k.node_id, "n", k.public_key) for k in keys))
        self.keys = keys
        self.nodes: list[ServiceNode] = []

    async def __aenter__(self) -> Self:
        asyncio.get_running_loop().set_default_executor(InlineExecutor())
        for key in self.keys:
            self.nodes.append(await self.add(key))
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [node.task for node in self.nodes if node.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def add(
        self,
        key: IdentityKey,
        *,
        voters: VoterSet | None = None,
        votes: MemoryVotes | None = None,
    ) -> ServiceNode:
        fabric = self.hub.attach(key.node_id)
        records = MemoryRecords(self.hub, fabric)
        await records.open()
        changes: list[Change] = []
        reports: list[tuple[str, dict[str, object]]] = []
        faults: list[BzzzError] = []
        put_faults: list[BzzzError] = []

        async def first_write(token: FencingToken, content: bytes) -> Revision:
            if faults:
                raise faults.pop(0)
            return await records.write("log", content, Guard("_term", token.sequence))

        async def put(token: FencingToken, key: str, value: bytes) -> Revision:
            if put_faults:
                raise put_faults.pop(0)
            while True:
                try:
                    return await records.write(key, value, Guard("_term", token.sequence))
                except RevisionConflict as exc:
                    raise Deposed("another leader") from exc
                except StreamBusy:
                    await self.clock.sleep_ms(5)

        async def note(change: Change) -> None:
            changes.append(change)

        def report(what: str, fields: dict[str, object]) -> None:
            reports.append((what, fields))

        votes = votes or MemoryVotes()
        audited: list[tuple[str, dict[str, object]]] = []
        data = self.folder / key.node_id
        data.mkdir(exist_ok=True)
        announcer = Announcer()
        announcer.subscribe(note)
        clerk = Clerk(
            me=key.node_id,
            data=data,
            clock=self.clock,
            now=lambda: f"at {self.clock.ms}",
            report=report,
            audit=lambda what, **fields: audited.append((what, fields)),
        )
        around = Surroundings(
            timings=Timings(),
            me=key.node_id,
            cluster=ClusterId("c"),
            voters=voters or self.voters,
            fabric=fabric,
            records=records,
            signer=key,
            votes=votes,
            clock=self.clock,
            now=lambda: f"at {self.clock.ms}",
            score=lambda: 50.0,
            first_write=first_write,
            put=put,
            clerk=clerk,
            announcer=announcer,
            report=report,
            manual=self.manual,
        )
        service = ElectionService(around)
        return ServiceNode(
            key,
            fabric,
            records,
            votes,
            service,
            clerk=clerk,
            announcer=announcer,
            changes=changes,
            reports=reports,
            audited=audited,
            first_write_faults=faults,
            put_faults=put_faults,
        )

    def start(self, *nodes: ServiceNode) -> None:
        for node in nodes or self.nodes:
            node.task = asyncio.get_running_loop().create_task(node.run())

    async def stop(self, node: ServiceNode) -> None:
        """Kill one: its task ends, its connection is gone."""
        assert node.task is not None
        node.task.cancel()
        await asyncio.gather(node.task, return_exceptions=True)
        self.hub.detach(node.node)

    async def run(self, duration_ms: int) -> None:
        await self.clock.run(self.clock.ms + duration_ms)

    def leaders(self) -> list[ServiceNode]:
        return [node for node in self.nodes if node.service.serves()]
