"""Hosts for planning: fresh ones, and ones that are exactly as a goal wants them."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import msgspec

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.sections import NodeEntry
from bzzz_core.deploy import layout
from bzzz_core.deploy.facts.firewall import Firewall
from bzzz_core.deploy.facts.host import (
    Account,
    Certificate,
    Clock,
    Disk,
    Enrolled,
    EnrolledVoter,
    HostFacts,
    Kind,
    Member,
    PathFact,
    Place,
    Python,
    Unit,
)
from bzzz_core.deploy.goal import Goal, Known, ReleaseRef, Root, agent_config, node_address
from bzzz_core.deploy.phases.create_account import directories
from bzzz_core.deploy.phases.install_command import text as command_text
from bzzz_core.deploy.plan import build_goals
from bzzz_core.deploy.units import inputs_of, unit_text
from bzzz_core.model import NodeId
from bzzz_core.trust.keys import node_id_of
from bzzz_core.trust.names import node_name, route_name, system_name

NOW_S = 1_800_000_000
DAY_S = 86_400
RELEASE = ReleaseRef(
    version="0.1.0+aaaaaaaaaaaa",
    size_bytes=18_000_000,
    archive_sha256="a" * 64,
    manifest_sha256="b" * 64,
)
TOKEN_SHA256 = "c" * 64
KNOWN = Known(
    cluster_id="d" * 32,
    node_ca=Root(pem="node", sha256="e" * 64, key_id="0e"),
    fabric_ca=Root(pem="fabric", sha256="f" * 64, key_id="0f"),
    secrets={layout.API_TOKEN: TOKEN_SHA256},
)


def spec(count: int, **sections: Any) -> ClusterSpec:
    """Return answers with `count` hosts named bzzz-1 ... at 10.0.0.1 ..."""
    hosts = [{"name": f"bzzz-{n}", "address": f"10.0.0.{n}"} for n in range(1, count + 1)]
    return ClusterSpec.model_validate({"hosts": hosts, **sections})


def fresh(number: int = 1) -> HostFacts:
    """Return a Debian machine on which BZZZ never was."""
    return HostFacts(
        uid=0,
        sudo="free",
        host_key_sha256=f"SHA256:{number}",
        hostname=f"bzzz-{number}",
        os_id="debian",
        os_version="12",
        os_name="Debian GNU/Linux 12 (bookworm)",
        arch="x86_64",
        kernel="6.1.0",
        libc="glibc 2.36",
        init="systemd",
        systemd="running",
        machine_id=f"{number:032x}",
        boot_id="boot",
        cpus=4,
        memory_total_bytes=8_000_000_000,
        clock=Clock(skew_ms=12, uncertainty_ms=5),
        pythons=(Python("/usr/bin/python3", (3, 11, 2), "CPython"),),
        disks=(Disk("/opt", 40_000_000_000, 1_000_000, "/"),),
        addresses=("127.0.0.1", f"10.0.0.{number}"),
        listeners=(),
        firewall=Firewall(backend="none", active=False, ssh_allowed=True),
        gpus=(),
        account=(),
        current="",
        releases=(),
        places=(Place("/var/lib/bzzz", "absent"), Place("/var/log/bzzz", "absent")),
        paths=dict.fromkeys(_PATHS, PathFact(Kind.ABSENT)),
        config_text="",
        cluster_id="",
        voters=(),
        enrolled=(),
        certificates=dict.fromkeys((layout.NODE_CERTIFICATE, *_OF_VOTERS)),
        units={
            name: Unit(loaded=False, active="inactive", enabled=False)
            for name in (layout.FABRIC, layout.AGENT)
        },
    )


def goals(
    answers: ClusterSpec, facts: dict[str, HostFacts], known: Known = KNOWN
) -> dict[str, Goal]:
    """Return the goals of hosts with these facts."""
    return build_goals(
        answers,
        facts=facts,
        releases=dict.fromkeys(facts, RELEASE),
        known=known,
        now_s=NOW_S,
    )


def converged(answers: ClusterSpec) -> dict[str, HostFacts]:
    """Return hosts to which nothing needs to be done."""
    facts = {
        host.name: msgspec.structs.replace(fresh(number), enrolled=(enrolled(number),))
        for number, host in enumerate(answers.hosts, 1)
    }
    return {name: _reached(goal) for name, goal in goals(answers, facts).items()}


def enrolled(number: int) -> Enrolled:
    """Return what node `number` says about itself."""
    key = bytes([number]) * 32
    return Enrolled(
        node_id=node_id_of(key),
        public_key=base64.b64encode(key).decode(),
        node_csr="node request",
        route_csr="route request",
        system_csr="system request",
        sealing_key=base64.b64encode(b"s" * 32).decode(),
    )


def _reached(goal: Goal) -> HostFacts:
    text = agent_config(goal)
    assert text is not None
    units = (layout.FABRIC, layout.AGENT)
    paths = {
        **dict.fromkeys(_PATHS, PathFact(Kind.FILE, "600", "bzzz", "bzzz", "9" * 64)),
        **{d.path: PathFact(Kind.DIRECTORY, d.mode, d.owner, d.group) for d in directories(goal)},
        layout.API_TOKEN: PathFact(Kind.FILE, "600", "bzzz", "bzzz", TOKEN_SHA256),
        layout.AGENT_CONFIG: PathFact(Kind.FILE, "640", "root", "bzzz", _sha256(text)),
        layout.COMMAND: PathFact(Kind.FILE, "755", "root", "root", _sha256(command_text(goal))),
        **{
            f"{layout.UNITS}/{unit}.service": PathFact(
                Kind.FILE, "644", "root", "root", _sha256(unit_text(unit, goal))
            )
            for unit in units
        },
    }
    assert goal.nodes is not None
    members = tuple(member_of(node) for node in goal.nodes)
    return msgspec.structs.replace(
        goal.facts,
        account=(Account(999, "/var/lib/bzzz", "/usr/sbin/nologin"),),
        current=RELEASE.version,
        releases=(RELEASE.version,),
        paths=paths,
        config_text=text,
        cluster_id=goal.known.cluster_id,
        voters=tuple(EnrolledVoter(n.name, n.id, n.public_key) for n in goal.nodes if n.voter),
        genesis=members,
        members=members,
        registry_version=0,
        certificates={
            layout.NODE_CERTIFICATE: _certificate(goal, layout.NODE_CERTIFICATE),
            **{path: _certificate(goal, path) if goal.voter else None for path in _OF_VOTERS},
        },
        units={
            unit: Unit(
                loaded=unit in units,
                active="active" if unit in units else "inactive",
                enabled=unit in units,
                restarts=0,
                release=RELEASE.version,
                inputs={path: paths[path].sha256 or "" for path in inputs_of(unit)},
            )
            for unit in (layout.FABRIC, layout.AGENT)
        },
    )


def member_of(node: NodeEntry) -> Member:
    """Return a configuration's node as a fact."""
    return Member(
        name=node.name,
        node_id=node.id,
        public_key=node.public_key,
        address=node.address,
        fabric_client=node.fabric_client,
        fabric_cluster=node.fabric_cluster,
        join=node.join,
        route_pin=node.route_pin,
        voter=node.voter,
    )


