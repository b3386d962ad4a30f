"""What only voters do, built in one place: `while_voting` runs it whenever this node is a voter."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from bzzz_core.api.join import JoinListener
from bzzz_core.backbone import Backbone
from bzzz_core.config.schema import AgentConfig
from bzzz_core.enrolment import messages
from bzzz_core.fabric.broker import listening_host
from bzzz_core.growth.wiring import steward_of
from bzzz_core.model import NodeId
from bzzz_core.placement import StreamPlacement
from bzzz_core.ports import Clock
from bzzz_core.roster_wiring import other_voters_brokers
from bzzz_core.trust.secrets_directory import SecretsDirectory
from bzzz_core.while_voting import WhileVoting


class VoterDuties:
    """Answering as the leader, placing streams, stewarding the brokers, taking joins."""

    def __init__(
        self, backbone: Backbone, *, config: Callable[[], AgentConfig], clock: Clock
    ) -> None:
        """Start nothing; `config` gives the configuration in force."""
        now = config()
        me = NodeId(now.me.id)
        leadership, membership = backbone.leadership, backbone.membership
        self.placement = StreamPlacement(
            me=me,
            streams={"control": backbone.records},
            leads=leadership.serves,
            choices=partial(other_voters_brokers, membership, leadership, me),
        )
        self.steward = steward_of(
            me,
            config=config,
            clock=clock,
            leadership=leadership,
            enrolment=backbone.enrolment,
            membership=membership,
        )
        joins = JoinListener(
            secrets=SecretsDirectory(Path(now.security.directory)),
            place=(listening_host(now.me.address), now.network.ports.join),
            votes=lambda: config().me.voter,
            pass_on=partial(backbone.ask, messages.JOIN),
            clock=clock,
        )
        self._while_voting = WhileVoting(
            votes=lambda: config().me.voter,
            clock=clock,
            duties={
                "leader-requests": backbone.requests.run,
                "placement": self.placement.run,
                "steward": self.steward.run,
                "joins": joins.run,
            },
        )

    def look(self) -> None:
        """See soon whether this node still votes, or votes now."""
        self._while_voting.look()

    async def run(self) -> None:
        """Do the duties whenever this node votes, until cancelled."""
        await self._while_voting.run()
