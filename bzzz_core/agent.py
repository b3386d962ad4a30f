"""Composition root of a node: builds every service once and runs them in one `Lifecycle`.

Nothing is decided here. The order of a start follows from who needs whom: the API answers first
(it says what is missing), then the broker (where it is a child), the fabric, the roster, and last
leadership, which needs the stream's identity and the committed voters.

What the services depend on changes while they run, along two ways that meet in `_reconfigure`: the
configuration (file, environment, cluster) and the registry of nodes, which is laid over it. What
only voters do runs while this node is one.

It ends by the plan in `shutdown.plan`: a leader resigns first, so that no successor waits for
silence, and what others stand on ends last.
"""

from __future__ import annotations

import asyncio
import faulthandler
import signal
from collections.abc import Coroutine, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Final

from bzzz_core import __version__, data_directory
from bzzz_core.api import enrolment as enrolment_api
from bzzz_core.api.documents import Status
from bzzz_core.api.events.sampling import Sight
from bzzz_core.api.operations import Offer
from bzzz_core.backbone import Backbone
from bzzz_core.broker_process import broker_notes, broker_unit
from bzzz_core.clock import SystemClock, utc_now
from bzzz_core.config.schema import AgentConfig
from bzzz_core.election.announce import Change, LeaderChanged
from bzzz_core.enrolled import fetch_registry, load_identity, registry_cache, votes
from bzzz_core.enrolment.registry import Registry, effective
from bzzz_core.errors import HealthCritical, NotEnrolled
from bzzz_core.fabric.records import control_records
from bzzz_core.foreground import run_until_signal
from bzzz_core.growth.operations import operations as fabric_operations
from bzzz_core.halt.operations import unless_halted
from bzzz_core.hash_table import HashTable
from bzzz_core.leader_operations import LeaderOperations, guarded
from bzzz_core.membership.discovery.announce import Announcer, seed_of
from bzzz_core.membership.member import Member
from bzzz_core.model import ClusterId
from bzzz_core.observing import Observing
from bzzz_core.ports import Clock
from bzzz_core.registry_follower import RegistryFollower
from bzzz_core.roster_wiring import has_rights_of_voter, say_goodbye
from bzzz_core.shared_config.node_sources import NodeSources
from bzzz_core.shared_config.service import NodeConfiguration
from bzzz_core.shutdown import remains
from bzzz_core.shutdown.last_resort import LastResort
from bzzz_core.shutdown.plan import Phase
from bzzz_core.shutdown.request import StopRequest
from bzzz_core.shutdown.service import Lifecycle
from bzzz_core.status import Attachment, Moment, compose, sight_of
from bzzz_core.telemetry import log_keeping, logs
from bzzz_core.telemetry.audit_desk import AuditDesk
from bzzz_core.telemetry.notify import notify
from bzzz_core.telemetry.sample import local_addresses
from bzzz_core.trust.secrets_directory import SecretsDirectory
from bzzz_core.voter_duties import VoterDuties

_EXIT_MS_MAX: Final = 5_000


def run(sources: NodeSources, *, kind: type[Agent] | None = None) -> None:
    """Run the agent until a signal ends it; tests run a `kind` of it with more components."""
    config = sources.start().loaded.config
    faulthandler.enable()  # What the watchdog ends says where it stood.
    with data_directory.held(Path(config.resources.paths.data)), log_keeping.kept(config):
        try:
            run_until_signal((kind or Agent)(sources, clock=SystemClock()).run)
        finally:  # A thread that hangs (a disk, a driver) must not keep the process.
            LastResort().arm(_EXIT_MS_MAX)


