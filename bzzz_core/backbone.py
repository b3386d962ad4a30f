"""What a node speaks with the others through: fabric, leadership, roster, enrolment, questions.

These need each other in a circle (leadership asks through the questions, which are answered by
whoever leads, who the roster's beats are told to), so one place builds them and ties the circle.
Whatever else a node does stands on this and is built after it (`agent`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from bzzz_core.clock import utc_instant
from bzzz_core.config.schema import AgentConfig
from bzzz_core.enrolled import voter_set
from bzzz_core.enrolment.service import Enrolment
from bzzz_core.errors import NotEnrolled
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.fabric.records import NatsRecords
from bzzz_core.leader_requests import LeaderRequests
from bzzz_core.leadership import VOTERS_QUESTION, Leadership
from bzzz_core.model import NodeId
from bzzz_core.ports import Clock
from bzzz_core.registry_follower import RegistryFollower
from bzzz_core.roster_wiring import membership_of
from bzzz_core.self_report import SelfReport
from bzzz_core.shared_config.service import NodeConfiguration
from bzzz_core.telemetry.audit_desk import AuditDesk
from bzzz_core.telemetry.sample import Sampler
from bzzz_core.trust.keys import IdentityKey

_ASK_MS_MAX: Final = 10_000


class Numbered(Protocol):
    """What the whole cluster has one numbered state of; whoever leads tells the number."""

    def numbers(self) -> dict[str, int]:
        """Return what the digest of this node carries while it leads."""
        ...

    def hear(self, numbers: dict[str, int]) -> None:
        """Take the numbers that a digest of the leader carries."""
        ...


RecordsOf = Callable[..., NatsRecords]
"""As `fabric.records.control_records`."""


class Backbone:
    """One node's parts that speak with other nodes; `agent` runs them."""

    def __init__(
        self,
        config: Callable[[], AgentConfig],
        *,
        identity: IdentityKey,
        configuration: NodeConfiguration,
        registry: RegistryFollower,
        records_of: RecordsOf,
        audit: AuditDesk,
        clock: Clock,
    ) -> None:
        """Build all; open nothing.

        Args:
            config: Gives the configuration in force, the registry laid over it.
            identity: The node's key.
            configuration: Hears which cluster-wide values there are.
            registry: Hears which list of nodes there is.
            records_of: Makes the control stream of a configuration and a fabric.
            audit: Where acts are written down.
            clock: Drives everything.
        """
        now = config()
        self._config = config
        self.numbered: list[Numbered] = [configuration]
        """Whoever else has something to tell of is added before `run`."""
        self._registry = registry
        self._clock = clock
        self._audit = audit
        self.fabric = NatsFabric.from_agent_config(now, clock=clock)
        self.records = records_of(now, self.fabric, clock=clock)
        self.sampler = Sampler(clock=clock)
        self.myself = SelfReport(
            config=config, fabric=self.fabric, sampler=self.sampler, clock=clock
        )
        self.leadership = Leadership(
            now,
            fabric=self.fabric,
            records=self.records,
            voters=voter_set(now),
            signer=identity,
            clock=clock,
            score=self.myself.score,
            ask=self.ask,
            audit=audit.note,
        )
        self.membership = membership_of(
            now,
            fabric=self.fabric,
            clock=clock,
            report=self.myself,
            leadership=self.leadership,
            ask=partial(self.ask, "roster"),
            versions=self.versions,
            on_versions=self._on_versions,
        )
        self.enrolment = self._build_enrolment(identity)
        self.requests = self._build_requests(NodeId(now.me.id))

    async def ask(self, operation: str, body: bytes) -> bytes:
        """Put a question to the leader.

        Raises:
            NotEnrolled: The leader does not count this node; the registry is looked at again.
            BzzzError: As `LeaderRequests.ask`.
        """
        try:
            return await self.requests.ask(operation, body, timeout_ms=_ASK_MS_MAX)
        except NotEnrolled:
            self._registry.doubt()
            raise

    def reconfigure(self, config: AgentConfig) -> None:
        """Follow the configuration and who belongs to the cluster."""
        self.fabric.reconfigure(config)
        self.membership.reconfigure(
            tuple(NodeId(node.id) for node in config.cluster.nodes), edge=not config.me.voter
        )
        self.leadership.reconfigure(config)

    def _build_enrolment(self, identity: IdentityKey) -> Enrolment:
        return Enrolment(
            config=self._config,
            identity=identity,
            records=self.records,
            put=self.leadership.put,
            leads=self.leadership.token,
            committed=lambda: self.leadership.voters,
            alive=self.membership.is_alive,
            registry=lambda: self._registry.registry,
            taken=self._registry.take,
            ask=self.ask,
            installed=self._on_credentials,
            audit=self._audit.note,
            clock=self._clock,
            now=utc_instant,
            random=random.SystemRandom().random,
        )

    def _build_requests(self, me: NodeId) -> LeaderRequests:
        requests = LeaderRequests(
            me=me,
            fabric=self.fabric,
            clock=self._clock,
            leads=self.leadership.token,
            admit=self.enrolment.admit,
            settled=self._audit.settled,
        )
        for operation, handler in self.enrolment.handlers().items():
            requests.serve(operation, handler)
        requests.serve("roster", self.membership.answer)
        requests.serve(VOTERS_QUESTION, self.leadership.answer_voters)
        return requests

    async def _on_credentials(self, _files: frozenset[Path]) -> None:
        self.fabric.reconfigure(self._config())

    def versions(self) -> dict[str, int]:
        """Return the numbers of what the cluster has one numbered state of, as this node has it."""
        return {
            "registry": self._registry.version,
            "voters": self.leadership.voters.number,
            **{name: n for part in self.numbered for name, n in part.numbers().items()},
        }

    def _on_versions(self, versions: Mapping[str, int]) -> None:
        self._registry.heard(versions.get("registry", 0))
        self.leadership.heard(versions.get("voters", 0))
        for part in self.numbered:
            part.hear(dict(versions))
