"""What is to become of a BZZZ that a host has already: reuse, repair, upgrade or refuse. Pure.

The words are for a person who decides whether to go on; what is really done says the plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bzzz_core.deploy import mending
from bzzz_core.deploy.facts.host import HostFacts


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
    if facts.cluster_id and facts.cluster_id != cluster_id:
        return Existing(Verdict.REFUSE, f"it belongs to another cluster ({facts.cluster_id[:12]})")
    said = mending.repairs(facts)
    if said:
        return Existing(Verdict.REPAIR, "; ".join(said))
    if not facts.current:
        return Existing(Verdict.NONE, "no BZZZ yet")
    return _of_release(facts, facts.current, version)


def _of_release(facts: HostFacts, current: str, version: str) -> Existing:
    newer = mending.newer_release(facts)
    if newer is not None:
        return Existing(Verdict.REFUSE, f"release {newer} is newer than {version} here")
    release, _, _ = current.partition("+")
    if release != version:
        return Existing(Verdict.UPGRADE, f"release {current} becomes {version}")
    return Existing(Verdict.REUSE, f"release {current} is there; only what differs is changed")
