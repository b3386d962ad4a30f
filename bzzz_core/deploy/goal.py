"""What one host should be, and what is known to decide how far it is from that.

A `Goal` is the whole input of every phase's `plan`; nothing else may influence it. It is rebuilt as
a run learns more: before the keys of all nodes are made nobody knows their names, so `nodes` is
None and whatever depends on it is "known later".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bzzz_core.config.schema import ClusterSpec, HostSpec, resolve
from bzzz_core.config.sections import NodeEntry
from bzzz_core.config.sources import dump_own
from bzzz_core.deploy import layout
from bzzz_core.deploy.facts.host import Enrolled, HostFacts, Python
from bzzz_core.deploy.joining import adopted
from bzzz_core.deploy.membership import membership
from bzzz_core.errors import TrustError
from bzzz_core.model import voter_count
from bzzz_core.trust.certificate import requested_key_sha256

PYTHON_OLDEST: Final = (3, 11)
PYTHON_NEWEST: Final = (3, 14)
AI_KEY: Final = f"{layout.SECRETS}/ai-api-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeRef:
    """A Python of our own, for a host that has none that fits."""

    name: str
    version: tuple[int, int, int]
    size_bytes: int
    archive_sha256: str
    glibc: str = ""
    """The oldest GNU C library that it runs on; "" if that is not known."""

    @property
    def python(self) -> Python:
        """Return it as an interpreter of the host."""
        return Python(layout.runtime_python(self.name), self.version, "CPython")


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleRef:
    """The bundle that a release came from."""

    envelope_sha256: str
    """Of the signed manifest as the node keeps it."""
    version: str
    created_at: str
    key_id: str
    keys_sha256: str
    """Of the release keys that the operator trusts, as a node's file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """For which hosts there is a release."""

    minors: Mapping[str, frozenset[str]] | None = None
    """Machine type -> Python minor versions; None: any, they are built as needed."""
    runtimes: Mapping[str, RuntimeRef] = field(default_factory=dict)
    """Machine type -> a Python to send along."""


ANY: Final = Supply()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRef:
    """A release as a plan sees it."""

    version: str
    size_bytes: int
    archive_sha256: str
    manifest_sha256: str
    runtime: RuntimeRef | None = None
    """What it runs on, if not on a Python of the host."""
    bundle: BundleRef | None = None
    """None: built on the operator's machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """An authority's public half."""

    pem: str
    sha256: str
    key_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What this operator knows of the cluster; None: not created yet."""

    cluster_id: str | None = None
    node_ca: Root | None = None
    fabric_ca: Root | None = None
    secrets: Mapping[str, str] | None = None
    """Path on the host -> SHA-256 of the file that belongs there."""
    profile_sha256: str | None = None
    ssh_key: str | None = None
    """"TYPE BASE64" of the key that setup installs; None: none, or not made yet."""
    signs: bool = True
    """Whether the cluster's authorities are here; not if it is another operator's."""
    hosts: tuple[str, ...] = ()
    """Names of the hosts in the cluster's profile, that is, of those that setup installed last."""


@dataclass(frozen=True, slots=True)
class Sponsor:
    """A voter that may let others in, and the interpreter for our program there."""

    name: str
    python: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One host's input to planning."""

    spec: ClusterSpec
    host: HostSpec
    voter: bool
    facts: HostFacts
    python: Python
    release: ReleaseRef
    known: Known
    nodes: tuple[NodeEntry, ...] | None
    """What the host's configuration lists: all nodes when it was set up. None until they are known:
    all have keys, or the cluster has taken the host in."""
    now_s: int
    """Seconds since 1970, for the validity of certificates."""
    peers: tuple[str, ...] = ()
    """Addresses from which the other nodes come."""
    joins: bool = False
    """The cluster exists and does not know this host: it has to be taken in."""
    sponsors: tuple[Sponsor, ...] = ()
    """Who may be asked to take it in, in order."""
    models: tuple[str, ...] = ()
    """What the host's model server should have."""
    _drafts: dict[str, str | None] = field(
        init=False, default_factory=dict, compare=False, repr=False
    )
    """By path: texts that several phases ask for and that take long to write."""

    @property
    def enrolled(self) -> Enrolled | None:
        """Return what the node said about itself, if it has keys."""
        return self.facts.enrolled[0] if self.facts.enrolled else None


def choose_python(facts: HostFacts, supply: Supply = ANY) -> Python | None:
    """Return the interpreter that services will run on, or None if none fits.

    The distribution's own `python3` comes first: it gets security updates with the system. A
    runtime of ours comes last, one that is offered before one that is there.
    """
    fit = [python for python in facts.pythons or () if python_fault(python) is None]
    if supply.minors is not None:
        minors = supply.minors.get(facts.arch or "", frozenset())
        fit = [python for python in fit if python.minor in minors]
    native = [python for python in fit if not python.path.startswith(layout.RUNTIMES)]
    runtime = supply.runtimes.get(facts.arch or "")
    if not native and runtime is not None and runtime_fault(runtime, facts) is None:
        return runtime.python
    usual = next((python for python in native if python.path == "/usr/bin/python3"), None)
    return usual or max(native or fit, key=lambda python: python.version, default=None)


