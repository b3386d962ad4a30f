"""The living list of nodes: pure changes, what is refused, and what is believed from the wire."""

from __future__ import annotations

import base64

import msgspec
import pytest

from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sections import (
    ClusterConfig,
    NetworkConfig,
    NodeEntry,
    SystemConfig,
)
from bzzz_core.enrolment.registry import (
    NODES_MAX,
    EnrolledNode,
    NodeState,
    Registry,
    decode,
    effective,
    encode,
    genesis,
)
from bzzz_core.errors import ConfigError, IntegrityError, NotEnrolled, RequestInvalid, TrustError
from bzzz_core.model import ClusterId, NodeId
from bzzz_core.trust.keys import node_id_of

AT = "2026-01-01T00:00:00.000Z"
CLUSTER = ClusterId("c" * 16)


def node(number: int, *, name: str = "", voter: bool = False) -> EnrolledNode:
    key = number.to_bytes(32, "big")
    return EnrolledNode(
        id=node_id_of(key),
        name=name or f"n{number}",
        public_key=key,
        address="127.0.0.1",
        voter=voter,
    )


def registry(*nodes: EnrolledNode, version: int = 0) -> Registry:
    return Registry(cluster=CLUSTER, version=version, nodes=tuple(sorted(nodes)))


def config(*nodes: EnrolledNode, me: str = "n1") -> AgentConfig:
    return AgentConfig(
        system=SystemConfig(node_name=me),
        network=NetworkConfig(address="127.0.0.1"),
        cluster=ClusterConfig(id=CLUSTER, nodes=tuple(each.entry() for each in nodes)),
    )


def test_genesis_is_what_the_file_says() -> None:
    """Nothing is lost between the file's entries and the registry's."""
    nodes = (node(1, voter=True), node(2))
    assert genesis(config(*nodes)).nodes == tuple(sorted(nodes))
    assert genesis(config(*nodes)).version == 0


def test_genesis_refuses_an_id_that_does_not_follow_from_its_key() -> None:
    """Otherwise a copied entry would give one node's vote to another key."""
    entry = node(1).entry().model_copy(update={"public_key": node(2).entry().public_key})
    bad = config(node(1)).model_copy(update={"cluster": ClusterConfig(id=CLUSTER, nodes=(entry,))})
    with pytest.raises(ConfigError, match="does not follow"):
        genesis(bad)


def test_each_change_raises_the_version_by_one_and_no_change_keeps_it() -> None:
    """The version is how everybody tells newer from older."""
    first = registry(node(1, voter=True))
    second = first.with_node(node(2))
    assert second.version == 1
    assert second.with_node(node(2)) is second
    third = second.without(node(2).id, NodeState.LEFT, at=AT)
    assert third.version == 2
    assert third.without(node(2).id, NodeState.LEFT, at=AT) is third
    assert third.with_voters(frozenset({node(1).id})) is third


def test_effective_configuration_holds_members_only() -> None:
    """Whoever left or was revoked gets no broker user, no route and no vote."""
    mine = config(node(1, voter=True), node(2), node(3))
    living = (
        genesis(mine)
        .without(node(2).id, NodeState.LEFT, at=AT)
        .without(node(3).id, NodeState.REVOKED, at=AT)
        .with_node(node(4))
    )
    names = {entry.name for entry in effective(mine, living).cluster.nodes}
    assert names == {"n1", "n4"}
    assert effective(mine, None) is mine


@pytest.mark.parametrize("state", [NodeState.LEFT, NodeState.REVOKED])
def test_a_node_that_is_no_member_gets_no_configuration(state: NodeState) -> None:
    """It must stop instead of running on with its genesis."""
    mine = config(node(1), node(2, voter=True))
    ended = genesis(mine).without(node(1).id, state, at=AT)
    with pytest.raises(NotEnrolled, match="and join with"):
        effective(mine, ended)


def test_a_revoked_identity_never_comes_back() -> None:
    """Its key may be in strange hands; a token does not change that."""
    revoked = registry(node(1, voter=True), node(2)).without(node(2).id, NodeState.REVOKED, at=AT)
    with pytest.raises(TrustError, match="was revoked"):
        revoked.with_node(node(2))
    # Nor does leaving wash the revocation away.
    assert revoked.without(node(2).id, NodeState.LEFT, at=AT) is revoked


def test_a_node_that_left_may_join_again_and_its_name_is_free() -> None:
    """Leaving is no verdict on its key."""
    left = registry(node(1, voter=True), node(2)).without(node(2).id, NodeState.LEFT, at=AT)
    assert left.with_node(node(3, name="n2")).named("n2") == node(3, name="n2")
    assert left.with_node(node(2)).find(node(2).id) == node(2)


def test_two_members_never_share_a_name() -> None:
    """Operators act on names."""
    with pytest.raises(RequestInvalid, match="enrolled already"):
        registry(node(1)).with_node(node(2, name="n1"))


