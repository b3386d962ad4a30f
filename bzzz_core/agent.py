"""Composition root of a node: builds every service once and runs them in one TaskGroup.

Nothing is decided here. The order of a start follows from who needs whom: the API answers first
(it says what is missing), then the broker (where it is a child), the fabric, the roster, and last
the election, which needs the stream's identity and the committed voters.

The end is one signal for all: SIGTERM or SIGINT lets a leader resign, so that its successor need
not wait for silence, then cancels everything.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import signal
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Final

from bzzz_core import __version__
from bzzz_core.api.documents import Status
from bzzz_core.api.http import ApiServer, build_app
from bzzz_core.clock import SystemClock, utc_now
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.secrets import resolve
from bzzz_core.election.announce import Change, LeaderChanged, LeadershipEnded
from bzzz_core.election.machine import View
from bzzz_core.election.observer import LeadershipObserver
from bzzz_core.election.score import Capability, score
from bzzz_core.election.service import ElectionService
from bzzz_core.election.voters import agree
from bzzz_core.election.votes import FileVoteStore
from bzzz_core.errors import BzzzError, ConfigError, QuorumUnavailable, TrustError, plainly
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.fabric.records import NatsRecords
from bzzz_core.fabric.server import BrokerServer
from bzzz_core.fabric.store import node_of
from bzzz_core.leading import LeadersLog
from bzzz_core.membership.beat import Beat
from bzzz_core.membership.incarnation import next_incarnation
from bzzz_core.membership.machine import Changed, Roster
from bzzz_core.membership.service import MembershipService
from bzzz_core.model import ClusterId, MemberState, NodeId, Voter, VoterSet
from bzzz_core.placement import StreamPlacement
from bzzz_core.ports import Clock
from bzzz_core.status import Attachment, Moment, compose, not_ready
from bzzz_core.telemetry import logs
from bzzz_core.telemetry.notify import notify
from bzzz_core.telemetry.sample import Sampler, local_addresses
from bzzz_core.trust.keys import IdentityKey, node_id_of
from bzzz_core.trust.secrets_directory import SecretsDirectory

_RESIGN_MS_MAX: Final = 1_000
_RETRY_MS: Final = 200
_NOTABLE: Final = frozenset({"rejected", "stepped down", "vote not saved"})


def run(config: AgentConfig) -> None:
    """Run the agent until SIGTERM or SIGINT."""
    _refuse_optimised()
    logs.set_up(level=config.resources.log_level, node=config.system.node_name)
    asyncio.run(_until_signal(Agent(config, clock=SystemClock()).run))


def run_fabric(load_config: Callable[[], AgentConfig]) -> None:
    """Run only this node's broker until SIGTERM or SIGINT; SIGHUP loads its configuration anew."""
    config = load_config()
    logs.set_up(level=config.resources.log_level, node=config.system.node_name)
    asyncio.run(_until_signal(partial(_run_broker, load_config, config)))


