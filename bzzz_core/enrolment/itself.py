"""Whether a changed configuration still describes the node that lives here.

Name, cluster and key were bound together when the node was enrolled. A file that says otherwise is
valid and no agent starts with it, so it is refused before it is written.
"""

from __future__ import annotations

from pathlib import Path

from bzzz_core.config.schema import AgentConfig
from bzzz_core.enrolment.cache import RegistryCache
from bzzz_core.errors import ConfigError, IntegrityError, TrustError
from bzzz_core.model import ClusterId, NodeId
from bzzz_core.trust.keys import IdentityKey
from bzzz_core.trust.secrets_directory import SecretsDirectory


def refuse_another_self(before: AgentConfig, after: AgentConfig) -> None:
    """Return if `after` is of the same node as `before`, or nobody is enrolled here yet.

    Raises:
        ConfigError: It names a node whose key is not here, a cluster that this node does not belong
            to, or a directory without its key.
    """
    if _self(before) == _self(after):
        return
    keys = [SecretsDirectory(Path(one.security.directory)).identity_key for one in (before, after)]
    if not any(key.exists() for key in keys):
        return
    name = after.system.node_name
    try:
        here = IdentityKey.load(keys[1]).node_id
        registry = RegistryCache(
            Path(after.resources.paths.data), cluster=ClusterId(after.cluster.id)
        ).load()
    except (TrustError, IntegrityError) as exc:
        raise ConfigError(f"no agent would start with this: {exc}") from exc
    if here != after.me.id:
        raise ConfigError(
            f"system.node_name: the key here is not that of {name} but of {_name(after, here)};"
            " a node keeps the name it joined under"
        )
    if registry is None and after.cluster.id != before.cluster.id:
        raise ConfigError(
            f"cluster.id: this node belongs to cluster {before.cluster.id}; another one is joined"
            " with its token (`bzzz-agent leave`, then `join`)"
        )
    known = registry.find(NodeId(here)) if registry is not None else None
    if known is not None and known.name != name:
        raise ConfigError(f"system.node_name: the cluster knows this node as {known.name}")


def _self(config: AgentConfig) -> tuple[str, ...]:
    paths = (config.security.directory, config.resources.paths.data)
    return (config.cluster.id, config.me.id, config.system.node_name, *paths)


def _name(config: AgentConfig, node: str) -> str:
    return next((entry.name for entry in config.cluster.nodes if entry.id == node), node)