def _certificate(goal: Goal, path: str) -> Certificate:
    assert goal.enrolled is not None
    node, address = NodeId(goal.enrolled.node_id), node_address(goal.host)
    names = {
        layout.NODE_CERTIFICATE: {node_name(node), "localhost", address, "127.0.0.1", "::1"},
        layout.ROUTE_CERTIFICATE: {route_name(node), address, "127.0.0.1", "::1"},
        layout.SYSTEM_CERTIFICATE: {system_name(node)},
    }.get(path, set[str]())
    return Certificate(
        sha256="1" * 64,
        not_before_s=NOW_S - DAY_S,
        not_after_s=NOW_S + 29 * DAY_S,
        names=tuple(sorted(names)),
        matches_key=bool(names),
        root_key_id="0f" if path in {layout.ROUTE_CERTIFICATE, layout.FABRIC_ISSUER} else "0e",
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


_OF_VOTERS = (
    layout.ROUTE_CERTIFICATE,
    layout.SYSTEM_CERTIFICATE,
    layout.NODE_ISSUER,
    layout.FABRIC_ISSUER,
)
_PATHS = (
    layout.BEFORE,
    layout.CONFIG,
    layout.SECRETS,
    "/var/lib/bzzz",
    "/var/log/bzzz",
    layout.AGENT_CONFIG,
    layout.ENROLMENT,
    layout.FABRIC_UNIT,
    layout.AGENT_UNIT,
    layout.COMMAND,
    layout.IDENTITY_KEY,
    layout.NODE_KEY,
    layout.ROUTE_KEY,
    layout.SYSTEM_KEY,
    layout.NODE_CERTIFICATE,
    layout.NODE_CA,
    layout.ROUTE_CERTIFICATE,
    layout.FABRIC_CA,
    layout.API_TOKEN,
)
