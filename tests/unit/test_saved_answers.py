"""Answers that are kept while nothing acts on them: marked, checked, and told to no node."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from bzzz_core.commands.config import config
from bzzz_core.config.leaf import catalogue
from bzzz_core.config.schema import AgentConfig, ClusterSpec, narrowed, resolve
from bzzz_core.config.sections import NodeEntry, Ports, ResourcesConfig
from bzzz_core.config.setting import Section, setting

ROOT = Path(__file__).resolve().parents[2]
HOST = {"name": "bzzz-1", "address": "10.0.0.1"}
NODE = NodeEntry(id="n1", name="bzzz-1", public_key="k", address="10.0.0.1")


class _Inner(Section):
    speed: int = setting(1, label="Speed", help="How fast.")


class _Outer(Section):
    now: int = setting(1, label="Now", help="It acts.")
    later: _Inner = setting(_Inner(), active=False, label="Later", help="It will.")


def spec(**sections: object) -> ClusterSpec:
    return ClusterSpec.model_validate({"hosts": [HOST], **sections})


def test_a_section_that_is_not_active_makes_every_leaf_below_it_so() -> None:
    assert {key: leaf.active for key, leaf in catalogue(_Outer).items()} == {
        "now": True,
        "later.speed": False,
    }


def test_a_node_is_never_told_of_what_is_only_kept() -> None:
    """Whatever an agent reads acts, so there is no such leaf in its file."""
    assert all(leaf.active for leaf in catalogue(AgentConfig).values())
    answers = spec(network={"ports": {"mcp": 3001}}, cluster={"rejoin": "by-operator"})
    config = resolve(answers, answers.hosts[0], cluster_id="c1", nodes=(NODE,))
    assert type(config.network.ports) is Ports
    assert type(config.resources) is ResourcesConfig
    assert not hasattr(config.cluster, "rejoin")


def test_narrowing_keeps_every_value_that_both_know() -> None:
    answers = spec(network={"ports": {"api": 9090}}, resources={"paths": {"data": "/srv/bzzz"}})
    assert narrowed(answers.network.ports, Ports)["api"] == 9090
    assert narrowed(answers.resources, ResourcesConfig)["paths"].data == "/srv/bzzz"


@pytest.mark.parametrize(("method", "announced"), [("automatic", True), ("manual", False)])
def test_discovery_decides_whether_a_node_announces_itself(method: str, announced: bool) -> None:  # noqa: FBT001
    answers = spec(network={"discovery": {"method": method}})
    config = resolve(answers, answers.hosts[0], cluster_id="c1", nodes=(NODE,))
    assert config.network.discovery.mdns is announced


def test_the_roles_of_a_host_are_the_nodes() -> None:
    answers = ClusterSpec.model_validate({"hosts": [{**HOST, "roles": ["storage", "worker"]}]})
    config = resolve(answers, answers.hosts[0], cluster_id="c1", nodes=(NODE,))
    assert config.system.node_roles == ("storage", "worker")


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"network": {"subnet": "10.0.0.0/33"}}, "such as 10.0.0.0/24"),
        ({"network": {"ports": {"mcp": 8080}}}, "ports must differ"),
        ({"network": {"discovery": {"method": "dns"}}}, "needs dns_name"),
        ({"network": {"proxy": {"url": "http://me:secret@proxy"}}}, "pattern"),
        ({"security": {"login": {"method": "ldap"}}}, "needs ldap.url"),
        ({"security": {"login": {"method": "oidc"}}}, "needs oidc.issuer"),
        ({"security": {"tls": {"public": {"source": "acme"}}}}, "needs acme_email"),
        ({"security": {"tls": {"public": {"source": "uploaded"}}}}, "needs certificate_file"),
        ({"services": {"updates": {"channel": "custom"}}}, "needs channel_url"),
        ({"services": {"updates": {"window": "someday"}}}, "pattern"),
    ],
)
def test_what_is_only_kept_is_checked_all_the_same(sections: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        spec(**sections)


def test_several_services_may_have_no_port_of_their_own() -> None:
    assert spec(network={"ports": {"web": 0, "websocket": 0}}).network.ports.web == 0


def test_a_subnet_is_kept_in_its_normal_form() -> None:
    assert spec(network={"subnet": "10.20.0.7/24"}).network.subnet == "10.20.0.0/24"


def test_the_documentation_lists_exactly_what_is_not_active() -> None:
    """Write the lines anew from `catalogue(ClusterSpec)`: key and help of what is not active."""
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    listed = [
        line
        for line in text.partition("## Saved, not active yet")[2].splitlines()
        if line.startswith("| `")
    ]
    assert listed == [
        f"| `{key}` | {leaf.help} |"
        for key, leaf in catalogue(ClusterSpec).items()
        if not leaf.active
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cluster.rejoin", "--answers"], "saved, not active yet"),
        (["network.ports.api"], "environment: BZZZ_NETWORK__PORTS__API"),
        (["resources.log_level"], "one of: debug, info, warning, error"),
        (["cluster.rejoin"], "with --answers"),
        (["cluster.rejoim", "--answers"], "did you mean cluster.rejoin?"),
    ],
)
def test_a_key_is_explained(words: list[str], said: str) -> None:
    done = CliRunner().invoke(config, ["explain", *words])
    assert said in done.output
