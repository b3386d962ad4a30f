"""Nodes that share a configuration: everything real but the election, which a test decides.

Works on any fabric: give it the memory adapter and virtual time, or real brokers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bzzz_core.api.operations import Call
from bzzz_core.errors import NotLeader
from bzzz_core.leader_requests import LeaderRequests
from bzzz_core.leading import LeadersLog
from bzzz_core.model import FencingToken, NodeId
from bzzz_core.ports import Clock, Fabric, Guard, Records
from bzzz_core.shared_config.service import NodeConfiguration
from bzzz_core.telemetry import tracing
from tests.fakes.admission import admit_all, nothing_owed
from tests.fakes.node_files import node_sources_of

TERM = "_term"


class ConfigNode:
    """One node's configuration, wired as an agent wires it."""

    def __init__(
        self, path: Path, *, fabric: Fabric, records: Records, clock: Clock, **environment: str
    ) -> None:
        """Wire; nothing runs yet."""
        self.token: FencingToken | None = None
        self.audit: list[dict[str, Any]] = []
        self.reports: list[tuple[str, dict[str, object]]] = []
        self.traces: list[tuple[str, str]] = []
        """(what was reported, trace of the request it was done for)."""
        self.records = records
        self.path = path
        self.configuration = NodeConfiguration(
            node_sources_of(path, **environment),
            clock=clock,
            audit=self._record,
            report=self._report,
        )
        self.me = NodeId(self.configuration.current.me.id)
        self.requests = LeaderRequests(
            me=self.me,
            fabric=fabric,
            clock=clock,
            leads=lambda: self.token,
            admit=admit_all,
            settled=nothing_owed,
        )
        self.log: LeadersLog | None = None
        self._clock = clock
        voters = {n.id for n in self.configuration.current.cluster.nodes if n.voter}
        self.configuration.connect(
            leader=self.requests,
            records=records,
            put=self._put,
            token=self._token_now,
            may_change=lambda node: node in voters,
            now=lambda: "2026-01-01T00:00:00Z",
        )

    @property
    def voter(self) -> bool:
        """Return whether the node votes."""
        return self.configuration.current.me.voter

    @property
    def log_level(self) -> str:
        """Return a reloadable value as the running node has it."""
        return self.configuration.current.resources.log_level

    async def lead(self) -> None:
        """Become leader: write the term record as an election does."""
        last = await self.records.read(TERM)
        revision = last.revision if last else 0
        sequence = await self.records.write(TERM, b"term", Guard(TERM, revision))
        self.token = FencingToken(self.records.stream, sequence)

    def tell(self, others: Sequence[ConfigNode]) -> None:
        """Do what the leader's digest does."""
        for other in others:
            other.configuration.hear(self.configuration.numbers())

    async def call(self, method: str, path: str, body: bytes = b"", **query: str) -> Any:
        """Call one operation of the local API."""
        handler = next(
            operation.handler
            for operation in self.configuration.operations()
            if (operation.method, operation.path) == (method, path)
        )
        return await handler(Call(params={}, query=query, body=body))

    async def run(self) -> None:
        """Run what an agent runs."""
        async with asyncio.TaskGroup() as group:
            if self.voter:
                await self.records.open()
                self.log = LeadersLog(self.records, clock=self._clock)
                group.create_task(self.log.run())
                group.create_task(self.requests.run())
            for name, work in self.configuration.services():
                group.create_task(work, name=name)

    async def _put(self, token: FencingToken, key: str, value: bytes) -> Any:
        assert self.log is not None
        return await self.log.put(token, key, value)

    def _token_now(self) -> FencingToken:
        if self.token is None:
            raise NotLeader("this node does not lead")
        return self.token

    def _report(self, what: str, fields: dict[str, object]) -> None:
        self.reports.append((what, fields))
        self.traces.append((what, tracing.current().trace))

    def _record(self, what: str, *, actor: str, **fields: object) -> None:
        self.audit.append({"what": what, "actor": actor, **fields})


class Running:
    """Runs nodes for the length of an `async with`."""

    def __init__(self, nodes: Sequence[ConfigNode], *more: Callable[[], Any]) -> None:
        """Take the nodes, and further services to run."""
        self._nodes = nodes
        self._more = more
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start them."""
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        works = [*(make() for make in self._more), *(node.run() for node in self._nodes)]
        self._tasks = [group.create_task(work) for work in works]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End them."""
        for task in self._tasks:
            task.cancel()
        await self._stack.__aexit__(kind, exc, traceback)
