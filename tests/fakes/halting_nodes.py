"""Nodes with an emergency stop, wired as an agent wires them; who leads and who is cut off is said.

The store is a dictionary, and a question to the leader is a call: what gets lost on the way is
tested where questions are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from bzzz_core.api.operations import Call
from bzzz_core.errors import NotLeader, QuorumUnavailable
from bzzz_core.halt.file import HaltFile
from bzzz_core.halt.keeper import HaltKeeper
from bzzz_core.halt.operations import HaltApi
from bzzz_core.halt.service import Halt
from bzzz_core.model import FencingToken, MemberState, NodeId, Revision, StreamId
from bzzz_core.ports import Record
from tests.fakes.virtual_time import VirtualClock

CLUSTER = "c1"
TOKEN = FencingToken(StreamId("s"), Revision(1))
NOW = "2026-01-01T00:00:00Z"


class HeldRecords:
    """The control stream of all nodes, as a dictionary."""

    stream = StreamId("s")

    def __init__(self) -> None:
        """Hold nothing."""
        self.held: dict[str, Record] = {}
        self.reads = 0
        self.refuses = False

    async def read(self, key: str) -> Record | None:
        """Return what is held."""
        self.reads += 1
        if self.refuses:
            raise QuorumUnavailable("no majority")
        return self.held.get(key)

    async def put(self, _token: FencingToken, key: str, value: bytes) -> Revision:
        """Take the place of what is held."""
        if self.refuses:
            raise QuorumUnavailable("no majority")
        revision = Revision(len(self.held) + 1)
        self.held[key] = Record(key, value, revision)
        return revision


class HaltCluster:
    """Some nodes and what they share."""

    def __init__(self, directory: Path, *names: str, voters: int = 3) -> None:
        """Make the nodes; the first one leads."""
        self.records = HeldRecords()
        self.directory = directory
        self.voters = names[:voters]
        self.nodes = {name: HaltNode(self, name) for name in names}
        self.leader: str | None = names[0]
        self.cut_off: set[str] = set()
        self.states = dict.fromkeys(names, MemberState.ALIVE)

    def __getitem__(self, name: str) -> HaltNode:
        """Return a node by its name."""
        return self.nodes[name]

    def restart(self, name: str) -> HaltNode:
        """Return the node as it is after it was killed and started again."""
        self.nodes[name] = HaltNode(self, name)
        return self.nodes[name]

    def tell(self) -> None:
        """Do what the leader's digest does."""
        if self.leader is not None and self.leader not in self.cut_off:
            numbers = self.nodes[self.leader].halt.numbers()
            for name in set(self.nodes) - self.cut_off:
                self.nodes[name].halt.hear(numbers)

    async def ask(self, asker: str, question: str, body: bytes) -> bytes:
        """Put a question to the leader."""
        if self.leader is None or {asker, self.leader} & self.cut_off:
            raise NotLeader("no leader serves right now")
        keeper = self.nodes[self.leader].keeper
        if question == "read":
            return await keeper.answer_read(NodeId(asker), body)
        answer = await keeper.answer_write(NodeId(asker), body)
        self.tell()
        return answer

    async def run(self, story: Callable[[], Awaitable[None]]) -> None:
        """Run every node's service while the story lasts."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(node.halt.run()) for node in self.nodes.values()]
            await asyncio.sleep(0)
            await story()
            for task in tasks:
                task.cancel()


class HaltNode:
    """One node."""

    def __init__(self, cluster: HaltCluster, name: str) -> None:
        """Load what it kept."""
        self.name = name
        self.audit: list[dict[str, Any]] = []
        self._cluster = cluster
        clock = VirtualClock()
        data = cluster.directory / name
        data.mkdir(mode=0o700, exist_ok=True)
        self.file = HaltFile(data, cluster=CLUSTER, now=lambda: NOW)
        self.keeper = HaltKeeper(
            cluster=CLUSTER,
            records=cluster.records,  # type: ignore[arg-type]  only what is read
            put=cluster.records.put,
            token=lambda: TOKEN,
            may_resume=lambda node: node in cluster.voters,
            audit=self._note,
            clock=clock,
            now=lambda: NOW,
        )
        self.halt = Halt(
            file=self.file,
            ask=lambda body: cluster.ask(name, "read", body),
            number=lambda: self.keeper.number,
            learnt=self.keeper.saw,
            audit=self._note,
            clock=clock,
            name_of=str,
            me=name,
            now=lambda: NOW,
        )
        self.keeper.saw(self.halt.decision.number)
        self.api = HaltApi(
            self.halt,
            wish=lambda body, _timeout_ms: cluster.ask(name, "write", body),
            members=lambda: [(NodeId(n), n, cluster.states[n]) for n in cluster.nodes],
            me=NodeId(name),
            cluster=CLUSTER,
            clock=clock,
        )

    async def call(self, method: str, **body: object) -> Any:
        """Call the API."""
        handler = next(o.handler for o in self.api.operations() if o.method == method)
        return await handler(Call(params={}, query={}, body=msgspec.json.encode(body)))

    def _note(self, what: str, *, actor: str, **fields: object) -> None:
        self.audit.append({"what": what, "actor": actor, **fields})
