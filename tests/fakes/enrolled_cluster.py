"""Nodes with everything about enrolment and nothing else: real brokers, keys, files and TLS.

What is left out is the election: one node writes `_term` once and leads for good, so a test of
joins, renewals and revocations does not wait for leaders. Versions of the registry are spread as
digests do it, by a message each second that says no more than the number. Brokers are run by the
real `BrokerUnit`, which learns of every change from files alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bzzz_core.api.auth import Doorkeeper
from bzzz_core.api.client import send_join
from bzzz_core.api.enrolment import operations
from bzzz_core.api.http import build_app
from bzzz_core.api.join import JoinListener
from bzzz_core.api.server import ApiServer
from bzzz_core.clock import SystemClock
from bzzz_core.config.secrets import resolve
from bzzz_core.config.sources import load_agent_config
from bzzz_core.demo.layout import free_ports, lay_out
from bzzz_core.enrolled import voter_set
from bzzz_core.enrolment import messages
from bzzz_core.enrolment.cache import RegistryCache
from bzzz_core.enrolment.home import Home
from bzzz_core.enrolment.joiner import Newcomer, join
from bzzz_core.enrolment.registry import Registry, effective
from bzzz_core.enrolment.service import Enrolment
from bzzz_core.enrolment.token import JoinToken, parse_token
from bzzz_core.errors import NotEnrolled, QuorumUnavailable
from bzzz_core.fabric.lane import TERM_KEY
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.fabric.records import NatsRecords
from bzzz_core.fabric.unit import BrokerUnit
from bzzz_core.leader_requests import LeaderRequests
from bzzz_core.leading import LeadersLog
from bzzz_core.model import ClusterId, FencingToken, NodeId
from bzzz_core.ports import Guard, Message
from bzzz_core.registry_follower import RegistryFollower
from bzzz_core.trust.keys import IdentityKey
from tests.fakes.admission import nothing_owed

_SPREAD_MS = 1_000
_ASK_MS = 20_000
CLOCK = SystemClock()


class EnrolledNode:
    """One node in this process; its broker is a process of its own."""

    def __init__(self, config_file: Path) -> None:
        """Read the node's files; nothing runs before `run`."""
        self.file = load_agent_config(config_file, {})
        self.config = self.file
        self.id = NodeId(self.file.me.id)
        self.name = self.file.system.node_name
        self.dead: set[NodeId] = set()
        """Whom the roster would not call alive."""
        self.ended: str | None = None
        self.audited: list[tuple[str, dict[str, object]]] = []
        self.token: FencingToken | None = None
        self._identity = IdentityKey.load(Path(self.file.security.directory) / "identity.key")
        data = Path(self.file.resources.paths.data)
        cluster = ClusterId(self.file.cluster.id)
        self.cache = RegistryCache(data, cluster=cluster)
        self.config = effective(self.file, self.cache.load())
        self.fabric = NatsFabric.from_agent_config(self.config, clock=CLOCK)
        voters = sum(node.voter for node in self.config.cluster.nodes)
        self.records = NatsRecords(self.fabric, replicas=voters, clock=CLOCK)
        self.requests = LeaderRequests(
            me=self.id,
            fabric=self.fabric,
            clock=CLOCK,
            leads=lambda: self.token,
            admit=self._admit,
            settled=nothing_owed,
        )
        self._ask = partial(self.requests.ask, timeout_ms=_ASK_MS)
        self.follower = RegistryFollower(
            self.cache,
            cluster=cluster,
            fetch=partial(self._ask, messages.REGISTRY, b""),
            changed=self._changed,
            clock=CLOCK,
            looks=lambda: False,
            ended=self._end,
            shut_out=lambda: self.fabric.shut_out,
            doubt_broker=self.fabric.doubt,
        )
        self.writes: LeadersLog | None = None
        self.enrolment = Enrolment(
            config=lambda: self.config,
            identity=self._identity,
            records=self.records,
            put=self._put,
            leads=lambda: self.token,
            committed=lambda: voter_set(self.config),
            alive=lambda node: node not in self.dead,
            registry=lambda: self.follower.registry,
            taken=self.follower.take,
            ask=self._ask,
            installed=self._installed,
            audit=lambda what, **fields: self.audited.append((what, fields)),
            clock=CLOCK,
            now=lambda: datetime.now(UTC),
            random=random.random,
        )
        for question, handler in self.enrolment.handlers().items():
            self.requests.serve(question, handler)
        self.listener = JoinListener(
            secrets=self.enrolment.secrets,
            place=(self.config.me.address, self.config.me.join),
            votes=lambda: self.config.me.voter,
            pass_on=partial(self._ask, messages.JOIN),
            clock=CLOCK,
        )
        self.unit = BrokerUnit(
            lambda: effective(self.file, self.cache.load()),
            followed=(self.cache.path,),
            clock=CLOCK,
        )

    async def ask(self, question: str, body: object) -> bytes:
        """Put a question to the leader as this node."""
        return await self._ask(question, messages.pack(body))

    async def run(self, *, leads: bool) -> None:
        """Run until cancelled; the one that leads makes the control stream and its `_term`."""
        network = self.file.network
        app = build_app(
            doorkeeper=Doorkeeper.of_one(resolve(self.file.security.api_token)),
            status=_no_status,
            not_ready=list,
            operations=operations(self.enrolment, self._ask),
        )
        api = ApiServer(app, host="127.0.0.1", port=network.ports.api)
        async with asyncio.TaskGroup() as group:
            for work in (self.unit.run(), self.fabric.run(), api.run()):
                group.create_task(work)
            if self.config.me.voter:  # An edge may not hear questions, as in the agent.
                group.create_task(self.requests.run())
            await self.fabric.wait_attached()
            await self.fabric.subscribe("bz.digest.*", self._hear)
            group.create_task(self.follower.run())
            group.create_task(self.enrolment.run())
            group.create_task(self.listener.run())
            if leads:
                group.create_task(self._lead())

    async def _lead(self) -> None:
        while True:
            try:
                await self.records.open()
                break
            except QuorumUnavailable:
                continue
        record = await self.records.read(TERM_KEY)
        guard = Guard(TERM_KEY, record.revision if record else 0)  # type: ignore[arg-type]
        revision = await self.records.write(TERM_KEY, b"this test", guard)
        self.writes = LeadersLog(self.records, clock=CLOCK)
        self.token = FencingToken(self.records.stream, revision)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.writes.run())
            while True:
                await self.fabric.publish(
                    f"bz.digest.{self.id}", str(self.follower.version).encode()
                )
                await CLOCK.sleep_ms(_SPREAD_MS)

    async def _put(self, token: FencingToken, key: str, value: bytes) -> object:
        assert self.writes is not None
        return await self.writes.put(token, key, value)

    def _hear(self, message: Message) -> None:
        self.follower.heard(int(message.data))

    async def _changed(self, registry: Registry) -> None:
        await self.enrolment.follow(registry)
        try:
            self.config = effective(self.file, registry)
        except NotEnrolled as exc:
            self.ended = str(exc)
            return
        self.fabric.reconfigure(self.config)

    async def _admit(self, asker: NodeId, asked: str) -> None:
        await self.enrolment.admit(asker, asked)

    def _end(self, why: str) -> None:
        self.ended = why

    async def _installed(self, files: frozenset[Path]) -> None:
        del files
        self.fabric.reconfigure(self.config)


