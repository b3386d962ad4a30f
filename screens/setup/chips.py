"""One glance at a host: what was looked at, and how each part stands. Pure.

A chip is bad or doubtful if a finding is about it, good if the fact is known, else unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bzzz_core.deploy.existing import Existing, Verdict
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_tui.parts import Part
from bzzz_tui.wording import Glyphs, Tone, clean
from screens.setup.engine import Look, LookState

_Known = Callable[[HostFacts], bool]
CHIPS: Final[tuple[tuple[str, frozenset[str], _Known], ...]] = (
    ("ssh", frozenset({"connection", "host_key_sha256"}), lambda facts: facts.uid is not None),
    ("sudo", frozenset({"root"}), lambda facts: facts.uid == 0),
    ("os", frozenset({"machine", "libc", "systemd"}), lambda facts: facts.os_id is not None),
    ("py", frozenset({"python"}), lambda facts: bool(facts.pythons)),
    ("cpu", frozenset({"limits"}), lambda facts: facts.cpus is not None),
    ("ram", frozenset({"memory"}), lambda facts: facts.memory_total_bytes is not None),
    ("disk", frozenset({"disk"}), lambda facts: bool(facts.disks)),
    ("clock", frozenset({"clock"}), lambda facts: facts.clock is not None),
    ("ports", frozenset({"ports", "firewall"}), lambda facts: facts.listeners is not None),
    ("net", frozenset({"subnet", "interface", "address"}), lambda facts: bool(facts.interfaces)),
    ("gpu", frozenset({"gpu", "ai"}), lambda facts: facts.gpus is not None),
)
_VERDICTS: Final = {
    Verdict.NONE: ("pending", Tone.MUTED),
    Verdict.REUSE: ("done", Tone.OK),
    Verdict.REPAIR: ("warn", Tone.WARN),
    Verdict.UPGRADE: ("warn", Tone.WARN),
    Verdict.REFUSE: ("bad", Tone.BAD),
    Verdict.UNKNOWN: ("pending", Tone.MUTED),
}


def chips(look: Look, glyphs: Glyphs) -> list[Part]:
    """Return the chips of one host, one behind the other; none before it was looked at."""
    if look.state in {LookState.UNSEEN, LookState.LOOKING}:
        return []
    parts: list[Part] = []
    for name, checks, known in CHIPS:
        severities = {finding.severity for finding in look.findings if finding.check in checks}
        if look.facts is None:
            failed = name == "ssh"
            glyph, tone = (glyphs.bad, Tone.BAD) if failed else (glyphs.pending, Tone.MUTED)
            if failed and look.state is LookState.KEY_UNKNOWN:
                glyph, tone = glyphs.warn, Tone.WARN
        elif "error" in severities:
            glyph, tone = glyphs.bad, Tone.BAD
        elif severities:
            glyph, tone = glyphs.warn, Tone.WARN
        elif known(look.facts):
            glyph, tone = glyphs.ok, Tone.OK
        else:
            glyph, tone = glyphs.pending, Tone.MUTED
        parts.append((f"{glyph} {name} ", tone))
    return parts


def existing_part(existing: Existing, glyphs: Glyphs) -> Part:
    """Return what is to become of a BZZZ that is there, in one line."""
    glyph, tone = _VERDICTS[existing.verdict]
    verdict = "" if existing.verdict is Verdict.NONE else f"{existing.verdict.value}: "
    return f"{getattr(glyphs, glyph)} {verdict}{clean(existing.words)}", tone
