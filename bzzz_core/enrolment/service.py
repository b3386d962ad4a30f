"""Everything about enrolment that runs on a node, put together.

On every node: renewal of its own certificates, trust in the registry's roots. On voters besides:
the answers to the questions that only the leader may answer (`handlers`), and a look each second
whether somebody who is leaving may go.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from bzzz_core.config.schema import AgentConfig
from bzzz_core.enrolment import messages
from bzzz_core.enrolment.admission import Admission
from bzzz_core.enrolment.issuers import HeldIssuers
from bzzz_core.enrolment.messages import pack
from bzzz_core.enrolment.registrar import Put, Registrar, Taken
from bzzz_core.enrolment.registry import EnrolledNode, Registry, decode, encode, genesis
from bzzz_core.enrolment.removal import Removal
from bzzz_core.enrolment.renewal import Renewal
from bzzz_core.enrolment.renewing import Renewing, find_member
from bzzz_core.enrolment.reporter import TrustReporter, apply_roots, split_roots
from bzzz_core.enrolment.rotation import Rotation
from bzzz_core.errors import BzzzError
from bzzz_core.model import FencingToken, NodeId, VoterSet
from bzzz_core.ports import Clock, Records
from bzzz_core.telemetry import logs
from bzzz_core.trust import private_files
from bzzz_core.trust.certificate import describe
from bzzz_core.trust.keys import IdentityKey
from bzzz_core.trust.secrets_directory import SecretsDirectory

Handler = Callable[[NodeId, bytes], Awaitable[bytes]]
Ask = Callable[[str, bytes], Awaitable[bytes]]
_TEND_MS: Final = 1_000
_SMALL: Final = 32
_WORDS_MAX: Final = 2_000


class Enrolment:
    """One node's enrolment services."""

    growth: Callable[[], str] = staticmethod(str)
    """Says what the change of voters does or waits for, while this node leads."""
    waits_for = ""
    """What this node's leave waits for, in the leader's words; empty if it does not leave."""

    def __init__(
        self,
        *,
        config: Callable[[], AgentConfig],
        identity: IdentityKey,
        records: Records,
        put: Put,
        leads: Callable[[], FencingToken | None],
        committed: Callable[[], VoterSet],
        alive: Callable[[NodeId], bool],
        registry: Callable[[], Registry | None],
        taken: Taken,
        ask: Ask,
        installed: Callable[[frozenset[Path]], Awaitable[None]],
        audit: Callable[..., None],
        clock: Clock,
        now: Callable[[], datetime],
        random: Callable[[], float],
    ) -> None:
        """Put the parts together; nothing is read or asked before `run`.

        Args:
            config: The configuration in force, the registry's members in it.
            identity: The node's own key.
            records: The control stream; read only while leading.
            put: Writes a record under a leadership's token.
            leads: Gives the token while this node serves as leader.
            committed: Gives the voters that count in elections now.
            alive: Whether the roster is sure that a node is there.
            registry: The newest registry this node knows, None while the genesis is in force.
            taken: Told of each registry that the leader read or wrote.
            ask: Puts a question to the leader.
            installed: Told of credential files that were replaced.
            audit: Writes down what was done and refused.
            clock: For the waits.
            now: Wall-clock UTC.
            random: Numbers from 0 to 1.
        """
        self._config, self._identity = config, identity
        self._newest = registry
        self._installed = installed
        self._leads = leads
        self._ask = ask
        self._taken = taken
        self._clock = clock
        self._log = logs.get("enrolment")
        self.secrets = SecretsDirectory(Path(config().security.directory))
        """Where this node's keys and certificates are."""
        issuers = HeldIssuers(self.secrets, identity)
        self._registrar = Registrar(
            records=records, put=put, leads=leads, known=self.known, taken=taken
        )
        self._admission = Admission(
            config=config, registrar=self._registrar, issuers=issuers, now=now, audit=audit
        )
        self._renewing = Renewing(
            config=config, registrar=self._registrar, issuers=issuers, audit=audit
        )
        only = self._admission.voters_only
        self._removal = Removal(
            registrar=self._registrar,
            voters_only=only,
            committed=committed,
            alive=alive,
            clock=clock,
            now=now,
            audit=audit,
        )
        self._rotation = Rotation(registrar=self._registrar, voters_only=only, audit=audit)
        self.renewal = self._build_renewal(now, random)

    def _build_reporter(self) -> TrustReporter:
        return TrustReporter(
            secrets=self.secrets,
            identity=self._identity,
            registry=self.known,
            ask=self._ask,
            clock=self._clock,
        )

    def _build_renewal(self, now: Callable[[], datetime], random: Callable[[], float]) -> Renewal:
        return Renewal(
            secrets=self.secrets,
            identity=self._identity,
            votes=lambda: self._config().me.voter,
            root=self._root_in_use,
            pin=self._own_pin,
            ask=self._ask,
            installed=self._installed,
            clock=self._clock,
            now=now,
            random=random,
        )

    @property
    def registrar(self) -> Registrar:
        """Return the leader's pen, for others who change the registry (the steward)."""
        return self._registrar

    @property
    def counters(self) -> Counter[str]:
        """Return what happened so far, by kind."""
        parts = (self._admission, self._renewing, self._removal, self._rotation, self.renewal)
        return sum((part.counters for part in parts), Counter())

    @property
    def alarms(self) -> tuple[str, ...]:
        """Return what an operator has to look at, in words."""
        leaving = f"leaving the cluster; it waits: {self.waits_for}" if self.waits_for else ""
        alarms = (self.renewal.alarm, self.renewal.issuer_alarm, leaving)
        return tuple(alarm for alarm in alarms if alarm)

    def handlers(self) -> Mapping[str, Handler]:
        """Return the answers to questions, by name, for whoever leads."""
        return {
            messages.JOIN: self._admission.join,
            messages.RENEW: self._renewing.renew,
            messages.REGISTRY: self._tell_registry,
            messages.TOKEN_CREATE: self._admission.create_token,
            messages.TOKEN_LIST: self._admission.list_tokens,
            messages.TOKEN_REVOKE: self._admission.revoke_token,
            messages.LEAVE: self._removal.leave,
            messages.STAY: self._removal.stay,
            messages.LEAVE_WAITS: self._tell_growth,
            messages.REVOKE: self._removal.revoke,
            messages.TRUST: self._rotation.report,
            messages.ROTATE: self._rotation.rotate,
        }

    async def admit(self, asker: NodeId, asked: str) -> None:
        """Return if the asker of a question to this leader is a member; see `members_only`."""
        await self._admission.members_only(asker, asked)

    async def run(self) -> None:
        """Keep this node enrolled until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.renewal.run(), name="renewal")
            group.create_task(self._build_reporter().run(), name="trust-report")
            group.create_task(self._tend(), name="removal")

    def known(self) -> Registry:
        """Return the newest registry this node has; its genesis carries the roots on disk."""
        newest = self._newest()
        if newest is not None and newest.node_roots:
            return newest
        pem = private_files.read(self.secrets.node_ca).decode("ascii", "replace")
        base = newest or genesis(self._config())
        return msgspec.structs.replace(base, node_roots=split_roots(pem))

    def myself(self) -> EnrolledNode | None:
        """Return this node as the newest registry knows it."""
        return self.known().find(self._identity.node_id)

    async def follow(self, registry: Registry) -> None:
        """Take up what a newer registry means for this node's own credentials."""
        if await asyncio.to_thread(apply_roots, self.secrets, registry):
            self._log.info("trusted roots changed", roots=len(registry.node_roots))
            await self._installed(frozenset({self.secrets.node_ca}))
        me = registry.find(self._identity.node_id)
        promoted = me is not None and me.voter and not self.secrets.route_certificate.exists()
        # A large cluster renews by its members' own looks, so that not all ask in one moment.
        root_changed = self.renewal.below_another_root and len(registry.members) <= _SMALL
        if promoted or root_changed:
            self.renewal.renew_now()

    async def leave(self, *, again: bool = False) -> None:
        """Ask to leave, and take up what the leader says: for an edge that is the end.

        Args:
            again: It was asked before, and its turn has come; not if it was called off meanwhile.

        Raises:
            BzzzError: The refusal, or nobody answered.
        """
        answer = await self._ask(messages.LEAVE, pack(messages.Leaving(again=again)))
        await self._taken(decode(answer, cluster=self.known().cluster))

    async def stay(self) -> None:
        """Call off a leave that still waits.

        Raises:
            NotEnrolled: Too late.
            BzzzError: Nobody answered.
        """
        answer = await self._ask(messages.STAY, pack(messages.Nothing()))
        await self._taken(decode(answer, cluster=self.known().cluster))
        self.waits_for = ""

    def _root_in_use(self) -> str | None:
        newest = self._newest()
        if newest is None or not newest.node_roots:
            return None
        return describe(newest.node_roots[-1]).key_id

    def _own_pin(self) -> str | None:
        newest = self._newest()
        me = newest.find(self._identity.node_id) if newest is not None else None
        return me.route_pin if me is not None and me.voter else None

    async def _tell_growth(self, asker: NodeId, body: bytes) -> bytes:
        del body
        find_member(await self._registrar.registry(), asker)
        return pack(messages.Waiting(self.growth()[:_WORDS_MAX]))

    async def _tell_registry(self, asker: NodeId, body: bytes) -> bytes:
        del body
        registry = await self._registrar.registry()
        find_member(registry, asker)
        return encode(registry)

    async def _tend(self) -> None:
        """Write a cluster's first registry and let go who may; go when it is this node's turn."""
        while True:
            me = self.myself()
            leaving = me is not None and me.leaving and me.member
            if not leaving:
                self.waits_for = ""
            try:
                if self._leads() is not None:
                    await self._removal.tend()
                elif leaving and me is not None and not me.voter:
                    await self.leave(again=True)
                    leaving = (me := self.myself()) is not None and me.leaving and me.member
                if leaving:
                    answer = await self._ask(messages.LEAVE_WAITS, pack(messages.Nothing()))
                    self.waits_for = messages.unpack(answer, messages.Waiting).what
            except BzzzError as exc:
                self._log.info("registry not looked after", reason=str(exc))
                if leaving:
                    self.waits_for = str(exc)
            await self._clock.sleep_ms(_TEND_MS)
