"""What the system account is asked: who belongs to the brokers' cluster, and changes of that.

These are the low-level steps of growing and shrinking; `bzzz_core.growth` decides which one comes
when. Each has a deadline and may be repeated: removing a peer that is gone succeeds, so whoever
lost an answer asks again.

Words: a *peer* is a broker that the cluster's metadata counts, by server name. Dead peers stay in
the quorum until they are removed, and one that was removed never counts again under its old name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec

from bzzz_core.config.schema import AgentConfig
from bzzz_core.errors import (
    BrokerError,
    PermissionDenied,
    QuorumUnavailable,
    RequestTimeout,
    TrustError,
)
from bzzz_core.fabric.broker import loopback_of, own_client_port
from bzzz_core.fabric.jetstream import JetStreamRefusal, decode, encode
from bzzz_core.fabric.link import BrokerAddress, BrokerLink
from bzzz_core.fabric.rights import ASK_PEERS, META_STEP_DOWN, REMOVE_PEER, RESCUE
from bzzz_core.model import NodeId
from bzzz_core.ports import Clock
from bzzz_core.trust.secrets_directory import SecretsDirectory
from bzzz_core.trust.tls import system_context

ANSWER_MS_MAX: Final = 2_000
SILENT_MS: Final = 6_000
"""A peer that was not heard for so long is taken for dead. It speaks each second; less than this
and a pause under load would look like a loss."""
SETTLE_MS_MAX: Final = 20_000
_POLL_MS: Final = 50
RESCUE_MS_MAX: Final = 30_000
_NOT_A_MEMBER: Final = 10044
_LEADER_KNOWN: Final = 10224
_NAME_CHARACTERS_MAX: Final = 256

_Name = Annotated[str, msgspec.Meta(max_length=_NAME_CHARACTERS_MAX)]


class _Replica(msgspec.Struct):
    name: _Name
    current: bool = False
    offline: bool = False
    """Said of one that took its leave; one that was killed only becomes silent (seen)."""
    active: int = 0
    """Nanoseconds since it was last heard, 0 if this leader never heard it. Peers speak each
    second."""

    @property
    def online(self) -> bool:
        """Return whether it is there."""
        heard = self.current or self.active > 0
        return heard and not self.offline and self.active < SILENT_MS * 1_000_000


class MetaCluster(msgspec.Struct):
    """The brokers' cluster as one broker describes it."""

    leader: _Name = ""
    cluster_size: int = 0
    replicas: Annotated[list[_Replica], msgspec.Meta(max_length=256)] = []
    """All peers but the one that was asked."""


class _Jsz(msgspec.Struct):
    meta_cluster: MetaCluster | None = None


class _Answer(msgspec.Struct):
    data: _Jsz


class _Done(msgspec.Struct):
    success: bool = False


@dataclass(frozen=True, slots=True)
class Peer:
    """One broker that the cluster counts."""

    name: str
    leader: bool
    online: bool
    current: bool
    """Whether it has all metadata; false for one that is offline."""