class EnrolledCluster:
    """`nodes` of them, laid out as a demo; more may join."""

    def __init__(self, directory: Path, *, nodes: int, leaf_s: int = 3_600) -> None:
        """Write the files."""
        self.directory = directory
        files = lay_out(directory / "laid-out", agents=nodes, broker="unit", leaf_s=leaf_s)
        self.nodes = [EnrolledNode(agent.config) for agent in files.agents]
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.counters: Counter[str] = Counter()

    @property
    def leader(self) -> EnrolledNode:
        """Return the node that leads for good."""
        return self.nodes[0]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[EnrolledCluster]:
        """Run all nodes until the block ends."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for node in self.nodes:
                self.start(node)
            await until(lambda: self.leader.follower.version > 0, "the first registry", s_max=40)
            yield self
            for task in self.tasks.values():
                task.cancel()

    def start(self, node: EnrolledNode) -> None:
        """Start one node."""
        work = node.run(leads=node is self.leader)
        self.tasks[node.name] = self._group.create_task(work, name=node.name)

    async def stop(self, node: EnrolledNode) -> None:
        """End one node and its broker."""
        task = self.tasks.pop(node.name)
        task.cancel()
        await asyncio.wait([task])

    async def token(self, *, ttl_s: int = 600) -> JoinToken:
        """Return a new join token."""
        answer = await self.leader.ask(messages.TOKEN_CREATE, messages.TokenWish(ttl_s))
        return parse_token(messages.unpack(answer, messages.TokenMade).token)

    async def join(self, name: str, token: JoinToken) -> EnrolledNode:
        """Let another node join through the real listener, and start it."""
        node = await self.join_only(name, token)
        self.nodes.append(node)
        self.start(node)
        return node

    async def join_only(self, name: str, token: JoinToken) -> EnrolledNode:
        """Let another node join; it is not started."""
        (ports,) = free_ports(1)
        home = Home.below(self.directory / name)
        await join(
            Newcomer(name=name, address="127.0.0.1", ports=ports),
            token,
            home=home,
            now_s=int(datetime.now(UTC).timestamp()),
            send=send_join,
        )
        return EnrolledNode(home.config)


async def until(holds: Callable[[], bool], what: str, *, s_max: float) -> float:
    """Wait until `holds()` is true and return how many seconds that took."""

    async def look() -> bool:
        return holds()

    return await until_async(look, what, s_max=s_max)


async def until_async(holds: Callable[[], Awaitable[bool]], what: str, *, s_max: float) -> float:
    """Wait until `await holds()` is true and return how many seconds that took."""
    begun = asyncio.get_running_loop().time()
    while not await holds():
        waited = asyncio.get_running_loop().time() - begun
        assert waited < s_max, f"{what}: not within {s_max} s"
        await asyncio.sleep(0.02)
    return asyncio.get_running_loop().time() - begun


def _no_status() -> object:
    raise AssertionError("nobody asks for the status here")
