"""The living list of nodes: who is a member, who has left, whose trust was withdrawn.

`cluster.nodes` in a node's file is the *genesis*, the list of the day the node was set up. The
registry is what became of it: one record of the control stream (`_nodes`), written by the leader
alone, its version larger by one with each change. Everything that depends on who belongs to the
cluster (the broker's users, routes, the roster) takes an `AgentConfig`; `effective` lays the
registry over a node's own configuration and returns one.

Rules: values are immutable and a change returns a new value; a change that would change nothing
returns the registry itself, version included, so that asking twice is harmless. An identity that
was revoked never comes back. What is decoded here came from the wire or the disk: every field is
bounded, and a node's id has to follow from its key.
"""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sections import ADDRESS, NAME, NodeEntry
from bzzz_core.errors import ConfigError, IntegrityError, NotEnrolled, RequestInvalid, TrustError
from bzzz_core.model import ClusterId, NodeId
from bzzz_core.trust.keys import PUBLIC_KEY_BYTES, node_id_of

RECORD: Final = "_nodes"
"""The record of the control stream that holds the registry."""

NODES_MAX: Final = 1_500
"""With all fields at their longest the record then still fits into one message (1 MiB)."""

ROOTS_MAX: Final = 4
"""A rotation needs two; one more may begin before the one before it has ended."""

_Id = Annotated[NodeId, msgspec.Meta(pattern=r"^[a-z2-7]{26}$")]
_Name = Annotated[str, msgspec.Meta(pattern=NAME, max_length=63)]
_Address = Annotated[str, msgspec.Meta(pattern=ADDRESS, max_length=253)]
_Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
_Pin = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?$")]
_At = Annotated[str, msgspec.Meta(max_length=40)]
_Pem = Annotated[str, msgspec.Meta(max_length=8_192)]


class NodeState(StrEnum):
    """Whether a node belongs to the cluster."""

    MEMBER = "member"
    LEFT = "left"
    """It went in order; it may join again with a new token."""
    REVOKED = "revoked"
    """Its keys are not believed any more, for ever."""


class EnrolledNode(msgspec.Struct, frozen=True, order=True):
    """One node that is or was enrolled."""

    id: _Id
    name: _Name
    """Unique among members; for people, never identity."""
    public_key: Annotated[
        bytes, msgspec.Meta(min_length=PUBLIC_KEY_BYTES, max_length=PUBLIC_KEY_BYTES)
    ]
    """Ed25519, raw; `id` follows from it."""
    address: _Address
    fabric_client: _Port = 4222
    fabric_cluster: _Port = 6222
    join: _Port = 8443
    route_pin: _Pin = ""
    """SHA-256 of its route key's SubjectPublicKeyInfo. Brokers take routes of voters' keys only, so
    revocation also ends what a certificate that is still valid would open. Empty: not known."""
    voter: bool = False
    state: NodeState = NodeState.MEMBER
    joined_at: _At = ""
    """Wall-clock UTC for people; empty for nodes of the genesis."""
    ended_at: _At = ""
    """When it left or was revoked."""
    leaving: bool = False
    """It has asked to leave and still votes: it is to be replaced, and goes once it votes no
    more."""

    def __post_init__(self) -> None:
        """Refuse an id that does not follow from the key."""
        if node_id_of(self.public_key) != self.id:
            raise ValueError(f"the id of {self.name} does not follow from its key")

    @property
    def member(self) -> bool:
        """Return whether it belongs to the cluster now."""
        return self.state is NodeState.MEMBER

    def entry(self) -> NodeEntry:
        """Return it as configuration spells a node."""
        return NodeEntry(
            id=self.id,
            name=self.name,
            public_key=base64.b64encode(self.public_key).decode(),
            address=self.address,
            fabric_client=self.fabric_client,
            fabric_cluster=self.fabric_cluster,
            join=self.join,
            route_pin=self.route_pin,
            voter=self.voter,
        )


