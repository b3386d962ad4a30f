"""A plan as lines: who is changed in which order, how, as whom, for how long. Pure.

`+` is made, `~` is changed, `-` is removed; a line of a file's difference stands under its change
when the reader wants to see it. Nothing secret is in a `Change`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Final

from bzzz_core.deploy.change import Change, Plan
from bzzz_core.deploy.durations import Estimate
from bzzz_core.deploy.events import Planned
from bzzz_tui.parts import Part
from bzzz_tui.wording import Glyphs, Tone, clean, span

DIFF_LINES_MAX: Final = 60
"""Of one file."""
_SIGNS: Final = {
    "create": ("+", Tone.OK),
    "start": ("+", Tone.OK),
    "enable": ("+", Tone.OK),
    "remove": ("-", Tone.BAD),
}
_SUDO: Final = {"root": "as root", "free": "by sudo", "password": "by sudo with a password"}


def plan_lines(
    plan: Plan | Planned,
    glyphs: Glyphs,
    *,
    estimate: Estimate | None = None,
    sudo: Mapping[str, str | None] | None = None,
    difference: bool = False,
) -> list[list[Part]]:
    """Return a plan as lines: first how much it is, then each host's changes in order.

    Args:
        plan: The plan.
        glyphs: The symbols in use.
        estimate: How long it will take.
        sudo: By host: how setup becomes root there, in the probe's word.
        difference: Show what changes within files.
    """
    everything = [*plan.operator, *(c for changes in plan.hosts.values() for c in changes)]
    width = max((len(change.phase) for change in everything), default=0)
    count = len(everything)
    dot = f" {glyphs.dot} "
    words = [f"release {plan.release}", f"plan {plan.hash[:16]}"]
    lines: list[list[Part]] = [
        [
            (f"{count} changes", Tone.ACCENT if count else Tone.OK),
            (dot + dot.join(words), Tone.MUTED),
        ]
    ]
    if estimate is not None and count:
        basis = "as it took here before" if estimate.measured else "as it took on test hosts"
        lines.append([(f"about {span(estimate.seconds)}, {basis}", Tone.MUTED)])
    if plan.operator:
        lines += _block("this machine", "", plan.operator, width, difference=difference)
    for host, changes in plan.hosts.items():
        how = _SUDO.get((sudo or {}).get(host) or "", "")
        lines += _block(host, how, changes, width, difference=difference)
    return lines


def _block(
    title: str, how: str, changes: tuple[Change, ...], width: int, *, difference: bool
) -> list[list[Part]]:
    head = f"  {len(changes)}" + (f"  {how}" if how and changes else "")
    lines: list[list[Part]] = [[], [(title, Tone.PLAIN), (head, Tone.MUTED)]]
    if not changes:
        lines.append([("  = nothing to change", Tone.OK)])
    for change in changes:
        sign, tone = _SIGNS.get(change.action, ("~", Tone.WARN))
        lines.append(
            [
                (f"  {sign} ", tone),
                (change.phase.ljust(width + 1), Tone.MUTED),
                (clean(change.sentence), Tone.PLAIN),
            ]
        )
        if difference:
            lines += difference_lines(change)
    return lines


def difference_lines(change: Change) -> list[list[Part]]:
    """Return what a change makes of a text, a line each; nothing for what is no text."""
    if change.secret or "\n" not in change.before + change.after:
        return []
    found = difflib.unified_diff(
        change.before.splitlines(), change.after.splitlines(), "", "", "", "", 1
    )
    shown = [line.rstrip() for line in found][2:]
    tones = {"+": Tone.OK, "-": Tone.BAD, "@": Tone.MUTED}
    lines: list[list[Part]] = [
        [(f"      {clean(line)}", tones.get(line[:1], Tone.PLAIN))]
        for line in shown[:DIFF_LINES_MAX]
    ]
    if len(shown) > DIFF_LINES_MAX:
        lines.append([(f"      and {len(shown) - DIFF_LINES_MAX} more lines", Tone.MUTED)])
    return lines