def test_the_last_voter_can_neither_leave_nor_be_revoked() -> None:
    """Nobody would be left to write the next change."""
    alone = registry(node(1, voter=True), node(2))
    for state in (NodeState.LEFT, NodeState.REVOKED):
        with pytest.raises(RequestInvalid, match="last voter"):
            alone.without(node(1).id, state, at=AT)


def test_voters_are_members() -> None:
    """A vote for a node that left would count towards a majority that never comes."""
    one = registry(node(1, voter=True), node(2))
    assert [v.name for v in one.with_voters(frozenset({node(2).id})).voters] == ["n2"]
    for wrong in (frozenset[NodeId](), frozenset({node(3).id})):
        with pytest.raises(RequestInvalid):
            one.with_voters(wrong)


def test_roots_are_one_to_four_and_distinct() -> None:
    """An empty list would lock everybody out."""
    assert registry(node(1)).with_roots(("a", "b")).node_roots == ("a", "b")
    for wrong in ((), ("a", "a"), tuple("abcde")):
        with pytest.raises(RequestInvalid):
            registry(node(1)).with_roots(wrong)


def test_what_is_encoded_is_decoded() -> None:
    """Fields survive the record and the cache."""
    full = registry(node(1, voter=True), node(2), version=7).with_roots(("pem",))
    assert decode(encode(full), cluster=CLUSTER) == full


def test_another_clusters_registry_is_refused() -> None:
    """A data directory copied from elsewhere must not bring its nodes along."""
    with pytest.raises(TrustError, match="not of"):
        decode(encode(registry(node(1))), cluster=ClusterId("d" * 16))


def _forged(**changes: object) -> bytes:
    document = msgspec.to_builtins(registry(node(1), node(2)))
    document.update(changes)
    return msgspec.msgpack.encode(document)


FORGED = {
    "no msgpack": b"\xc1",
    "truncated": encode(registry(node(1)))[:-3],
    "negative version": _forged(version=-1),
    "unordered": _forged(nodes=[msgspec.to_builtins(n) for n in sorted([node(1), node(2)])][::-1]),
    "twice": _forged(nodes=[msgspec.to_builtins(node(1))] * 2),
    "foreign id": _forged(nodes=[{**msgspec.to_builtins(node(1)), "id": node(2).id}]),
    "address as option": _forged(nodes=[{**msgspec.to_builtins(node(1)), "address": "--flag"}]),
    "name with a slash": _forged(nodes=[{**msgspec.to_builtins(node(1)), "name": "a/b"}]),
    "unknown state": _forged(nodes=[{**msgspec.to_builtins(node(1)), "state": "boss"}]),
    "short key": _forged(
        nodes=[{**msgspec.to_builtins(node(1)), "public_key": base64.b64encode(b"x").decode()}]
    ),
    "invalid text": b"\x81\xa7cluster\xa2\xff\xfe",
}


@pytest.mark.parametrize("data", FORGED.values(), ids=FORGED.keys())
def test_malformed_registries_are_refused_with_one_error(data: bytes) -> None:
    """Whatever the bytes, the caller sees one kind of failure."""
    with pytest.raises(IntegrityError):
        decode(data, cluster=CLUSTER)


def test_a_full_registry_fits_into_one_message_and_forgets_who_left_first() -> None:
    """The broker takes 1 MiB; a revoked node is never forgotten to make room."""
    longest = "a" * 253
    nodes = []
    for number in range(NODES_MAX):
        each = node(number, name=f"{number:063d}")
        nodes.append(msgspec.structs.replace(each, address=longest, joined_at=AT, ended_at=AT))
    full = registry(*nodes).with_roots(tuple(c * 8_000 for c in "abcd"))
    assert len(encode(full)) < 1_000_000
    with pytest.raises(RequestInvalid, match="full"):
        full.with_node(node(NODES_MAX))
    revoked = full.without(node(1).id, NodeState.REVOKED, at="2025")
    left = revoked.without(node(2).id, NodeState.LEFT, at="2026")
    grown = left.with_node(node(NODES_MAX))
    assert grown.find(node(2).id) is None
    assert grown.find(node(1).id) is not None


def test_entries_of_a_file_survive_the_way_through_a_registry() -> None:
    """Ports of a demo differ from node to node."""
    entry = NodeEntry(
        id=node(5).id,
        name="n5",
        public_key=base64.b64encode(node(5).public_key).decode(),
        address="::1",
        fabric_client=1,
        fabric_cluster=2,
        join=3,
        voter=False,
    )
    mine = config(node(1, voter=True)).model_copy(
        update={"cluster": ClusterConfig(id=CLUSTER, nodes=(node(1, voter=True).entry(), entry))}
    )
    assert genesis(mine).named("n5") is not None
    living = genesis(mine).with_node(node(6))
    assert entry in effective(mine, living).cluster.nodes
