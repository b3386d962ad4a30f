"""Limits of the two services as drop-ins for systemd, and whether a host can give what they ask.

A service without a limit has no drop-in. `CPUAffinity` instead of `AllowedCPUs`, because it works
under both versions of control groups. Version 1 knows no `MemoryHigh` and no `MemorySwapMax`: there
they are left out of the file, and a finding says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.config.sections import ServiceLimits
from bzzz_core.deploy import layout
from bzzz_core.deploy.events import Finding
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.units import FABRIC_BYTES_MAX, TASKS_MAX
from bzzz_core.health.checks.process import OWN_BYTES_MAX

UNIT_BYTES_MAX: Final = {layout.AGENT: OWN_BYTES_MAX, layout.FABRIC: FABRIC_BYTES_MAX}
"""What the units themselves allow."""
BYTES_MIN: Final = {layout.AGENT: 128 << 20, layout.FABRIC: 64 << 20}
"""Below this a service cannot start, or is ended again and again."""
TASKS_MIN: Final = 64
HEAP_PERCENT: Final = 75
"""Share of the broker's memory that its heap may fill before it collects garbage harder."""
_V1: Final = frozenset({"tmpfs", "cgroupfs"})
"""File systems at /sys/fs/cgroup that are not version 2."""


def of_service(spec: ClusterSpec, unit: str) -> ServiceLimits:
    """Return the limits that the answers ask for."""
    return spec.resources.limits.agent if unit == layout.AGENT else spec.resources.limits.fabric


def dropin_path(unit: str) -> str:
    """Return where the drop-in of a unit lies."""
    return layout.AGENT_LIMITS if unit == layout.AGENT else layout.FABRIC_LIMITS


def dropin_text(unit: str, limits: ServiceLimits, facts: HostFacts) -> str:
    """Return the drop-in of a unit; "": it needs none."""
    lines = list(_lines(unit, limits, v1=facts.cgroup in _V1))
    if not lines:
        return ""
    head = "# Written by bzzz-tui setup from resources.limits; changes are overwritten."
    return "\n".join((head, "[Service]", *lines)) + "\n"


def _lines(unit: str, limits: ServiceLimits, *, v1: bool) -> Iterator[str]:
    if limits.cpu_percent_max:
        yield f"CPUQuota={limits.cpu_percent_max}%"
    if limits.cpus:
        yield f"CPUAffinity={limits.cpus}"
    if limits.numa_nodes:
        yield "NUMAPolicy=bind"
        yield f"NUMAMask={limits.numa_nodes}"
    if limits.memory_bytes_max:
        yield f"MemoryMax={limits.memory_bytes_max}"
        if unit == layout.FABRIC:
            heap = limits.memory_bytes_max * HEAP_PERCENT // 100
            yield f"Environment=GOMEMLIMIT={heap >> 20}MiB"
    if limits.memory_bytes_high and not v1:
        yield f"MemoryHigh={limits.memory_bytes_high}"
    if limits.swap_bytes_max is not None and not v1:
        yield f"MemorySwapMax={limits.swap_bytes_max}"
    if limits.tasks_max:
        yield f"TasksMax={limits.tasks_max}"
    if limits.io_weight:
        yield f"IOWeight={limits.io_weight}"


def findings(spec: ClusterSpec, host: HostSpec, facts: HostFacts) -> Iterator[Finding]:
    """Yield what of the limits a host cannot give, with the numbers, and what has no effect yet."""
    for unit in (layout.AGENT, layout.FABRIC):
        limits = of_service(spec, unit)
        place = f"resources.limits.{'agent' if unit == layout.AGENT else 'fabric'}"
        for message in (*_cpu(limits, facts), *_memory(unit, limits, facts)):
            yield Finding("error", "limits", host.name, f"{place}: {message}", f"change {place}")
        if facts.cgroup in _V1 and (limits.memory_bytes_high or limits.swap_bytes_max is not None):
            yield Finding(
                "warning",
                "limits",
                host.name,
                f"{place}: control groups of version 1 know no memory_bytes_high and no"
                " swap_bytes_max; both have no effect here",
                "boot with systemd.unified_cgroup_hierarchy=1, or leave them out",
            )
    yield from _both(spec, host, facts)


