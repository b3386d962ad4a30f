"""What the overview says, as lines of parts: pure functions of the store, the time and the width.

The first glance must answer: is it well, who leads since when, is there a quorum, what is red. The
plain-text mode prints the same lines, so a screen reader misses nothing.
"""

from __future__ import annotations

from bzzz_core.api.documents import MemberStatus, Status
from bzzz_core.model import MemberState
from bzzz_tui.monitor.node_cells import heard_words
from bzzz_tui.monitor.top import STALE_MS, led_for
from bzzz_tui.parts import Fact, Line, Part, fit_line, gauge
from bzzz_tui.store import LinkPhase, Row, Store
from bzzz_tui.wording import UNKNOWN, Glyphs, Tone, clean, fabric_state, size, span, tone_glyph


def verdict(store: Store, now_ms: int, stale_ms: int = STALE_MS) -> tuple[Tone, str, str]:
    """Return the state of the whole cluster: tone, one word, one phrase."""
    status, age_ms = store.status, store.age_ms(now_ms)
    if status is None or age_ms is None:
        return Tone.MUTED, "unknown", "no data yet"
    if age_ms >= stale_ms or store.link.phase is LinkPhase.LOST:
        return Tone.WARN, "stale", f"data is {span(age_ms / 1_000)} old"
    return _verdict_of(status, quorum=store.has_quorum())


def _verdict_of(status: Status, *, quorum: bool) -> tuple[Tone, str, str]:
    if not quorum and status.term == 0:
        return Tone.WARN, "forming", "before the first election"
    if not quorum:
        return Tone.BAD, "no quorum", "writes stopped"
    if status.leader is None:
        return Tone.BAD, "no leader", "electing"
    wrong = [m for m in status.members if m.state in {MemberState.SUSPECT, MemberState.DEAD}]
    if wrong:
        more = f" +{len(wrong) - 1}" if len(wrong) > 1 else ""
        dead = any(member.state is MemberState.DEAD for member in wrong)
        words = f"{clean(wrong[0].name)} {wrong[0].state.value}{more}"
        return Tone.BAD if dead else Tone.WARN, "degraded", words
    if not status.leader_serving:
        return Tone.WARN, "taking over", "leader not serving yet"
    return Tone.OK, "healthy", f"all {len(status.members)} nodes alive"


def summary(store: Store, now_ms: int, width: int, glyphs: Glyphs) -> list[Line]:
    """Return the band of tiles: title, value, detail."""
    tiles = [
        _health_tile(store, now_ms, glyphs),
        _leader_tile(store, glyphs),
        _fabric_tile(store, glyphs),
        _total_tile(store, max(17, width // 4 - 2), glyphs),
    ]
    count = max(1, min(len(tiles), width // 19))
    each = max(1, (width - 1) // count)
    lines: list[Line] = []
    for rank in range(3):
        line: list[Part] = [(" ", Tone.PLAIN)]
        for tile in tiles[:count]:
            line += [*fit_line(tile[rank], each - 2), ("  ", Tone.PLAIN)]
        lines.append(line)
    return lines


def detail(row: Row, age_ms: int) -> list[Fact]:
    """Return what a narrow table leaves out about one host."""
    member = row.member
    facts = [
        ("", member.address, 1),
        ("heard ", heard_words(row, age_ms), 2),
        ("up ", span(row.uptime_s), 3),
        ("version ", member.version or UNKNOWN, 4),
        ("CPUs ", UNKNOWN if member.cpu_count is None else str(member.cpu_count), 5),
        ("GPUs ", str(len(member.gpus)), 7),
        ("broker ", _broker(member), 6),
    ]
    return [
        Fact(0, [(clean(member.name), Tone.ACCENT)]),
        *(
            Fact(rank, [(label, Tone.MUTED), (clean(text), Tone.PLAIN)])
            for label, text, rank in facts
        ),
    ]


def _broker(member: MemberStatus) -> str:
    if member.broker is None:
        return UNKNOWN
    return "own" if member.broker.startswith(member.node_id) else member.broker


def _health_tile(store: Store, now_ms: int, glyphs: Glyphs) -> tuple[Line, Line, Line]:
    tone, word, detail = verdict(store, now_ms)
    return (
        [("CLUSTER", Tone.MUTED)],
        [(f"{tone_glyph(tone, glyphs)} {word}", tone)],
        [(detail, Tone.PLAIN)],
    )


def _leader_tile(store: Store, glyphs: Glyphs) -> tuple[Line, Line, Line]:
    title: Line = [("LEADER", Tone.MUTED)]
    status = store.status
    if status is None:
        return title, [(UNKNOWN, Tone.MUTED)], []
    if status.leader is None:
        return title, [(f"{glyphs.bad} none", Tone.BAD)], [(f"last term {status.term}", Tone.PLAIN)]
    since = led_for(status)
    detail = f"term {status.term}" + (f" {glyphs.dot} {since}" if since else "")
    serving: list[Part] = [] if status.leader_serving else [(f" {glyphs.dot} not yet", Tone.WARN)]
    name = f"{glyphs.leader} {clean(status.leader)}"
    return title, [(name, Tone.ACCENT), *serving], [(detail, Tone.PLAIN)]


def _fabric_tile(store: Store, glyphs: Glyphs) -> tuple[Line, Line, Line]:
    title: Line = [("FABRIC", Tone.MUTED)]
    if store.status is None:
        return title, [(UNKNOWN, Tone.MUTED)], []
    alive, voters = store.voters()
    text, tone = fabric_state(store.status.fabric.state, glyphs)
    need = store.status.fabric.quorum
    return (
        title,
        [(text, tone)],
        [(f"{alive}/{voters} voters", Tone.PLAIN), (f", min {need}", Tone.MUTED)],
    )


def _total_tile(store: Store, width: int, glyphs: Glyphs) -> tuple[Line, Line, Line]:
    alive = [row.member for row in store.rows.values() if row.member.state is MemberState.ALIVE]
    loads = [(m.cpu_percent, m.cpu_count or 1) for m in alive if m.cpu_percent is not None]
    cores = sum(count for _, count in loads)
    cpu = sum(value * count for value, count in loads) / cores if loads else None
    known = [m for m in alive if m.memory_used_bytes is not None and m.memory_total_bytes]
    used = sum(m.memory_used_bytes or 0 for m in known)
    total = sum(m.memory_total_bytes or 0 for m in known)
    share = used / total if total else None
    title = f"TOTAL {glyphs.dot} {cores} CPUs" if cores else "TOTAL"
    if total and len(title) + len(size(total)) + 3 < width:
        title += f" {glyphs.dot} {size(total)}"
    return (
        [(title, Tone.MUTED)],
        _meter("cpu", None if cpu is None else cpu / 100, width, glyphs),
        _meter("mem", share, width, glyphs),
    )


def _meter(name: str, share: float | None, width: int, glyphs: Glyphs) -> Line:
    return [(f"{name} ", Tone.MUTED), *gauge(share, max(4, min(16, width - 10)), glyphs)]
