"""What is to become of a BZZZ that a host has already: reuse, repair, upgrade or refuse. Pure.

The words are for a person who decides whether to go on; what is really done says the plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bzzz_core.deploy import layout
from bzzz_core.deploy.facts.host import HostFacts, Kind


class Verdict(StrEnum):
    """What setup will do about it."""

    NONE = "none"
    """There is no BZZZ."""
    REUSE = "reuse"
    REPAIR = "repair"
    UPGRADE = "upgrade"
    REFUSE = "refuse"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Existing:
    """A verdict and its reason."""

    verdict: Verdict
    words: str


def judge(facts: HostFacts, *, cluster_id: str | None, version: str) -> Existing:
    """Return what is to become of a host's BZZZ.

    Args:
        facts: What the probe found.
        cluster_id: Of the cluster that this operator would install; None: it is still to be made.
        version: Of BZZZ here, without what follows a plus.
    """
    if facts.cluster_id is None and facts.current is None:
        return Existing(Verdict.UNKNOWN, "whether there is a BZZZ is not known")
    there = facts.path(layout.AGENT_CONFIG).kind
    if facts.cluster_id and facts.cluster_id != cluster_id:
        return Existing(Verdict.REFUSE, f"it belongs to another cluster ({facts.cluster_id[:12]})")
    if not facts.cluster_id and there not in {Kind.ABSENT, Kind.UNKNOWN}:
        return Existing(Verdict.REFUSE, f"{layout.AGENT_CONFIG} is there but cannot be read")
    if facts.current and facts.cluster_id:
        return _ours(facts, version)
    if facts.current or facts.cluster_id or facts.releases or facts.enrolled:
        return Existing(Verdict.REPAIR, "a run was left half-finished; it is taken up")
    return Existing(Verdict.NONE, "no BZZZ yet")


def _ours(facts: HostFacts, version: str) -> Existing:
    release = facts.current or ""
    silent = [
        name.removesuffix(".service")
        for name, unit in sorted((facts.units or {}).items())
        if unit.active not in {"active", "activating"}
    ]
    if facts.units is None:
        return Existing(Verdict.UNKNOWN, f"release {release}, but its services are not known")
    if silent or not facts.units:
        return Existing(Verdict.REPAIR, f"{' and '.join(silent) or 'no service'} does not run")
    if _numbers(release) < _numbers(version):
        return Existing(Verdict.UPGRADE, f"release {release} becomes {version}")
    if _numbers(release) > _numbers(version):
        return Existing(
            Verdict.REFUSE, f"release {release} is newer than {version} here; update this program"
        )
    return Existing(Verdict.REUSE, f"release {release} runs; only what differs is changed")


def _numbers(version: str) -> tuple[int, ...]:
    """Return what orders releases: the numbers in front."""
    numbers = []
    for part in version.partition("+")[0].split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers)
