"""What a cluster with these answers survives, in a few sentences. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bzzz_tui.parts import Part
from bzzz_tui.wording import Tone
from screens.setup.draft import Draft

_BALLOTS_MS: Final = 300
"""Ballots and the first write, beside detection and the head start of the better candidates."""
_PAIR: Final = 2


def survives_lines(draft: Draft, voters: Sequence[str]) -> list[list[Part]]:
    """Return what may be lost, how soon that is noticed, and what happens without a quorum."""
    hosts = [host.name for host in draft.hosts]
    spare = len(voters) - (len(voters) // 2 + 1)
    lines: list[list[Part]] = [[("What it survives", Tone.ACCENT)]]
    if draft.get("cluster.mode") == "join":
        words = (
            "what the cluster that is joined survives: its voters decide, these hosts get no vote"
        )
        return [*lines, [(words, Tone.PLAIN)]]
    if len(hosts) == _PAIR and len(voters) == 1:
        words = f"no loss of {voters[0]}: two hosts have one voter; use one or three"
        lines.append([(words, Tone.WARN)])
    elif spare <= 0:
        which = f"any of its {len(voters)} voters" if len(voters) > 1 else "its one voter"
        lines.append([(f"no loss of {which}", Tone.WARN if hosts else Tone.MUTED)])
    else:
        lines.append([(f"the loss of {spare} of its {len(voters)} voters at once", Tone.OK)])
    lines.append([(_leader(draft, len(voters)), Tone.PLAIN)])
    dead_ms = _number(draft.get("cluster.roster.dead_ms"))
    if dead_ms is not None:
        lines.append(
            [(f"a silent node is held to be dead after {dead_ms / 1_000:g} s", Tone.PLAIN)]
        )
    reads = "reads go on, marked as stale" if _reads_on(draft) else "reads are refused too"
    lines.append([(f"without a majority nothing is changed, and {reads}", Tone.PLAIN)])
    return lines


def _leader(draft: Draft, voters: int) -> str:
    if draft.get("cluster.failover") == "manual":
        return "a lost leader is replaced when you say so: bzzz-agent leader elect"
    if voters == 1:
        return "a lost leader comes back when its host does"
    detect_ms = _number(draft.get("cluster.timings.detect_ms"))
    rank_ms = _number(draft.get("cluster.timings.rank_delay_ms"))
    if detect_ms is None or rank_ms is None:
        return "how soon a lost leader is replaced depends on the timings below"
    least = (detect_ms + _BALLOTS_MS) / 1_000
    most = (detect_ms + _BALLOTS_MS + rank_ms * (voters - 1)) / 1_000
    return f"a lost leader is replaced after about {least:.1f} to {most:.1f} s"


def _reads_on(draft: Draft) -> bool:
    return draft.get("cluster.without_quorum") == "read-only"


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