class Registry(msgspec.Struct, frozen=True):
    """All nodes and the roots they trust, at one version."""

    cluster: ClusterId
    version: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    """0 is the genesis, which no leader has written."""
    nodes: Annotated[tuple[EnrolledNode, ...], msgspec.Meta(max_length=NODES_MAX)]
    """Ordered by id; those that left and those that were revoked included."""
    node_roots: Annotated[tuple[_Pem, ...], msgspec.Meta(max_length=ROOTS_MAX)] = ()
    """PEM of the node authorities that every node trusts, the one in use last. Empty in a genesis:
    then what setup installed stays in force."""

    def __post_init__(self) -> None:
        """Refuse a list that two readers could understand differently."""
        ids = [node.id for node in self.nodes]
        if ids != sorted(set(ids)):
            raise ValueError("the registry's nodes are not distinct and ordered by id")
        names = [node.name for node in self.members]
        if len(set(names)) != len(names):
            raise ValueError("two members of the registry have one name")

    @property
    def members(self) -> tuple[EnrolledNode, ...]:
        """Return the nodes that belong to the cluster now."""
        return tuple(node for node in self.nodes if node.member)

    @property
    def voters(self) -> tuple[EnrolledNode, ...]:
        """Return the members that vote."""
        return tuple(node for node in self.members if node.voter)

    def find(self, node: NodeId) -> EnrolledNode | None:
        """Return the node with this id, whatever its state."""
        return next((known for known in self.nodes if known.id == node), None)

    def named(self, name: str) -> EnrolledNode | None:
        """Return the member with this name."""
        return next((known for known in self.members if known.name == name), None)

    def with_node(self, node: EnrolledNode) -> Registry:
        """Return the registry with this node in place of the one with its id, or added.

        Raises:
            TrustError: The identity was revoked.
            RequestInvalid: A member has that name already, or the registry is full.
        """
        known = self.find(node.id)
        if known == node:
            return self
        if known is not None and known.state is NodeState.REVOKED:
            raise TrustError(
                f"the identity {node.id} was revoked; make new keys on that machine to join again"
            )
        other = self.named(node.name)
        if node.member and other is not None and other.id != node.id:
            raise RequestInvalid(f"a node named {node.name} is enrolled already; choose another")
        others = [kept for kept in self.nodes if kept.id != node.id]
        return self._changed(nodes=tuple(sorted([*_with_room(others), node])))

    def without(self, node: NodeId, state: NodeState, *, at: str) -> Registry:
        """Return the registry after a member left or was revoked; again it changes nothing.

        Raises:
            RequestInvalid: No such node, or it is the last voter.
        """
        assert state is not NodeState.MEMBER, "use with_node"
        known = self.find(node)
        if known is None:
            raise RequestInvalid(f"no node {node} is enrolled")
        if known.state is NodeState.REVOKED or known.state is state:
            return self
        if known.member and [voter.id for voter in self.voters] == [node]:
            raise RequestInvalid(
                f"{known.name} is the last voter: without it the cluster ends. Let another node"
                " join first, or stop the agents"
            )
        ended = msgspec.structs.replace(known, state=state, voter=False, leaving=False, ended_at=at)
        others = [kept for kept in self.nodes if kept.id != node]
        return self._changed(nodes=tuple(sorted([*others, ended])))

    def with_route_pin(self, node: NodeId, pin: str) -> Registry:
        """Return the registry after a member made itself a new route key."""
        nodes = tuple(
            msgspec.structs.replace(each, route_pin=pin) if each.id == node else each
            for each in self.nodes
        )
        return self if nodes == self.nodes else self._changed(nodes=nodes)

    def with_leaving(self, node: NodeId) -> Registry:
        """Return the registry in which a member is about to go; again it changes nothing.

        Raises:
            RequestInvalid: It is no member, or nobody would be left to vote.
        """
        known = self.find(node)
        if known is None or not known.member:
            raise RequestInvalid(f"no node {node} is enrolled")
        if all(other.leaving or other.id == node for other in self.members):
            raise RequestInvalid(f"{known.name} is the last member; stop its agent instead")
        nodes = tuple(
            msgspec.structs.replace(each, leaving=True) if each.id == node else each
            for each in self.nodes
        )
        return self if nodes == self.nodes else self._changed(nodes=nodes)

    def with_staying(self, node: NodeId) -> Registry:
        """Return the registry in which a member does not go after all; again it changes nothing.

        Raises:
            RequestInvalid: It is no member any more.
        """
        known = self.find(node)
        if known is None or not known.member:
            raise RequestInvalid(f"no node {node} is enrolled; if it has left, let it join again")
        nodes = tuple(
            msgspec.structs.replace(each, leaving=False) if each.id == node else each
            for each in self.nodes
        )
        return self if nodes == self.nodes else self._changed(nodes=nodes)

    def with_voters(self, voters: frozenset[NodeId]) -> Registry:
        """Return the registry in which exactly these members vote.

        Raises:
            RequestInvalid: One of them is no member, or there is none.
        """
        members = {node.id for node in self.members}
        if not voters or not voters <= members:
            raise RequestInvalid("voters are members of the cluster, and at least one")
        nodes = tuple(msgspec.structs.replace(node, voter=node.id in voters) for node in self.nodes)
        return self if nodes == self.nodes else self._changed(nodes=nodes)

    def with_roots(self, roots: tuple[str, ...]) -> Registry:
        """Return the registry in which every node trusts exactly these node authorities.

        Raises:
            RequestInvalid: There is none, or too many.
        """
        if not 1 <= len(roots) <= ROOTS_MAX or len(set(roots)) != len(roots):
            raise RequestInvalid(f"a cluster trusts 1 to {ROOTS_MAX} distinct node authorities")
        return self if roots == self.node_roots else self._changed(node_roots=roots)

    def _changed(
        self,
        *,
        nodes: tuple[EnrolledNode, ...] | None = None,
        node_roots: tuple[str, ...] | None = None,
    ) -> Registry:
        return Registry(
            cluster=self.cluster,
            version=self.version + 1,
            nodes=self.nodes if nodes is None else nodes,
            node_roots=self.node_roots if node_roots is None else node_roots,
        )


