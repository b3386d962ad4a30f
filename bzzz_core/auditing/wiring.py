"""The audit of one agent, watched by others, wired: its services, operations and alarms."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from bzzz_core.api.operations import Operation
from bzzz_core.auditing.holder import AuditHolder
from bzzz_core.auditing.operations import AuditOperations
from bzzz_core.auditing.peers import AuditPeers
from bzzz_core.config.schema import AgentConfig
from bzzz_core.ports import Clock, Fabric
from bzzz_core.telemetry.audit_desk import AuditDesk
from bzzz_core.trust.secrets_directory import SecretsDirectory
from bzzz_core.while_voting import WhileVoting


class MutualAudit:
    """One node's part in the mutual watch over audits."""

    def __init__(
        self,
        *,
        config: Callable[[], AgentConfig],
        fabric: Fabric,
        clock: Clock,
        desk: AuditDesk,
        now: Callable[[], str],
    ) -> None:
        """Start nothing yet; see `AuditHolder` and `AuditPeers`."""
        self._config = config
        self._desk = desk
        self._holder = AuditHolder(config=config, fabric=fabric, clock=clock, desk=desk, now=now)
        self.peers = AuditPeers(
            config=config, fabric=fabric, clock=clock, desk=desk, holder=self._holder
        )
        self._holding = WhileVoting(
            votes=lambda: config().me.voter, clock=clock, duties={"audits": self._holder.hold}
        )

    @property
    def alarms(self) -> tuple[str, ...]:
        """Return what an operator has to look at: audits that contradict, too many refusals."""
        return self.peers.alarms + self._desk.alarms

    def operations(self) -> list[Operation]:
        """Return what the API offers."""
        return AuditOperations(
            self.peers, self._holder, desk=self._desk, certificates=self._certificates
        ).operations()

    def services(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """Return what runs as long as the agent does."""
        return [("audit-peers", self.peers.run()), ("audit-holding", self._holding.run())]

    async def farewell(self) -> None:
        """Tell the voters the end of the audit, within a bounded time."""
        await self.peers.farewell()

    def reconfigure(self) -> None:
        """See soon whether this node still votes, or votes now."""
        self._holding.look()

    def _certificates(self) -> Path:
        return SecretsDirectory(Path(self._config().security.directory)).node_certificate
