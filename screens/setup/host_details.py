"""What is known of one host, in lines for a person. Pure; what is not known is written `n/a`.

Kinds of facts that a host has none of take no line, except those whose absence says something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from bzzz_core.deploy.facts.ai_servers import AiServer
from bzzz_core.deploy.facts.gpus import CardState, Gpu, GpuDriver
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.facts.network import Interface, InterfaceKind
from bzzz_tui.parts import Part
from bzzz_tui.wording import UNKNOWN, Glyphs, Tone, clean, size

LINES_MAX: Final = 6
"""Of one kind; a host with more says how many are left out."""
LABEL: Final = 9
"""Columns of the label in front of each line."""
_GIGABIT: Final = 1_000
_UNINTERESTING: Final = frozenset({InterfaceKind.LOOPBACK, InterfaceKind.VETH})
_BAD: Final = frozenset({CardState.MISMATCH, CardState.HUNG, CardState.FAILED})
_Words = list[tuple[str, Tone]]
"""One sentence a line, with its tone."""


def details(facts: HostFacts, glyphs: Glyphs) -> list[Part]:
    """Return the lines, each with a label of `LABEL` columns in front, and its tone."""
    lines: list[Part] = []
    for label, words in _KINDS:
        found = words(facts, f" {glyphs.dot} ")
        shown = found if len(found) <= LINES_MAX else found[: LINES_MAX - 1]
        lines.extend(
            _line(label if first else "", text, tone)
            for first, (text, tone) in zip((True, *(False,) * len(shown)), shown, strict=False)
        )
        if len(found) > len(shown):
            lines.append(_line("", f"and {len(found) - len(shown)} more", Tone.MUTED))
    return lines


def _line(label: str, text: str, tone: Tone) -> Part:
    return f"{label.ljust(LABEL)}{clean(text)}", tone


def _cpu(facts: HostFacts, dot: str) -> _Words:
    cpu = facts.cpu
    if cpu is None:
        return [(UNKNOWN, Tone.MUTED)]
    limits = [f"may use {cpu.allowed}"] if cpu.allowed and _fewer(cpu.allowed, facts) else []
    if cpu.quota_milli:
        limits.append(f"at most {cpu.quota_milli / 1_000:g} at once")
    return _told(
        dot,
        cpu.model or UNKNOWN,
        _count(cpu.cores, "core"),
        _count(cpu.sockets, "socket"),
        _count(cpu.threads, "thread"),
        _count(len(cpu.nodes), "NUMA node") if cpu.nodes else "",
        " ".join(flag for flag in cpu.flags or () if flag in _SHOWN_FLAGS),
        *limits,
    )


_SHOWN_FLAGS: Final = frozenset({"avx2", "avx512f", "amx_tile", "sve", "sve2"})


def _fewer(allowed: str, facts: HostFacts) -> bool:
    whole = facts.cpu.threads if facts.cpu else None
    return whole is None or allowed != f"0-{whole - 1}"


def _memory(facts: HostFacts, dot: str) -> _Words:
    memory = facts.memory
    available = facts.memory_available_bytes
    said = [size(facts.memory_total_bytes)]
    if available is not None:
        said.append(f"{size(available)} available")
    if memory is None or memory.swap_total_bytes is None:
        said.append(f"swap {UNKNOWN}")
    else:
        said.append(
            f"swap {size(memory.swap_total_bytes)}" if memory.swap_total_bytes else "no swap"
        )
    if memory and memory.limit_bytes:
        said.append(f"limited to {size(memory.limit_bytes)}")
    if memory and memory.hugepages_total:
        said.append(f"{memory.hugepages_total} huge pages of {size(memory.hugepage_bytes)}")
    return _told(dot, *said)


def _disks(facts: HostFacts, dot: str) -> _Words:
    if facts.devices is None:
        return []
    kinds = {True: "rotating", False: "solid", None: ""}
    whole = [one for one in facts.devices if one.kind == "disk" and one.size_bytes]
    return [
        told
        for one in whole
        for told in _told(dot, one.name, size(one.size_bytes), one.model, kinds[one.rotating])
    ]


def _network(facts: HostFacts, dot: str) -> _Words:
    if facts.interfaces is None:
        return [(UNKNOWN, Tone.MUTED)]
    shown = [
        one
        for one in facts.interfaces
        if one.addresses or (one.kind not in _UNINTERESTING and not one.master)
    ]
    shown = [one for one in shown if one.kind is not InterfaceKind.LOOPBACK]
    # Those that could carry the cluster first.
    shown.sort(key=lambda one: (not one.usable, one.kind is not InterfaceKind.PHYSICAL))
    return [told for one in shown for told in _told(dot, *_interface(one), tone=_tone_of(one))]


def _interface(one: Interface) -> Iterable[str]:
    yield one.name
    yield one.kind.value
    yield one.state if one.carrier is not False or one.state == "down" else "no carrier"
    if one.speed_mbps:
        whole = one.speed_mbps % _GIGABIT == 0
        yield f"{one.speed_mbps // _GIGABIT} Gbit/s" if whole else f"{one.speed_mbps} Mbit/s"
    yield from (one.addresses or ())[:3]
    if one.members:
        yield f"of {', '.join(one.members[:4])}"
    if one.vlan is not None:
        yield f"tag {one.vlan} on {one.below}"


def _tone_of(one: Interface) -> Tone:
    return Tone.PLAIN if one.usable else Tone.MUTED


def _ways(facts: HostFacts, dot: str) -> _Words:
    said = []
    if facts.routing is not None:
        gateways = [f"{one.gateway} on {one.interface}" for one in facts.routing.defaults[:2]]
        said.append(f"default by {', '.join(gateways)}" if gateways else "no default route")
    if facts.resolver is not None:
        servers = ", ".join(facts.resolver.servers[:3])
        said.append(f"names from {servers}" if servers else "no name server")
    if facts.behind_nat:
        said.append("private addresses only")
    if facts.proxies:
        said.append(f"proxy in {facts.proxies[0].source}")
    return _told(dot, *said)


def _gpus(facts: HostFacts, dot: str) -> _Words:
    if facts.gpus is None:
        return [(UNKNOWN, Tone.MUTED)]
    cards = [card for card in facts.gpus if card.computes]
    if not cards:
        return [("none", Tone.MUTED)]
    alike: dict[tuple[object, ...], list[Gpu]] = {}
    for card in cards:
        parts = None if card.mig is None else len(card.mig)
        kind = (
            *(card.name or card.device, card.state, card.memory_total_bytes),
            *(card.divided, parts),
        )
        alike.setdefault(kind, []).append(card)
    return [
        told
        for first, *others in alike.values()
        for told in _told(dot, *_card(first, 1 + len(others)), tone=_tone_of_card(first))
    ]


def _drivers(facts: HostFacts, dot: str) -> _Words:
    return [told for driver in facts.gpu_drivers or () for told in _told(dot, *_driver(driver))]


def _card(card: Gpu, count: int) -> Iterable[str]:
    name = card.name or f"{card.vendor} {card.device}".strip()
    yield name if count == 1 else f"{count} x {name}"
    yield card.slot if count == 1 else ""
    yield card.state.value if card.state else f"driver {card.driver or UNKNOWN}, state {UNKNOWN}"
    if card.memory_total_bytes:
        yield size(card.memory_total_bytes)
    if card.unified:
        yield "shares the host's memory"
    if card.mig:
        yield f"divided into {len(card.mig)}"
    elif card.divided:
        yield "divided, and has no parts" if card.mig == () else "divided, parts not known"


def _tone_of_card(card: Gpu) -> Tone:
    if card.state is CardState.WORKING:
        return Tone.PLAIN
    return Tone.BAD if card.state in _BAD else Tone.WARN


def _driver(driver: GpuDriver) -> Iterable[str]:
    if driver.module or driver.platform:
        yield f"{driver.vendor} driver {driver.module or UNKNOWN}"
    if driver.platform:
        yield f"{'CUDA' if driver.vendor == 'nvidia' else 'ROCm'} {driver.platform}"
    ways = sorted({link.way for link in driver.links or ()})
    if ways:
        yield f"linked by {', '.join(ways)}"


def _containers(facts: HostFacts, dot: str) -> _Words:
    podman = f"Podman {facts.podman}" if facts.podman else ""
    if facts.docker is None:
        return _told(dot, UNKNOWN, podman)
    if not facts.docker:
        return _told(dot, podman or "none", tone=Tone.PLAIN if podman else Tone.MUTED)
    (docker,) = facts.docker
    if not docker.version:
        return _told(dot, "installed, its engine does not answer", podman, tone=Tone.WARN)
    return _told(
        dot,
        docker.version,
        "rootless" if docker.rootless else "",
        f"cgroups by {docker.cgroup_driver}" if docker.cgroup_driver else "",
        "can use NVIDIA's cards" if docker.nvidia else "",
        f"compose {docker.compose}" if docker.compose else "no compose",
        _count(len(docker.networks), "network") if docker.networks is not None else "",
        podman,
    )


def _models(facts: HostFacts, dot: str) -> _Words:
    return [
        told
        for server in facts.ai_servers or ()
        for told in _told(dot, *_server(server), tone=Tone.WARN if server.exposed else Tone.PLAIN)
    ]


def _server(server: AiServer) -> Iterable[str]:
    if server.port is None:
        yield f"{server.program} is installed, and does not listen"
        return
    yield f"{server.program} {server.version or UNKNOWN}"
    yield f"on {server.place}"
    if server.exposed:
        yield "open to others"
    yield f"models {UNKNOWN}" if server.models is None else _count(len(server.models), "model")
    if server.loaded:
        yield f"{len(server.loaded)} loaded"
    if server.free_bytes is not None:
        yield f"{size(server.free_bytes)} free there"


def _ground(facts: HostFacts, dot: str) -> _Words:
    said = []
    system, wall = facts.system, facts.firewall
    if wall is not None and wall.active is not None:
        said.append(f"{wall.backend} filters" if wall.active else "no firewall")
    else:
        said.append(f"firewall {UNKNOWN}")
    if system is not None:
        if system.virtualisation not in {None, "none"}:
            said.append(f"in {system.virtualisation}")
        if system.selinux:
            said.append(f"SELinux {system.selinux}")
        if system.reboot_required:
            said.append("waits for a reboot")
        if system.package_lock:
            said.append(f"{system.package_lock} holds the package manager")
    source = facts.time_source
    if source is not None and source.service:
        said.append(f"time by {source.service}")
    if source is not None and source.synchronised is False:
        said.append("clock follows no other")
    return _told(dot, *said)


_KINDS: Final[Sequence[tuple[str, Callable[[HostFacts, str], _Words]]]] = (
    ("CPU", _cpu),
    ("Memory", _memory),
    ("Disks", _disks),
    ("Network", _network),
    ("Routes", _ways),
    ("GPU", _gpus),
    ("", _drivers),
    ("Docker", _containers),
    ("Models", _models),
    ("System", _ground),
)


def _count(count: int | None, what: str) -> str:
    """Return "1 core", "8 cores"; "" if it is not known."""
    return "" if count is None else f"{count} {what}{'' if count == 1 else 's'}"


def _told(dot: str, *said: str, tone: Tone = Tone.PLAIN) -> _Words:
    text = dot.join(words for words in said if words)
    return [(text, tone)] if text else []
