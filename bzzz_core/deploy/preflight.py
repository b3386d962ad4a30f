"""Every check before anything is changed, all in one report, each with what to do about it.

A pure function of answers and facts. An error on any host stops the run for all: half a cluster is
nobody's wish. An essential fact that is not known is an error too, because the plan would rest on
it.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.deploy import (
    kept_answers,
    layout,
    left_behind,
    limits,
    network_signs,
    openings,
    places,
    port_use,
    surroundings,
)
from bzzz_core.deploy.advice import advise
from bzzz_core.deploy.events import Finding
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.goal import (
    ANY,
    Known,
    Supply,
    choose_python,
    choose_voters,
    glibc_numbers,
    names_of,
    node_address,
    python_fault,
    runtime_fault,
)
from bzzz_core.deploy.identities import identities, kept_data
from bzzz_core.deploy.mending import mending
from bzzz_core.deploy.missing import missing_hosts, nobody_lets_in, second_cluster
from bzzz_core.deploy.model_advice import advise_models
from bzzz_core.deploy.phases import harden_ssh
from bzzz_core.deploy.release import ARCHES, GLIBC_OLDEST
from bzzz_core.model import voter_count

INODES_MIN: Final = 20_000
"""A release has about 2,000 files with its compiled ones; three are kept, and some room."""
PAIR: Final = 2


def check(
    spec: ClusterSpec,
    facts: Mapping[str, HostFacts],
    failures: Mapping[str, str],
    known: Known,
    supply: Supply = ANY,
    *,
    answered: frozenset[str] = frozenset(),
) -> tuple[Finding, ...]:
    """Return every finding, by host in the order of the answers, the cluster's last.

    Args:
        spec: The answers.
        facts: By host: what the probe found.
        failures: By host: why there are no facts.
        known: What this operator knows of the cluster.
        supply: For which hosts there is a release.
        answered: Hosts that the answers leave out on purpose; see `missing`.
    """
    found: list[Finding] = []
    for host in spec.hosts:
        if host.name in failures:
            found.append(_error("connection", host.name, failures[host.name], ""))
        elif host.name in facts:
            for rule in _HOST_RULES:
                found.extend(rule(spec, host, facts[host.name]))
            found.extend(_python(host, facts[host.name], supply))
            found.extend(_other_cluster(host, facts[host.name], known))
            found.extend(advise(host, facts[host.name]))
    for rule_of_all in (
        _target,
        _duplicates,
        _two_hosts,
        _voters,
        identities,
        kept_answers.findings,
        network_signs.findings,
        port_use.findings,
        openings.findings,
        harden_ssh.findings,
        advise_models,
    ):
        found.extend(rule_of_all(spec, facts))
    found.extend(missing_hosts(spec, facts, known, answered))
    found.extend(second_cluster(spec, facts, known))
    found.extend(nobody_lets_in(spec, facts))
    return tuple(found)


def _login(_spec: ClusterSpec, host: HostSpec, facts: HostFacts) -> Iterator[Finding]:
    if facts.uid != 0:
        yield _error(
            "root",
            host.name,
            "the login cannot become root" if facts.uid is not None else "not known who we are",
            "let the login use sudo, or set security.ssh.sudo_password",
        )


def _system(_spec: ClusterSpec, host: HostSpec, facts: HostFacts) -> Iterator[Finding]:
    if facts.arch not in ARCHES:
        yield _error(
            "machine",
            host.name,
            f"machine type {facts.arch or 'unknown'}",
            f"use a machine of type {' or '.join(ARCHES)}",
        )
    if facts.libc == "musl":
        yield _error("libc", host.name, "musl instead of glibc", "use a distribution with glibc")
    elif glibc_numbers(facts.libc) < GLIBC_OLDEST:
        yield _error(
            "libc",
            host.name,
            f"C library {facts.libc or 'unknown'}",
            "glibc 2.28 or later is needed (Debian 10, Ubuntu 20.04, RHEL 8)",
        )
    if facts.init != "systemd" or facts.systemd not in {"running", "degraded", "starting"}:
        yield _error(
            "systemd",
            host.name,
            f"process 1 is {facts.init or 'unknown'}, systemd is {facts.systemd or 'unknown'}",
            "boot the host with systemd",
        )


def _python(host: HostSpec, facts: HostFacts, supply: Supply) -> Iterator[Finding]:
    if choose_python(facts, supply) is not None:
        return
    faults = [fault for python in facts.pythons or () if (fault := python_fault(python))]
    minors = None if supply.minors is None else supply.minors.get(facts.arch or "", frozenset())
    wanted = "3.11 to 3.14" if minors is None else ", ".join(sorted(minors, key=len)) or "any"
    if minors is not None:
        fit = [p for p in facts.pythons or () if python_fault(p) is None]
        faults += [f"the bundle holds no release for {p.path} ({p.minor})" for p in fit]
    runtime = supply.runtimes.get(facts.arch or "")
    if runtime is not None and (fault := runtime_fault(runtime, facts)):
        faults.append(fault)
    yield _error(
        "python",
        host.name,
        f"no fit Python: {'; '.join(faults) or 'none found'}",
        f"either install python3 {wanted} with its full standard library on the host (Debian 12,"
        " Ubuntu 24.04: apt install python3; RHEL 9: dnf install python3.12), or set up from a"
        " bundle that brings its own: bzzz-agent bundle build --runtime FILE --runtime-sha256 HEX,"
        " then setup --bundle",
    )


def _disks(spec: ClusterSpec, host: HostSpec, facts: HostFacts) -> Iterator[Finding]:
    need = spec.system.disk_free_bytes_min
    if facts.disks is None:
        yield _error("disk", host.name, "free space is not known", "look at `df` on the host")
    for disk in facts.disks or ():
        place = f"{disk.path} (on {disk.mount})"
        if disk.readonly:
            yield _error("disk", host.name, f"{place} is read-only", "mount it writable")
        elif disk.free_bytes < need:
            yield _error(
                "disk",
                host.name,
                f"{place} has {disk.free_bytes / 1e9:.1f} GB free, {need / 1e9:.1f} GB are needed",
                "free some space, or lower system.disk_free_bytes_min",
            )
        elif disk.free_inodes is not None and disk.free_inodes < INODES_MIN:
            yield _error(
                "disk",
                host.name,
                f"{place} has {disk.free_inodes} inodes free, {INODES_MIN} are needed",
                "remove some of its many small files",
            )
        if disk.noexec and disk.path == "/opt":
            yield _error(
                "disk", host.name, f"{place} is mounted noexec", "programs run there: remount exec"
            )


def _clock(spec: ClusterSpec, host: HostSpec, facts: HostFacts) -> Iterator[Finding]:
    limit = spec.system.clock_skew_ms_max
    if facts.clock is None:
        yield _error("clock", host.name, "its clock could not be read", "look at `date`")
    elif max(abs(facts.clock.skew_ms) - facts.clock.uncertainty_ms, 0) > limit:
        way = "ahead" if facts.clock.skew_ms > 0 else "behind"
        yield _error(
            "clock",
            host.name,
            f"its clock is {abs(facts.clock.skew_ms) / 1_000:.1f} s {way} of this machine's",
            f"set both by NTP; {limit} ms are allowed (system.clock_skew_ms_max)",
        )


def _addresses(_spec: ClusterSpec, host: HostSpec, facts: HostFacts) -> Iterator[Finding]:
    try:
        wanted = str(ipaddress.ip_address(host.address))
    except ValueError:
        return  # a name; whether it leads here was shown by the login
    if facts.addresses is None:
        yield _error("address", host.name, "its addresses are not known", "install iproute2 (`ip`)")
    elif wanted not in facts.addresses:
        yield _error(
            "address",
            host.name,
            f"{wanted} is no address of the host (it has {', '.join(facts.addresses)})",
            "give the address at which the other hosts reach it",
        )


def _essentials(_spec: ClusterSpec, host: HostSpec, facts: HostFacts) -> Iterator[Finding]:
    if facts.uid != 0:
        return  # everything below is unknown for that reason alone
    essential = ("account", "current", "releases", "paths", "enrolled", "certificates", "units")
    unknown = [name for name in essential if getattr(facts, name) is None]
    if unknown:
        yield _error(
            "probe",
            host.name,
            f"could not be read: {', '.join(unknown)}",
            "try again; if it stays, look at /opt/bzzz and /etc/bzzz on the host",
        )


def _other_cluster(host: HostSpec, facts: HostFacts, known: Known) -> Iterator[Finding]:
    if facts.uid != 0 or facts.cluster_id in {"", known.cluster_id}:
        return
    ours = "this operator has not created it"
    yield _error(
        "cluster",
        host.name,
        f"it belongs to another cluster ({facts.cluster_id})"
        if facts.cluster_id
        else f"{layout.AGENT_CONFIG} is there but cannot be read; {ours}",
        "use the machine and directory from which that cluster was set up, or remove BZZZ there",
    )


_HOST_RULES: Final[tuple[Callable[[ClusterSpec, HostSpec, HostFacts], Iterator[Finding]], ...]] = (
    _login,
    _system,
    _disks,
    _clock,
    _addresses,
    surroundings.check,
    places.check,
    _essentials,
    mending,
    kept_data,
    left_behind.findings,
    limits.findings,
)


def _target(spec: ClusterSpec, _facts: Mapping[str, HostFacts]) -> Iterator[Finding]:
    target = spec.services.target
    if target != "systemd":
        yield _error(
            "target",
            "",
            f"services.target is {target}: that is manifests only, and setup changes no host",
            f"write them: bzzz-tui setup --answers FILE --generate {target} --image IMAGE;"
            " or choose systemd",
        )


def _duplicates(_spec: ClusterSpec, facts: Mapping[str, HostFacts]) -> Iterator[Finding]:
    for what, severity, fix in (
        (
            "host_key_sha256",
            "error",
            "give each machine its own: ssh-keygen -A after removing them",
        ),
        ("machine_id", "warning", "clones of one image: systemd-machine-id-setup makes new ones"),
    ):
        holders: defaultdict[str, list[str]] = defaultdict(list)
        for name, one in facts.items():
            value = getattr(one, what)
            if value:
                holders[value].append(name)
        for names in holders.values():
            if len(names) > 1:
                text = f"{', '.join(names)} have the same {what.split('_sha')[0].replace('_', ' ')}"
                if severity == "error":
                    yield _error("duplicate", "", text, f"one machine named twice? else {fix}")
                else:
                    yield _warning("duplicate", "", text, fix)


def _two_hosts(spec: ClusterSpec, _facts: Mapping[str, HostFacts]) -> Iterator[Finding]:
    if len(spec.hosts) == PAIR and spec.cluster.mode == "create":
        first, second = spec.hosts
        yield _warning(
            "voters",
            "",
            f"two nodes tolerate no loss: {first.name} votes, {second.name} follows, and without"
            f" {first.name} nothing is decided",
            "add a third host",
        )


def _voters(spec: ClusterSpec, facts: Mapping[str, HostFacts]) -> Iterator[Finding]:
    voters = choose_voters(spec, facts)
    wanted = voter_count(len(spec.hosts))
    if len(voters) < wanted:
        edges = [host for host in spec.hosts if host.name not in voters]
        yield _warning(
            "voters",
            "",
            f"{len(voters)} of {len(spec.hosts)} hosts vote where {wanted} could:"
            f" {names_of(edges)} without a vote; the leader gives votes by itself as they prove"
            " to be there",
            "",
        )
    addresses = [node_address(host) for host in spec.hosts]
    if len(set(addresses)) != len(addresses):
        yield _error("duplicate", "", "two hosts have the same address", "give each its own")


def _error(check_name: str, host: str, message: str, fix: str) -> Finding:
    return Finding("error", check_name, host, message, fix)


def _warning(check_name: str, host: str, message: str, fix: str) -> Finding:
    return Finding("warning", check_name, host, message, fix)
