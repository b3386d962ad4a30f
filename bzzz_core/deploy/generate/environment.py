"""What the answers ask for, as `BZZZ_*` variables.

Only what differs from the defaults is in there, as in a node's file (`config.sources.dump_own`): a
variable goes before the cluster-wide configuration, so one that says a default would only be in its
way. What makes a node this node (name, address, keys, cluster) never is: its own file says that.
"""

from __future__ import annotations

from typing import Final

from bzzz_core.config.leaf import catalogue
from bzzz_core.config.schema import AgentConfig, ClusterSpec, resolve
from bzzz_core.config.sections import NodeEntry
from bzzz_core.config.value import as_text, plain, shown
from bzzz_core.errors import ConfigError

AI_KEY: Final = "ai.endpoint.api_key"
BROKER: Final = "services.broker"
_OF_ONE_NODE: Final = (
    "version",
    "system.node_name",
    "network.address",
    "cluster.id",
    "cluster.name",
    "cluster.nodes",
    "security.directory",
    "security.api_token",
    "resources.paths.data",
    "resources.paths.logs",
)


def environment(spec: ClusterSpec, *, ai_key: str, **more: str) -> dict[str, str]:
    """Return variable -> value, in the order of their names.

    Args:
        spec: The answers.
        ai_key: Reference to the key of the AI service where the agent runs; that of the answers is
            the operator's own. Used only if the answers have one.
        more: Further variables, by name; they go before the answers.

    Raises:
        ConfigError: A value holds a login or a key; this is no place for one.
    """
    config = _anybody(spec)
    values = plain(config)
    found = {}
    for key, leaf in catalogue(AgentConfig).items():
        value = values[key]
        if key in _OF_ONE_NODE or value == leaf.default:
            continue
        if key == AI_KEY:
            value = ai_key
        if shown(value) != value:
            raise ConfigError(
                f"{key} holds a login or a key, which generated texts must not; leave it out there"
            )
        found[leaf.environment[0]] = as_text(value)
    return dict(sorted({**found, **more}.items()))


def _anybody(spec: ClusterSpec) -> AgentConfig:
    """Return the configuration of a node of which nothing is known but its name."""
    host = spec.hosts[0]
    nodes = (NodeEntry(id="", name=host.name, public_key="", address=host.address),)
    return resolve(spec, host, cluster_id="", nodes=nodes)


def variable(key: str) -> str:
    """Return the variable that overrides a key of the schema."""
    return catalogue(AgentConfig)[key].environment[0]