class SystemAccount:
    """The system account over one link, to a broker at which we are it."""

    def __init__(self, link: BrokerLink, *, clock: Clock) -> None:
        """Ask nothing yet."""
        self._link = link
        self._clock = clock

    async def peers(self) -> tuple[Peer, ...]:
        """Return all peers as their leader knows them, the leader first.

        Raises:
            QuorumUnavailable: There is no leader of the metadata now.
        """
        try:
            reply = await self._link.request(
                ASK_PEERS, encode({"leader_only": True}), headers=None, timeout_ms=ANSWER_MS_MAX
            )
        except RequestTimeout as exc:
            raise QuorumUnavailable("no broker leads the cluster's metadata") from exc
        if reply.no_responders:
            raise QuorumUnavailable("no broker leads the cluster's metadata")
        try:
            meta = msgspec.json.decode(reply.data, type=_Answer).data.meta_cluster
        except ValueError as exc:
            raise BrokerError(f"the broker's list of peers cannot be read: {exc}") from exc
        if meta is None or not meta.leader:
            raise QuorumUnavailable("no broker leads the cluster's metadata")
        others = (
            Peer(r.name, leader=False, online=r.online, current=r.current and r.online)
            for r in meta.replicas
        )
        return (Peer(meta.leader, leader=True, online=True, current=True), *others)

    async def remove_peer(self, name: str) -> None:
        """Let the cluster count a broker no longer; again, or for an unknown name, does nothing.

        Raises:
            QuorumUnavailable: No majority of the peers carried it out in time.
        """
        deadline_ms = self._clock.now_ms() + SETTLE_MS_MAX
        while self._clock.now_ms() < deadline_ms:
            if await self._removed(name):
                return
            await self._clock.sleep_ms(_POLL_MS)
        raise QuorumUnavailable(f"{name} could not be removed from the cluster's peers")

    async def step_down(self, preferred: str) -> None:
        """Let another broker lead the metadata; nothing happens if it leads already."""
        deadline_ms = self._clock.now_ms() + SETTLE_MS_MAX
        while self._clock.now_ms() < deadline_ms:
            try:
                if (await self.peers())[0].name == preferred:
                    return
                await self._ask(META_STEP_DOWN, {"placement": {"preferred": preferred}})
            except (RequestTimeout, QuorumUnavailable, JetStreamRefusal):
                pass  # Between two leaders: look again.
            await self._clock.sleep_ms(_POLL_MS)
        raise QuorumUnavailable(f"{preferred} did not become leader of the metadata")

    async def rescue(self) -> None:
        """Let this broker go on alone after a majority was lost *for good*.

        On a mere partition this makes two clusters out of one. It leads the metadata on return;
        the dead peers are still to be removed. The broker refuses while it knows a leader, which
        after a loss it does for some seconds more.

        Raises:
            BrokerError: The broker refuses: the cluster has a leader, so nothing is to be rescued.
        """
        deadline_ms = self._clock.now_ms() + RESCUE_MS_MAX
        while True:
            try:
                await self._ask(RESCUE, {"quorum_needed": 1}, dict)
            except JetStreamRefusal as exc:
                if exc.number != _LEADER_KNOWN or self._clock.now_ms() >= deadline_ms:
                    raise exc.as_ours("rescue") from exc
                await self._clock.sleep_ms(_POLL_MS)
            else:
                return

    async def _removed(self, name: str) -> bool:
        try:
            await self._ask(REMOVE_PEER, {"peer": name})
        except JetStreamRefusal as exc:
            if exc.number != _NOT_A_MEMBER:
                raise exc.as_ours(f"removing {name}") from exc
        except (RequestTimeout, QuorumUnavailable):
            return False
        try:
            return name not in {peer.name for peer in await self.peers()}
        except QuorumUnavailable:
            return False

    async def _ask(
        self, subject: str, question: dict[str, object], kind: type[object] = _Done
    ) -> None:
        reply = await self._link.request(
            subject, encode(question), headers=None, timeout_ms=ANSWER_MS_MAX
        )
        if reply.no_responders:
            raise QuorumUnavailable("no broker leads the cluster's metadata")
        done = decode(reply.data, kind)
        if isinstance(done, _Done) and not done.success:
            raise BrokerError(f"{subject} was not carried out")


def own_broker(config: AgentConfig) -> BrokerAddress:
    """Return where a voter reaches its own broker without leaving the machine."""
    me = config.me
    return BrokerAddress(NodeId(me.id), loopback_of(me.address), own_client_port(config))


@asynccontextmanager
async def system_account(config: AgentConfig, *, clock: Clock) -> AsyncIterator[SystemAccount]:
    """Be the system account at this voter's own broker while the block lasts.

    Raises:
        PermissionDenied: No system identity was issued to this node.
        TransportError: The broker does not answer or does not take us.
    """
    secrets = SecretsDirectory(Path(config.security.directory))
    if not secrets.system_certificate.exists():
        raise PermissionDenied(
            f"{config.me.name} has no system identity ({secrets.system_certificate}), so peers"
            " cannot be listed or removed here; run setup again to have one issued"
        )
    try:
        context = system_context(secrets)
    except TrustError as exc:
        raise PermissionDenied(f"the system identity cannot be used: {exc}") from exc
    link = await BrokerLink.open(
        own_broker(config), node=NodeId(config.me.id), context=context, counters=Counter()
    )
    try:
        yield SystemAccount(link, clock=clock)
    finally:
        await link.close()
