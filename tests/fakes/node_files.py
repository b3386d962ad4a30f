"""A node's file on disk, valid, with comments, and two enrolled nodes."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from bzzz_core.config.leaf import Leaf, catalogue
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sources import AgentSources, with_values
from bzzz_core.config.value import plain
from bzzz_core.errors import ConfigError
from bzzz_core.shared_config.node_sources import NodeSources

OTHER_NODES = [
    {"id": "n1", "name": "alpha", "public_key": "k1", "address": "192.0.2.11"},
    {"id": "n2", "name": "beta", "public_key": "k2", "address": "192.0.2.12"},
]


def write_node_file(directory: Path, extra: str = "", *, node: str = "alpha") -> Path:
    """Write `agent.yaml`, data, logs and secrets below a directory; return the file.

    Of the nodes alpha and beta are voters and gamma is an edge.
    """
    for name in ("data", "logs", "secrets"):
        (directory / name).mkdir(mode=0o700, exist_ok=True)
    token = directory / "secrets" / "api-token"
    token.write_text("api-token-value\n")
    token.chmod(0o600)
    path = directory / "agent.yaml"
    path.write_text(
        f"""\
# The node in the cellar.
version: 2
system: {{node_name: {node}}}  # painted on its front
network:
  address: 192.0.2.1
  ports:
    api: 18080  # 8080 is taken here
security:
  directory: {directory}/secrets
  api_token: file:{token}
resources:
  paths: {{data: {directory}/data, logs: {directory}/logs}}
cluster:
  id: c1
  nodes:
  - {{id: n1, name: alpha, public_key: k1, address: 192.0.2.1, voter: true}}
  - {{id: n2, name: beta, public_key: k2, address: 192.0.2.2, voter: true}}
  - {{id: n3, name: gamma, public_key: k3, address: 192.0.2.3, voter: false}}
ai: {{endpoint: {{base_url: "http://192.0.2.7:11434"}}}}
{extra}"""
    )
    path.chmod(0o640)
    return path


def sources_of(path: Path, **environment: str) -> AgentSources:
    """Return the sources of a file and an environment of its own."""
    return AgentSources(path=path, environment=environment)


def node_sources_of(path: Path, **environment: str) -> NodeSources:
    """Return the same with the cluster's values below."""
    return NodeSources(sources_of(path, **environment))


def other_value(config: AgentConfig, leaf: Leaf) -> object:
    """Return a value of a leaf that is valid and not the present one, as plain data.

    The leaf with one possible value keeps it.
    """
    now = plain(config)[leaf.key]
    if leaf.key == "cluster.nodes":
        return OTHER_NODES
    candidates: list[object] = [*leaf.choices]
    if bool in leaf.kinds:
        candidates += [True, False]
    if int in leaf.kinds:
        near = now if isinstance(now, int) else 0
        candidates += [near + 1, near - 1, 1, 1_000_000]
    if float in leaf.kinds:
        candidates += [0.5, 1.5]
    if leaf.item is not None:
        candidates += [["192.0.2.1:4222", "[2001:db8::1]:4222"], ["a", "b"], ["dht=debug"]]
        candidates += [[{"name": "other", "role": "viewer", "token": "env:OTHER"}]]
        candidates += [[choice] for choice in get_args(leaf.item)]
    texts = ["env:OTHER", "/other", "http://other.example", "beta", "192.0.2.9", "other"]
    candidates += texts if str in leaf.kinds else []
    for candidate in candidates:
        try:
            found = plain(with_values(config, {leaf.key: candidate}))[leaf.key]
        except ConfigError:
            continue
        if found != now:
            return found
    return now


LEAVES = catalogue(AgentConfig)