class Agent:
    """One node: every service, wired."""

    def __init__(self, config: AgentConfig, *, clock: Clock) -> None:
        """Load identity and keys; open nothing.

        Raises:
            TrustError: A key is missing, damaged, or not the one this node is enrolled with.
            ConfigError: A secret or a node's entry cannot be used.
        """
        self._config = config
        self._clock = clock
        self._log = logs.get("agent")
        self._started_ms = clock.now_ms()
        self._secrets = SecretsDirectory(Path(config.security.directory))
        self._identity = load_identity(config, self._secrets)
        self._me = NodeId(config.me.id)
        self._broker = BrokerServer(config, clock=clock)
        self._fabric = NatsFabric.from_agent_config(config, clock=clock)
        self._voters = voter_set(config)
        self._records = NatsRecords(self._fabric, replicas=len(self._voters.voters), clock=clock)
        self._sampler = Sampler(clock=clock)
        data = Path(config.resources.paths.data)
        self._incarnation = next_incarnation(data / "incarnation")
        self._membership = self._build_membership()
        self._placement = StreamPlacement(
            me=self._me,
            stream=self._records,
            clock=clock,
            leads=self._serves,
            choices=self._other_brokers,
        )
        self._election: ElectionService | None = None
        self._observer = LeadershipObserver(
            me=self._me,
            cluster=ClusterId(config.cluster.id),
            voters=self._voters,
            signer=self._identity,
            silence_ms=config.cluster.roster.suspect_ms,
            now_ms=self._started_ms,
        )
        self._leader_since_at: str | None = None
        self._addresses = local_addresses()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set."""
        async with asyncio.TaskGroup() as services:
            tasks = [services.create_task(work, name=name) for name, work in self._services()]
            notify("READY=1")
            self._log.info("agent started", version=__version__, node_id=self._me)
            await stop.wait()
            notify("STOPPING=1")
            await self._resign()
            for task in tasks:
                task.cancel()
        self._log.info("agent stopped")

    def status(self) -> Status:
        """Return this node's view of itself and the cluster."""
        return compose(
            self._config,
            view=self._view(),
            members=self._membership.members(),
            attachment=Attachment(
                self._fabric.state, self._fabric.server_name, self._placement.led_by
            ),
            moment=Moment(self._clock.now_ms(), self._started_ms, utc_now(), self._leader_since_at),
        )

    def _view(self) -> View | None:
        if not self._config.me.voter:
            return self._observer.view(self._clock.now_ms())
        return self._election.view() if self._election else None

    def _services(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        network = self._config.network
        app = build_app(
            token=resolve(self._config.security.api_token),
            status=self.status,
            not_ready=lambda: not_ready(
                self.status(), addresses=self._addresses, address=network.address
            ),
        )
        services = [
            ("api", ApiServer(app, host=network.api_host, port=network.ports.api).run()),
            ("fabric", self._fabric.run()),
            ("sampler", self._sampler.run()),
            ("membership", self._membership.run()),
        ]
        if self._config.services.broker == "child":
            services.insert(0, ("broker", self._broker.run_supervised()))
        if self._config.me.voter:
            services += [("election", self._elect()), ("placement", self._place())]
        return services

    async def _elect(self) -> None:
        """Take part in elections as soon as the fabric has a quorum."""
        await self._open_records()
        voters = await self._agree_voters()
        log = LeadersLog(self._records, clock=self._clock)
        self._election = self._build_election(voters, log)
        async with asyncio.TaskGroup() as group:
            group.create_task(log.run(), name="leaders-log")
            group.create_task(self._election.run(), name="election")

    async def _open_records(self) -> None:
        while True:
            try:
                await self._records.open()
            except QuorumUnavailable as exc:
                self._log.warning("waiting for a quorum of brokers", reason=str(exc))
            else:
                return

    async def _agree_voters(self) -> VoterSet:
        while True:
            try:
                return await agree(self._records, self._voters)
            except BzzzError as exc:
                if not exc.retryable:
                    raise
                self._log.info("voters not agreed yet", reason=str(exc))
            await self._clock.sleep_ms(_RETRY_MS)

    async def _place(self) -> None:
        await self._fabric.wait_attached()
        await self._placement.run()

    async def _resign(self) -> None:
        if self._election is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RESIGN_MS_MAX / 1000):
                await self._election.resign()

    def _build_election(self, voters: VoterSet, log: LeadersLog) -> ElectionService:
        data = Path(self._config.resources.paths.data)
        election = ElectionService(
            timings=self._config.cluster.timings,
            me=self._me,
            cluster=ClusterId(self._config.cluster.id),
            voters=voters,
            fabric=self._fabric,
            records=self._records,
            signer=self._identity,
            votes=FileVoteStore(data / "votes"),
            clock=self._clock,
            score=self._score,
            first_write=log.append,
            report=self._on_election,
        )
        election.subscribe(self._on_leadership)
        return election

    def _score(self) -> float:
        sample = self._sampler.latest
        return score(
            Capability(
                uptime_s=(self._clock.now_ms() - self._started_ms) / 1000,
                load_1m=sample.load_1m,
                cpu_count=sample.cpu_count,
                memory_used_bytes=sample.memory_used_bytes,
                memory_total_bytes=sample.memory_total_bytes,
            )
        )

    def _on_election(self, what: str, fields: dict[str, object]) -> None:
        level = self._log.warning if what in _NOTABLE else self._log.info
        level(what, **fields)

    async def _on_leadership(self, change: Change) -> None:
        match change:
            case LeaderChanged():
                self._leader_since_at = utc_now()
            case LeadershipEnded():
                self._leader_since_at = None

    def _on_proof(self, proof: bytes) -> None:
        """Follow leadership as an edge; voters have their own election."""
        before = self._view()
        self._observer.hear(proof, self._clock.now_ms())
        after = self._view()
        if before and after and (before.leader, before.term) != (after.leader, after.term):
            self._leader_since_at = utc_now()

    def _build_membership(self) -> MembershipService:
        config = self._config
        roster = Roster(
            config.cluster.roster,
            me=self._me,
            nodes=tuple(NodeId(node.id) for node in config.cluster.nodes),
            edge=not config.me.voter,
            now_ms=self._clock.now_ms(),
        )
        return MembershipService(
            roster,
            fabric=self._fabric,
            clock=self._clock,
            beat_ms=config.cluster.roster.beat_ms,
            edge=not config.me.voter,
            make_beat=self._make_beat,
            leads=self._serves,
            proof=lambda: self._election.sealed_heartbeat if self._election else b"",
            on_proof=self._on_proof,
            notify=self._on_member,
        )

    def _make_beat(self, number: int, leaving: bool) -> Beat:  # noqa: FBT001  a port's shape
        return Beat(
            node=self._me,
            name=self._config.system.node_name,
            address=self._config.me.address,
            version=__version__,
            incarnation=self._incarnation,
            number=number,
            uptime_s=(self._clock.now_ms() - self._started_ms) // 1000,
            voter=self._config.me.voter,
            sample=self._sampler.sample(),
            broker=self._fabric.server_name,
            leaving=leaving,
        )

    def _on_member(self, change: Changed) -> None:
        self._log.info("member", member=change.node, was=change.before, now=change.after)

    def _serves(self) -> bool:
        return self._election is not None and self._election.serves()

    def _other_brokers(self) -> list[str]:
        voters = {voter.node for voter in self._voters.voters}
        return [
            member.beat.broker
            for member in self._membership.members()
            if member.beat is not None
            and member.beat.broker
            and member.state is MemberState.ALIVE
            and member.node in voters - {self._me}
            and node_of(member.beat.broker) == member.node
        ]