class Agent:
    """One node: every service, wired."""

    _control_records = staticmethod(control_records)

    def __init__(self, sources: NodeSources, *, clock: Clock) -> None:
        """Load identity and keys; open nothing.

        Raises:
            TrustError: A key is missing, damaged, or not the one this node is enrolled with.
            ConfigError: A secret or a node's entry cannot be used.
        """
        self._log = logs.get("agent")
        self._clock = clock
        started = sources.start().loaded.config
        self._audit = AuditDesk.of_agent(started, clock=clock)
        self._configuration = NodeConfiguration(
            sources, clock=clock, audit=self._audit.note, report=self._report
        )
        base = self._configuration.current
        self._registry = RegistryFollower(
            registry_cache(base),
            cluster=ClusterId(base.cluster.id),
            fetch=self._fetch_registry,
            changed=self._on_registry,
            clock=clock,
            looks=lambda: self._config.me.voter,
            ended=self._end,
            shut_out=lambda: self._backbone.fabric.shut_out,
            doubt_broker=self._doubt_broker,
        )
        self._config = effective(base, self._registry.registry)
        self._news = asyncio.Event()
        self._broker = broker_unit(base, clock=clock)
        self._backbone = Backbone(
            lambda: self._config,
            identity=load_identity(
                self._config, SecretsDirectory(Path(self._config.security.directory))
            ),
            configuration=self._configuration,
            registry=self._registry,
            records_of=self._control_records,
            audit=self._audit,
            clock=clock,
        )
        self._build_services(self._config)

    def _build_services(self, config: AgentConfig) -> None:
        """Build what stands on the backbone: configuration, hash table, a voter's duties."""
        clock, backbone, audit = self._clock, self._backbone, self._audit.note
        leadership = backbone.leadership
        self._leaders = LeaderOperations(
            leadership,
            config=lambda: self._config,
            registry=lambda: self._registry.registry,
            requests=backbone.requests,
            audit=audit,
        )
        self._configuration.connect(
            leader=backbone.requests,
            records=backbone.records,
            put=leadership.put,
            token=leadership.present_token,
            may_change=lambda node: votes(self._config, node),
            now=utc_now,
        )
        self._configuration.live.subscribe(self._follow_logs, below="resources")
        self._configuration.live.subscribe(self._on_configuration)
        self._table = HashTable(
            config, fabric=backbone.fabric, clock=clock, ask=backbone.ask, audit=audit
        )
        backbone.requests.serve("bucket", self._table.answer)
        self._duties = VoterDuties(backbone, config=lambda: self._config, clock=clock)
        leadership.subscribe(self._on_leadership)
        addresses = local_addresses()
        self._announcer = Announcer(seed_of(config), addresses=tuple(addresses))
        self._observing = Observing(
            config=lambda: self._config,
            clock=clock,
            status=self.status,
            sight=self.sight,
            audit=self._audit,
            addresses=addresses,
            backbone=backbone,
            table=self._table,
            steward=self._duties.steward,
            give_up=self._give_up,
        )
        live = self._configuration.live
        live.subscribe(self._observing.follow_tokens, below="security.api_tokens")

    async def run(self, stop: StopRequest) -> None:
        """Run until the end is asked for, then end every component in its turn.

        Raises:
            NotEnrolled: The cluster has let this node go, or revoked it.
            BzzzError: A component failed; the others were ended in order.
        """
        self._stop = stop
        self._clean()
        backbone, lifecycle = self._backbone, Lifecycle(clock=self._clock)
        for name, work in self._services():
            lifecycle.add(name, work)
        lifecycle.add("resign", stop=backbone.leadership.resign)
        lifecycle.add("farewell", stop=self._observing.farewell)
        lifecycle.add("goodbye", stop=partial(say_goodbye, backbone.membership))
        lifecycle.add("audit", stop=partial(asyncio.to_thread, self._audit.close))
        lifecycle.add("remains", stop=partial(asyncio.to_thread, self._clean))
        lifecycle.before(Phase.PRE_SHUTDOWN, self._observing.health.checks.stopping)
        lifecycle.before(Phase.PRE_SHUTDOWN, partial(notify, "STOPPING=1"))
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._configuration.live.ask, "SIGHUP")
        try:
            await lifecycle.run(stop, started=self._started)
        except asyncio.CancelledError:
            self._audit.close()  # Nothing was ended in its turn.
            raise
        finally:
            self._log.info("agent stopped", reason=stop.reason, abandoned=lifecycle.abandoned)

    def _clean(self) -> None:
        """Take away what a life that was killed, or a child of this one, left on the disk."""
        config = self._config
        own = (Path(config.resources.paths.data), Path(config.security.directory))
        child = config.services.broker == "child"
        for path in remains.remove(own, brokers=broker_notes(config) if child else ()):
            self._log.info("taken away", path=str(path))

    def _started(self) -> None:
        notify("READY=1")
        self._log.info("agent started", version=__version__, node_id=self._config.me.id)

    def status(self) -> Status:
        """Return this node's view of itself and the cluster."""
        return self._status_of(self._backbone.membership.members(), self._clock.now_ms())

    def sight(self) -> Sight:
        """Return the same; a member's document is made when somebody wants it."""
        now_ms = self._clock.now_ms()
        head = self._status_of((), now_ms)
        return sight_of(self._config, head, self._backbone.membership.seen(), now_ms=now_ms)

    def _status_of(self, members: Iterable[Member], now_ms: int) -> Status:
        backbone, placed = self._backbone, self._duties.placement.led_by
        fabric, leadership = backbone.fabric, backbone.leadership
        return compose(
            self._config,
            voters=leadership.voters,
            view=leadership.view(),
            members=members,
            attachment=Attachment(fabric.state, fabric.server_name, placed.get("control")),
            moment=Moment(
                now_ms=now_ms,
                uptime_ms=backbone.myself.uptime_ms,
                at=utc_now(),
                leader_since_at=leadership.since_at,
            ),
            alarms=fabric.alarms + backbone.enrolment.alarms + self._observing.alarms,
        )

    def operations(self) -> tuple[Offer, ...]:
        """Return what the API offers of the work itself, and of what shows it."""
        backbone = self._backbone
        return (
            *self._configuration.operations(),
            *enrolment_api.operations(backbone.enrolment, backbone.ask),
            *self._table.operations(),
            *unless_halted(
                guarded(self._table.content_operations(), backbone.leadership.quorum),
                self._observing.halt,
            ),
            *self._leaders.operations(),
            *fabric_operations(
                config=lambda: self._config, steward=self._duties.steward, clock=self._clock
            ),
            *self._observing.operations(),
        )

    def _services(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        backbone = self._backbone
        services = [
            ("api", self._observing.api(self.operations()).run()),
            ("fabric", backbone.fabric.run()),
            ("sampler", backbone.sampler.run()),
            ("membership", backbone.membership.run()),
            ("leadership", backbone.leadership.run()),
            ("registry", self._registry.run()),
            ("news", self._follow_news()),
            ("enrolment", backbone.enrolment.run()),
            ("dht", self._table.run()),
            ("duties", self._duties.run()),
            *self._configuration.services(),
            ("announcer", self._announcer.run()),
            *self._observing.services(),
        ]
        if self._config.services.broker == "child":
            services.insert(0, ("broker", self._broker.run()))
        return services

    async def _fetch_registry(self) -> bytes | None:
        backbone = self._backbone
        return await fetch_registry(backbone.records, backbone.ask, votes=self._config.me.voter)

    def _doubt_broker(self) -> None:
        self._backbone.fabric.doubt()

    async def _on_registry(self, registry: Registry) -> None:
        await self._backbone.enrolment.follow(registry)
        self._backbone.membership.hurry()
        self._news.set()

    async def _on_configuration(self, _config: AgentConfig) -> None:
        self._news.set()

    async def _follow_news(self) -> None:
        """Take changes of the configuration and of the registry, until this node is let go."""
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                config = effective(self._configuration.current, self._registry.registry)
            except NotEnrolled as exc:
                self._end(str(exc))
                return
            promoted = config.me.voter and not self._config.me.voter
            if promoted and not await has_rights_of_voter(self._backbone.fabric, self._clock):
                self._news.set()
                continue
            self._reconfigure(config)

    def _end(self, why: str) -> None:
        # The first one to know tells the reason.
        self._stop.ask("this node is let go", because=NotEnrolled(why))

    def _give_up(self, why: HealthCritical) -> None:
        self._audit.note("agent ended for its health", actor="health", reason=str(why))
        self._stop.ask(f"health: {why}", because=why)

    def _reconfigure(self, config: AgentConfig) -> None:
        """Tell whoever depends on the configuration or on who belongs to the cluster."""
        self._config = config
        self._backbone.reconfigure(config)
        self._table.reconfigure(config)
        self._announcer.follow(config)
        self._duties.look()
        self._observing.reconfigure(config)

    def _report(self, what: str, fields: dict[str, object]) -> None:
        self._log.info(what, **fields)

    async def _follow_logs(self, config: AgentConfig) -> None:
        log_keeping.follow(config)

    async def _on_leadership(self, change: Change) -> None:
        self._duties.placement.look()
        self._observing.hurry()
        if isinstance(change, LeaderChanged) and change.mine:
            self._backbone.membership.hurry()