def python_fault(python: Python) -> str | None:
    """Return why services cannot run on an interpreter, or None."""
    version = python.version[:2]
    name = f"{python.path} is {python.implementation} {'.'.join(map(str, python.version))}"
    if python.implementation != "CPython" or not PYTHON_OLDEST <= version <= PYTHON_NEWEST:
        return name
    if python.missing:
        return f"{name} without {', '.join(python.missing)}"
    return None


def runtime_fault(runtime: RuntimeRef, facts: HostFacts) -> str | None:
    """Return why a host cannot run a Python of ours, or None."""
    if glibc_numbers(f"glibc {runtime.glibc}") <= glibc_numbers(facts.libc):
        return None
    version = ".".join(map(str, runtime.version))
    return (
        f"the bundle's Python {version} needs glibc {runtime.glibc}, and here is"
        f" {facts.libc or 'another C library'}"
    )


def glibc_numbers(libc: str | None) -> tuple[int, ...]:
    """Return the version in "glibc 2.36" as numbers; none if it is not known or another library."""
    words = (libc or "").split()
    try:
        return tuple(int(part) for part in words[1].split("."))
    except (IndexError, ValueError):
        return ()


def choose_voters(spec: ClusterSpec, facts: Mapping[str, HostFacts]) -> frozenset[str]:
    """Return the names of the hosts that vote.

    A cluster that exists keeps its voters, whatever the order in the answers: the voter set changes
    by a step of the election, not by setup. A new one takes the first 1, 3 or 5 hosts.
    """
    names = [host.name for host in spec.hosts]
    present = enrolled_voters(facts)
    standing = frozenset(name for name in names if name in present)
    if spec.cluster.mode == "join":
        return standing
    return standing or frozenset(names[: voter_count(len(names))])


def enrolled_voters(facts: Mapping[str, HostFacts]) -> frozenset[str]:
    """Return the names of the cluster's voters by the newest that a host knows; empty: no cluster.

    That the voters still are who they were is for preflight to check.
    """
    known = membership(facts)
    if known is not None:
        return frozenset(member.name for member in known.voters)
    return frozenset(voter.name for one in facts.values() for voter in one.voters or ())


def node_entries(
    spec: ClusterSpec, voters: frozenset[str], enrolled: Mapping[str, Enrolled]
) -> tuple[NodeEntry, ...] | None:
    """Return all nodes of the cluster, or None while one has no keys."""
    if any(host.name not in enrolled for host in spec.hosts):
        return None
    return tuple(
        NodeEntry(
            id=enrolled[host.name].node_id,
            name=host.name,
            public_key=enrolled[host.name].public_key,
            address=node_address(host),
            fabric_client=spec.network.ports.fabric_client,
            fabric_cluster=spec.network.ports.fabric_cluster,
            join=spec.network.ports.join,
            route_pin=_route_pin(enrolled[host.name]),
            voter=host.name in voters,
        )
        for host in spec.hosts
    )


def _route_pin(enrolled: Enrolled) -> str:
    """Return the hash of the key with which a node's broker meets others; empty if unknown."""
    try:
        return requested_key_sha256(enrolled.route_csr)
    except TrustError:
        return ""


def node_address(host: HostSpec) -> str:
    """Return the address in its normal form: the same host never looks changed by spelling."""
    try:
        return str(ipaddress.ip_address(host.address))
    except ValueError:
        return host.address.lower()


def agent_config(goal: Goal) -> str | None:
    """Return the text of the host's agent.yaml, or None while it cannot be known."""
    drafts = goal._drafts  # noqa: SLF001  of this module
    if layout.AGENT_CONFIG not in drafts:
        drafts[layout.AGENT_CONFIG] = _agent_config(goal)
    return drafts[layout.AGENT_CONFIG]


def _agent_config(goal: Goal) -> str | None:
    if goal.nodes is None or goal.known.cluster_id is None:
        return None
    joined = goal.spec.cluster.mode == "join" and goal.facts.config_text
    spec = adopted(goal.spec, goal.facts.config_text or "") if joined else goal.spec
    return config_text(spec, goal.host, cluster_id=goal.known.cluster_id, nodes=goal.nodes)


def config_text(
    spec: ClusterSpec, host: HostSpec, *, cluster_id: str, nodes: tuple[NodeEntry, ...]
) -> str:
    """Return the text of a host's agent.yaml."""
    config = resolve(spec, host, cluster_id=cluster_id, nodes=nodes)
    endpoint = config.ai.endpoint
    if endpoint.api_key is not None:
        # The reference of the answers points to the operator's machine; on the host it is a file.
        endpoint = endpoint.model_copy(update={"api_key": f"file:{AI_KEY}"})
        ai = config.ai.model_copy(update={"endpoint": endpoint})
        config = config.model_copy(update={"ai": ai})
    return dump_own(config)


def names_of(hosts: Sequence[HostSpec]) -> str:
    """Return the hosts' names for a message."""
    return ", ".join(host.name for host in hosts)
