"""Lets a host into a cluster that exists, by a token for this host alone.

A voter of the cluster makes the token, or the answers refer to one that somebody else was given.
It passes through this machine's memory and a private file on the host, which goes with the
connection; it is good once, for ten minutes. The node asks the cluster itself (`bzzz-agent join`),
so the host has to reach a voter's join port, and brings back its certificate and the registry.

The cluster's answer holds a node's file too. Setup writes its own from the answers, so that one is
left in the data directory only until it was read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from bzzz_core.config.secrets import Secret
from bzzz_core.config.sections import Ports
from bzzz_core.deploy import joining, layout
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.facts.host import HostFacts, Kind, PathFact
from bzzz_core.deploy.facts.installed import certificate_of, decode_registry, members_of
from bzzz_core.deploy.goal import Goal, node_address
from bzzz_core.deploy.own_files import AS_OWNER
from bzzz_core.deploy.phases.create_identity import AS_NODE
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work
from bzzz_core.errors import BzzzError, CommandFailed

TITLE: Final = "Join the cluster"
TOKEN_TTL: Final = "10m"  # noqa: S105  a time
_JOIN_S_MAX: Final = 90
_JOIN: Final = """
set -eu
token=$1 site=$2 python=$3 joined=$4
shift 4
cd "$site"
rm -f -- "$joined"
exec runuser -u bzzz -- env LC_ALL=C "$python" -s -m bzzz_core.cli join "$@" <"$token"
"""
_READ: Final = AS_OWNER + 'as_owner "$1" "$2" -- "$1"'


class _Joined(msgspec.Struct):
    """What `bzzz-agent join --json` says."""

    cluster_id: str


class _Token(msgspec.Struct):
    """What `bzzz-agent token create --json` says."""

    token: str


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return the joining, if the cluster does not know the host."""
    if not goal.joins:
        return ()
    return (
        Change(
            phase="join_cluster",
            action="create",
            target="membership",
            before="no member",
            after="member",
            sentence=f"let the cluster {goal.spec.cluster.name} take the host in, by a token",
        ),
    )


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Have a token made, join with it, and learn who belongs to the cluster."""
    del changes
    given = joining.token_of(goal.spec, goal.host.name) if _by_others(goal) else None
    token = given.text() if given is not None else await make_token(goal, work)
    data = goal.spec.resources.paths.data
    joined = f"{data}/joined.yaml"
    staged = await host.stage(token.reveal().encode() + b"\n")
    ports = goal.spec.network.ports
    seeds = [f"--seed={seed}" for seed in goal.spec.cluster.seeds if _by_others(goal)]
    words = [f"--port={name}={getattr(ports, name)}" for name in Ports.model_fields]
    done = await host.run(
        _JOIN,
        *(staged, layout.site_path(goal.release.version), goal.python.path, joined),
        *("--json", "--no-mdns", "--name", goal.host.name),
        *("--address", node_address(goal.host), "--config", joined),
        *("--data", data, "--logs", goal.spec.resources.paths.logs, *words, *seeds),
        what="join the cluster",
        timeout_s=_JOIN_S_MAX,
    )
    cluster_id = _cluster_id(host.name, done.stdout)
    if goal.known.cluster_id not in {None, cluster_id}:
        raise CommandFailed(f"{host.name} has joined another cluster, {cluster_id}")
    work.joined[host.name] = await _learned(host, data, joined, cluster_id)


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Nothing to look at: the node has checked the cluster's answer."""
    del host, goal, work


def _by_others(goal: Goal) -> bool:
    """Return whether the cluster is another operator's, who gave tokens."""
    return goal.spec.cluster.mode == "join"


async def make_token(goal: Goal, work: Work) -> Secret:
    """Return a token that the first voter makes that can.

    Raises:
        CommandFailed: None could; with what the last one said.
    """
    said = "no voter of the cluster is connected"
    for sponsor in goal.sponsors:
        voter = work.hosts.get(sponsor.name)
        if voter is None:
            continue
        try:
            # Not even the host's log on this machine gets to see a token.
            done = await voter.quiet.run(
                AS_NODE,
                *(f"{layout.CURRENT}/site", sponsor.python),
                *("token", "create", "--ttl", TOKEN_TTL, "--json"),
                what="make a join token",
                timeout_s=30,
            )
            return Secret(msgspec.json.decode(done.stdout, type=_Token).token)
        except BzzzError as exc:
            said = str(exc)
        except msgspec.DecodeError:
            said = f"{sponsor.name} gave no token"  # What it gave instead may hold one.
    raise CommandFailed(f"the cluster lets nobody in: {said}")


async def _learned(
    host: RemoteHost, data: str, joined: str, cluster_id: str
) -> Callable[[HostFacts], HostFacts]:
    told = await host.run(_READ, f"{data}/registry", "base64", what="read the registry")
    pem = await host.run(_READ, layout.NODE_CERTIFICATE, "cat", what="read the certificate")
    text = await host.run(_READ, joined, "cat", what="read the file of the joining")
    await host.run('rm -f -- "$1"', joined, what="remove the file of the joining")
    try:
        registry = decode_registry(told.text, cluster_id)
    except (BzzzError, ValueError) as exc:
        raise CommandFailed(f"{host.name}: its registry cannot be read: {exc}") from exc

    def learn(facts: HostFacts) -> HostFacts:
        request = facts.enrolled[0].node_csr if facts.enrolled else ""
        certificate = certificate_of(pem.text, request)
        there = PathFact(Kind.FILE, "600", layout.USER, layout.USER)
        return msgspec.structs.replace(
            facts,
            cluster_id=cluster_id,
            config_text=text.text,
            members=members_of(registry),
            registry_version=registry.version,
            certificates={**(facts.certificates or {}), layout.NODE_CERTIFICATE: certificate},
            paths={**(facts.paths or {}), layout.NODE_CA: there},
        )

    return learn


def _cluster_id(host: str, output: bytes) -> str:
    try:
        return msgspec.json.decode(output, type=_Joined).cluster_id
    except msgspec.DecodeError as exc:
        raise CommandFailed(f"{host}: the answer to the joining cannot be read: {exc}") from exc
