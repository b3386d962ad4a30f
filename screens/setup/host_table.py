"""The hosts of a draft as rows of a table: what was typed, and what was seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from bzzz_core.deploy.facts.host import HostFacts
from bzzz_tui.parts import Line
from bzzz_tui.widgets.columns import Column, Placed
from bzzz_tui.wording import UNKNOWN, Glyphs, Tone, clean, shorten, size
from screens.setup.context import Context
from screens.setup.draft import HostDraft
from screens.setup.engine import Look, LookState

DETECTION: Final = (
    Column(key="name", title="HOST", width=9, width_max=14),
    Column(key="address", title="ADDRESS", width=13, width_max=24),
    Column(key="state", title="LOGIN", width=13),
    Column(key="os", title="OS", width=9, width_max=16, priority=3),
    Column(key="cpus", title="CPU", width=3, priority=4, right=True),
    Column(key="memory", title="MEMORY", width=8, priority=5, right=True),
    Column(key="disk", title="FREE", width=8, priority=6, right=True),
    Column(key="gpus", title="GPU", width=3, priority=8, right=True),
    Column(key="clock", title="CLOCK", width=7, priority=7, right=True),
)
TRUST: Final = (
    Column(key="name", title="HOST", width=8, width_max=14),
    Column(key="key", title="HOST KEY", width=13),
    Column(key="fingerprint", title="FINGERPRINT", width=50),
)
_MARKS: Final = {
    LookState.UNSEEN: ("pending", Tone.MUTED),
    LookState.LOOKING: ("running", Tone.INFO),
    LookState.READY: ("ok", Tone.OK),
    LookState.WARN: ("warn", Tone.WARN),
    LookState.KEY_UNKNOWN: ("warn", Tone.WARN),
    LookState.KEY_CHANGED: ("bad", Tone.BAD),
    LookState.FAILED: ("bad", Tone.BAD),
}


class HostRows:
    """What a table asks for; versions grow with every change of answers or looks."""

    def __init__(self, context: Context) -> None:
        """Take the wizard's state."""
        self._context = context
        self._version = 0

    def touch(self) -> None:
        """Say that rows look different now."""
        self._version += 1

    def order(self) -> Sequence[str]:
        """Return the hosts as they were entered."""
        return [host.name for host in self._context.draft.hosts]

    def version(self, row: str) -> int:
        """Return the version of all rows."""
        del row
        return self._version

    def cells(self, row: str, placed: Sequence[Placed]) -> Sequence[Line]:
        """Return one host's cells."""
        host = next(host for host in self._context.draft.hosts if host.name == row)
        look, glyphs = self._context.look(host), self._context.glyphs
        return [_CELLS[p.column.key](host, look, p.width, glyphs) for p in placed]


def state_part(look: Look, glyphs: Glyphs) -> tuple[str, Tone]:
    """Return glyph and word of what came of looking at a host."""
    glyph, tone = _MARKS[look.state]
    return f"{getattr(glyphs, glyph)} {look.state.value}", tone


def _trust_part(host: HostDraft, look: Look, glyphs: Glyphs) -> tuple[str, Tone]:
    match look.state:
        case LookState.READY | LookState.WARN:
            return f"{glyphs.ok} trusted", Tone.OK
        case LookState.KEY_UNKNOWN | LookState.KEY_CHANGED | LookState.LOOKING:
            return state_part(look, glyphs)
        case _ if host.host_key_sha256:
            return f"{glyphs.ok} given", Tone.OK
        case LookState.FAILED if look.fingerprint:
            return f"{glyphs.ok} trusted", Tone.OK
        case LookState.FAILED:
            return f"{glyphs.bad} no login", Tone.BAD
        case _:
            return f"{glyphs.pending} not seen", Tone.MUTED


_Cell = Callable[[HostDraft, Look, int, Glyphs], Line]


def _of_facts(word: Callable[[HostFacts], str | None]) -> _Cell:
    def cell(_host: HostDraft, look: Look, width: int, glyphs: Glyphs) -> Line:
        if look.facts is None:
            return [("", Tone.MUTED)]
        text = word(look.facts)
        if text is None:
            return [(UNKNOWN, Tone.MUTED)]
        return [(shorten(clean(text), width, glyphs), Tone.PLAIN)]

    return cell


def _os(facts: HostFacts) -> str | None:
    return f"{facts.os_id} {facts.os_version or ''}".strip() if facts.os_id else None


def _disk(facts: HostFacts) -> str | None:
    return size(min(disk.free_bytes for disk in facts.disks)) if facts.disks else None


def _clock(facts: HostFacts) -> str | None:
    return f"{facts.clock.skew_ms:+d}ms" if facts.clock else None


def _gpus(facts: HostFacts) -> str | None:
    """Count what can compute; the screen of a server's remote console cannot."""
    if facts.gpus is None:
        return None
    return str(sum(card.computes for card in facts.gpus))


def _fingerprint(host: HostDraft, look: Look, width: int, glyphs: Glyphs) -> Line:
    shown = look.fingerprint or host.host_key_sha256 or UNKNOWN
    tone = Tone.PLAIN if shown != UNKNOWN else Tone.MUTED
    return [(shorten(clean(shown), width, glyphs), tone)]


def _state(host: HostDraft, look: Look, width: int, glyphs: Glyphs) -> Line:
    del host, width
    return [state_part(look, glyphs)]


def _key_state(host: HostDraft, look: Look, width: int, glyphs: Glyphs) -> Line:
    del width
    return [_trust_part(host, look, glyphs)]


_CELLS: Final[dict[str, _Cell]] = {
    "name": lambda host, _look, width, glyphs: [(shorten(host.name, width, glyphs), Tone.PLAIN)],
    "address": lambda host, _look, width, glyphs: [
        (shorten(place(host), width, glyphs), Tone.PLAIN)
    ],
    "state": _state,
    "key": _key_state,
    "os": _of_facts(_os),
    "cpus": _of_facts(lambda facts: None if facts.cpus is None else str(facts.cpus)),
    "memory": _of_facts(
        lambda facts: None if facts.memory_total_bytes is None else size(facts.memory_total_bytes)
    ),
    "disk": _of_facts(_disk),
    "gpus": _of_facts(_gpus),
    "clock": _of_facts(_clock),
    "fingerprint": _fingerprint,
}


def place(host: HostDraft) -> str:
    """Return where and as whom to log in, as it was typed."""
    user = f"{host.user}@" if host.user else ""
    port = f":{host.port}" if host.port else ""
    return f"{user}{host.address}{port}"