def _both(spec: ClusterSpec, host: HostSpec, facts: HostFacts) -> Iterator[Finding]:
    asked = [of_service(spec, unit).memory_bytes_max for unit in UNIT_BYTES_MAX]
    total = sum(
        number or usual for number, usual in zip(asked, UNIT_BYTES_MAX.values(), strict=True)
    )
    most = _memory_bytes(facts)
    if any(asked) and most and total > most:
        yield Finding(
            "error",
            "limits",
            host.name,
            f"agent and fabric together may take {_mb(total)}, the host has {_mb(most)}",
            "lower resources.limits.*.memory_bytes_max",
        )


def _cpu(limits: ServiceLimits, facts: HostFacts) -> Iterator[str]:
    count = _cpu_count(facts)
    if count and limits.cpu_percent_max > 100 * count:
        yield (
            f"cpu_percent_max is {limits.cpu_percent_max} %, but the host's processors that we"
            f" may use give {100 * count:.0f} %"
        )
    allowed = facts.cpu.allowed if facts.cpu else None
    outside = _numbers(limits.cpus) - (_numbers(allowed) if allowed else set())
    if allowed and outside:
        yield f"cpus names {_words(outside)}, but the processors that we may use are {allowed}"
    nodes = facts.cpu.nodes if facts.cpu else None
    missing = _numbers(limits.numa_nodes) - {node.number for node in nodes or ()}
    if nodes is not None and missing:
        known = _words({node.number for node in nodes}) or "none"
        yield f"numa_nodes names {_words(missing)}, but the host's memory nodes are {known}"


def _memory(unit: str, limits: ServiceLimits, facts: HostFacts) -> Iterator[str]:
    least, most = BYTES_MIN[unit], limits.memory_bytes_max or UNIT_BYTES_MAX[unit]
    if limits.memory_bytes_max and limits.memory_bytes_max < least:
        yield f"memory_bytes_max is {_mb(limits.memory_bytes_max)}, {_mb(least)} are needed"
    total = _memory_bytes(facts)
    if total and limits.memory_bytes_max > total:
        yield f"memory_bytes_max is {_mb(limits.memory_bytes_max)}, the host has {_mb(total)}"
    if limits.memory_bytes_high and not least <= limits.memory_bytes_high <= most:
        yield (
            f"memory_bytes_high is {_mb(limits.memory_bytes_high)}, which has to lie between"
            f" {_mb(least)} and the limit of {_mb(most)}"
        )
    if limits.tasks_max and limits.tasks_max < TASKS_MIN:
        yield f"tasks_max is {limits.tasks_max}, {TASKS_MIN} are needed (usual are {TASKS_MAX})"


def _cpu_count(facts: HostFacts) -> float:
    """Return how many processors we may use, perhaps a part of one; 0: not known."""
    cpu = facts.cpu
    count = len(_numbers(cpu.allowed)) if cpu and cpu.allowed else facts.cpus or 0
    quota = (cpu.quota_milli or 0) / 1_000 if cpu else 0
    return min(count, quota) if count and quota else count


def _memory_bytes(facts: HostFacts) -> int:
    """Return how much memory we may use; 0: not known."""
    total = facts.memory_total_bytes or 0
    limit = (facts.memory.limit_bytes or 0) if facts.memory else 0
    return min(total, limit) if total and limit else total or limit


def _numbers(text: str) -> set[int]:
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), min(int(last or first), int(first) + 10_000) + 1))
    return found


def _words(numbers: set[int]) -> str:
    shown = sorted(numbers)
    return ", ".join(map(str, shown[:8])) + (" ..." if len(shown) > 8 else "")  # noqa: PLR2004


def _mb(count: int) -> str:
    return f"{count / 1_000_000:.0f} MB"