async def _run_broker(
    reload_config: Callable[[], AgentConfig], config: AgentConfig, stop: asyncio.Event
) -> None:
    """Supervise the broker; SIGHUP lets it take the configuration file as it is now."""
    log = logs.get("agent")
    async with asyncio.TaskGroup() as services:
        broker = BrokerServer(config, clock=SystemClock())
        task = services.create_task(broker.run_supervised())

        async def reload() -> None:
            try:
                await broker.reload(reload_config())
            except (BzzzError, OSError) as exc:
                log.warning("configuration not taken; the old one stays in force", reason=str(exc))

        def on_hangup() -> None:
            services.create_task(reload())

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, on_hangup)
        notify("READY=1")
        await stop.wait()
        notify("STOPPING=1")
        task.cancel()


async def _until_signal(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run `work` with an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with plainly():
        await work(stop)


def load_identity(config: AgentConfig, secrets: SecretsDirectory) -> IdentityKey:
    """Return the node's key after checking that it is the one the cluster enrolled.

    Raises:
        TrustError: It is missing, damaged, or another one.
    """
    identity = IdentityKey.load(secrets.identity_key)
    if identity.node_id != config.me.id:
        raise TrustError(
            f"{secrets.identity_key} is the key of {identity.node_id}, but {config.me.name} is"
            f" enrolled as {config.me.id}; run setup again"
        )
    return identity


def voter_set(config: AgentConfig) -> VoterSet:
    """Return the voters this node was told of, after checking each id against its key.

    Raises:
        ConfigError: A public key is not one, or an id does not follow from its key.
    """
    voters = []
    for node in config.cluster.nodes:
        if not node.voter:
            continue
        try:
            key = base64.b64decode(node.public_key, validate=True)
        except binascii.Error as exc:
            raise ConfigError(f"cluster.nodes: public_key of {node.name} is not base64") from exc
        if node_id_of(key) != node.id:
            raise ConfigError(f"cluster.nodes: the id of {node.name} does not follow from its key")
        voters.append(Voter(NodeId(node.id), node.name, key))
    return VoterSet(tuple(sorted(voters)))


def _refuse_optimised() -> None:
    """Programmer errors are asserts; without them a bug would go on silently."""
    if not __debug__:
        raise ConfigError("the agent does not run under python -O: its asserts must hold")
