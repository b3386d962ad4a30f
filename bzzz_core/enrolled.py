"""Who this node is in its cluster, checked: its key, and the voters it was told of."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from bzzz_core.config.schema import AgentConfig
from bzzz_core.enrolment.cache import RegistryCache
from bzzz_core.enrolment.messages import REGISTRY
from bzzz_core.enrolment.registry import RECORD, effective
from bzzz_core.errors import ConfigError, IntegrityError, PermissionDenied, TrustError
from bzzz_core.fabric.broker import check_genesis
from bzzz_core.model import ClusterId, NodeId, Voter, VoterSet
from bzzz_core.ports import Records
from bzzz_core.trust.keys import IdentityKey, node_id_of
from bzzz_core.trust.secrets_directory import SecretsDirectory


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


def votes(config: AgentConfig, node: NodeId) -> bool:
    """Return whether a node is to vote, by the configuration in force."""
    return any(entry.id == node and entry.voter for entry in config.cluster.nodes)


def registry_cache(config: AgentConfig) -> RegistryCache:
    """Return where this node keeps its copy of the registry."""
    return RegistryCache(Path(config.resources.paths.data), cluster=ClusterId(config.cluster.id))


def node_names(config: AgentConfig) -> dict[NodeId, str]:
    """Return what the nodes are called that this node knows, by id; former members too.

    It is for people: what cannot be read is left out.
    """
    known = {NodeId(node.id): node.name for node in config.cluster.nodes}
    with contextlib.suppress(IntegrityError, TrustError):
        registry = registry_cache(config).load()
        known |= {node.id: node.name for node in registry.nodes} if registry else {}
    return known


async def fetch_registry(
    records: Records, ask: Callable[[str, bytes], Awaitable[bytes]], *, votes: bool
) -> bytes | None:
    """Return the registry's record from where this node may read it.

    Raises:
        BzzzError: It cannot be had now.
    """
    if votes:
        try:
            record = await records.read(RECORD)
        except PermissionDenied:
            pass  # The brokers know better: it votes no more, and asks as an edge does.
        else:
            return record.value if record else None
    return await ask(REGISTRY, b"")


def with_registry(load: Callable[[], AgentConfig]) -> Callable[[], AgentConfig]:
    """Return a loader that lays the node's copy of the registry over what `load` returns."""

    def loaded() -> AgentConfig:
        config = load()
        registry = registry_cache(config).load()
        if registry is None:
            check_genesis(config)
        return effective(config, registry)

    return loaded