def encode(registry: Registry) -> bytes:
    """Return the registry as the record and the cache hold it."""
    return _encoder.encode(registry)


def decode(data: bytes, *, cluster: ClusterId) -> Registry:
    """Return the registry that `encode` wrote for this cluster.

    Raises:
        IntegrityError: The bytes are none, or say what cannot be.
        TrustError: It is another cluster's.
    """
    try:
        registry = _decoder.decode(data)
    except (ValueError, RecursionError, TrustError) as exc:
        raise IntegrityError(f"not a registry of nodes: {exc}") from exc
    if registry.cluster != cluster:
        raise TrustError(f"this is the registry of cluster {registry.cluster}, not of {cluster}")
    return registry


def genesis(config: AgentConfig) -> Registry:
    """Return the registry that a node's own file amounts to.

    Raises:
        ConfigError: A node's entry in the file cannot be.
    """
    return Registry(
        cluster=ClusterId(config.cluster.id),
        version=0,
        nodes=tuple(sorted(_enrolled(entry) for entry in config.cluster.nodes)),
    )


def effective(config: AgentConfig, registry: Registry | None) -> AgentConfig:
    """Return the configuration with the registry's members as the cluster's nodes.

    Raises:
        NotEnrolled: This node is no member any more: it left, was revoked, or was never there.
    """
    if registry is None or registry.version == 0:
        return config
    me = config.me
    known = registry.find(NodeId(me.id))
    if known is None or not known.member:
        how = "is not enrolled" if known is None else f"was {_ENDED[known.state]} {known.ended_at}"
        revoked = known is not None and known.state is NodeState.REVOKED
        keys = "its configuration and keys" if revoked else "its configuration"
        raise NotEnrolled(
            f"{me.name} ({me.id}) {how}; to bring this machine back, move {keys} away and join with"
            " a new token"
        )
    entries = tuple(node.entry() for node in registry.members)
    # The node's own name is the file's: it was checked against the keys when the node joined.
    assert known.name == config.system.node_name, "a member's name never changes"
    return config.with_nodes(entries)


_ENDED: Final = {NodeState.LEFT: "removed in order", NodeState.REVOKED: "revoked"}
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Registry)


def _enrolled(entry: NodeEntry) -> EnrolledNode:
    """Return a node of the file; conversion checks what a decoder would."""
    try:
        document = {
            **entry.model_dump(),
            "public_key": base64.b64decode(entry.public_key, validate=True),
        }
        return msgspec.convert(document, EnrolledNode)
    except (binascii.Error, ValueError, TrustError) as exc:
        raise ConfigError(f"cluster.nodes: {entry.name}: {exc}") from exc


def _with_room(nodes: list[EnrolledNode]) -> list[EnrolledNode]:
    """Return the nodes with room for one more: those that left longest ago are forgotten first.

    A forgotten identity may come back with a token; a revoked one may not, so it is never dropped.
    """
    if len(nodes) < NODES_MAX:
        return nodes
    gone = [node for node in nodes if node.state is NodeState.LEFT]
    if not gone:
        raise RequestInvalid(f"the registry is full: {NODES_MAX} nodes")
    oldest = min(gone, key=lambda node: node.ended_at)
    return [node for node in nodes if node.id != oldest.id]
