"""What the overview says, as lines of parts: pure functions of the store, the time and the width.

The first glance must answer: is it well, who leads since when, is there a quorum, what is red. The
plain-text mode prints the same lines, so a screen reader misses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from bzzz_core.api.documents import MemberStatus, Status
from bzzz_core.model import MemberState
from bzzz_tui.parts import Fact, Line, Part, fit_line
from bzzz_tui.store import Link, LinkPhase, Row, Store
from bzzz_tui.widgets.columns import Column, Placed
from bzzz_tui.wording import (
    UNKNOWN,
    Glyphs,
    Tone,
    ago,
    bar,
    clean,
    fabric_state,
    member_state,
    percent,
    percent_tone,
    shorten,
    size,
    span,
    spark,
    tone_glyph,
    used_of,
)

STALE_MS: Final = 3_000
"""Older data is shown as old: three times the default refresh."""

COLUMNS: Final = (
    Column(key="name", title="NODE", width=8, width_max=20),
    Column(key="state", title="STATE", width=9),
    Column(key="role", title="ROLE", width=8),
    Column(key="cpu", title="CPU", width=10, width_max=16, priority=1),
    Column(key="trend", title="TREND", width=8, width_max=20, priority=9),
    Column(key="memory", title="MEMORY", width=13, priority=2),
    Column(key="load", title="LOAD", width=5, priority=3, right=True),
    Column(key="address", title="ADDRESS", width=11, width_max=22, priority=4),
    Column(key="uptime", title="UP", width=6, priority=8, right=True),
    Column(key="version", title="VERSION", width=7, width_max=10, priority=7),
    Column(key="heard", title="HEARD", width=5, priority=2, right=True),
)


def top_facts(store: Store, now_ms: int) -> list[Fact]:
    """Return the facts of the top line."""
    status, age_ms = store.status, store.age_ms(now_ms)
    if status is None:
        return [Fact(0, [(_link_words(store.link, now_ms), Tone.WARN)])]
    alive, voters = store.voters()
    quorum = Tone.OK if alive == voters else Tone.WARN if store.has_quorum() else Tone.BAD
    up = sum(member.state is MemberState.ALIVE for member in status.members)
    nodes = Tone.OK if up == len(status.members) else Tone.WARN
    old = Tone.BAD if age_ms is None or age_ms >= STALE_MS else Tone.PLAIN
    # Between two answers the age swings from 0 to the refresh time; that is no news.
    age = UNKNOWN if age_ms is None else span(max(1, age_ms / 1_000))
    return [
        Fact(1, [(clean(status.cluster.name), Tone.PLAIN)]),
        Fact(4, [("RO", Tone.INFO)]),
        _leader_fact(status),
        Fact(2, [("quorum ", Tone.MUTED), (f"{alive}/{voters}", quorum)]),
        Fact(3, [("nodes ", Tone.MUTED), (f"{up}/{len(status.members)}", nodes)]),
        Fact(0, [("age ", Tone.MUTED), (age, old)]),
        Fact(5, [("via ", Tone.MUTED), (store.source or UNKNOWN, Tone.PLAIN)]),
    ]


def _leader_fact(status: Status) -> Fact:
    if status.leader is None:
        return Fact(0, [("no leader", Tone.BAD), (f" (term {status.term})", Tone.MUTED)])
    since = _since(status)
    name: Line = [("leader ", Tone.MUTED), (clean(status.leader), Tone.ACCENT)]
    long = f" (term {status.term}{', ' + since if since else ''})"
    return Fact(0, [*name, (long, Tone.MUTED)], [*name, (f" (term {status.term})", Tone.MUTED)])


def banner(store: Store, now_ms: int, glyphs: Glyphs) -> tuple[str, Tone] | None:
    """Return what must not be overlooked, or None when nothing must not."""
    link, age_ms = store.link, store.age_ms(now_ms)
    data = "" if age_ms is None else f"data is {span(age_ms / 1_000)} old"
    if link.phase is LinkPhase.LOST:
        words = [f"{glyphs.bad} DISCONNECTED", data]
        if link.retry_at_ms is not None:
            words.append(f"next attempt in {max(0, link.retry_at_ms - now_ms + 999) // 1_000}s")
        return f" {glyphs.dot} ".join([*filter(None, words), clean(link.reason)]), Tone.BAD
    if store.status is None:
        return None
    if age_ms is not None and age_ms >= STALE_MS:
        words = [f"{glyphs.warn} STALE", data, f"asking {link.host}"]
        return f" {glyphs.dot} ".join(words), Tone.WARN
    if store.has_quorum():
        return None
    alive, voters = store.voters()
    if store.status.term == 0:
        words = [f"{glyphs.warn} FORMING", f"{alive} of {voters} voters answer so far"]
        return f" {glyphs.dot} ".join(words), Tone.WARN
    words = [
        f"{glyphs.bad} QUORUM LOST",
        f"{alive} of {voters} voters answer, {store.status.fabric.quorum} needed",
        "nothing can be written",
    ]
    return f" {glyphs.dot} ".join(words), Tone.BAD


def verdict(store: Store, now_ms: int) -> tuple[Tone, str, str]:
    """Return the state of the whole cluster: tone, one word, one phrase."""
    status, age_ms = store.status, store.age_ms(now_ms)
    if status is None or age_ms is None:
        return Tone.MUTED, "unknown", "no data yet"
    if age_ms >= STALE_MS or store.link.phase is LinkPhase.LOST:
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
    heard = None if member.heard_ms_ago is None else member.heard_ms_ago + age_ms
    facts = [
        ("", member.address, 1),
        ("heard ", ago(heard), 2),
        ("up ", span(member.uptime_s), 3),
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


def cells(row: Row, age_ms: int, placed: Sequence[Placed], glyphs: Glyphs) -> list[Line]:
    """Return a host's cells; `age_ms` is the age of the data, which adds to every silence."""
    stale = age_ms >= STALE_MS
    made = [_cell(row, age_ms, column, glyphs) for column in placed]
    if not stale:
        return made
    return [[(text, Tone.MUTED) for text, _ in cell] for cell in made]


def _cell(row: Row, age_ms: int, placed: Placed, glyphs: Glyphs) -> Line:
    return _CELLS[placed.column.key](row, age_ms, placed.width, glyphs)


def _name(row: Row, _age_ms: int, width: int, glyphs: Glyphs) -> Line:
    return [(shorten(clean(row.member.name), width, glyphs), Tone.PLAIN)]


def _state(row: Row, _age_ms: int, _width: int, glyphs: Glyphs) -> Line:
    return [member_state(row.member.state, glyphs)]


def _role(row: Row, _age_ms: int, _width: int, glyphs: Glyphs) -> Line:
    if row.leads:
        return [(f"{glyphs.leader} leader", Tone.ACCENT)]
    return [("voter", Tone.PLAIN) if row.member.voter else ("edge", Tone.MUTED)]


def _cpu(row: Row, _age_ms: int, width: int, glyphs: Glyphs) -> Line:
    value = row.member.cpu_percent if _known(row) else None
    return _gauge(None if value is None else value / 100, width - 5, glyphs)


def _trend(row: Row, _age_ms: int, width: int, glyphs: Glyphs) -> Line:
    return [(spark(row.cpu, width, glyphs), Tone.INFO)]


def _memory(row: Row, _age_ms: int, _width: int, _glyphs: Glyphs) -> Line:
    used, total = row.member.memory_used_bytes, row.member.memory_total_bytes
    if not _known(row) or used is None or not total:
        return [(UNKNOWN, Tone.MUTED)]
    return [(used_of(used, total), percent_tone(100 * used / total))]


def _load(row: Row, _age_ms: int, _width: int, _glyphs: Glyphs) -> Line:
    load = row.member.load_1m if _known(row) else None
    return [(UNKNOWN, Tone.MUTED) if load is None else (f"{load:.2f}", Tone.PLAIN)]


def _address(row: Row, _age_ms: int, width: int, glyphs: Glyphs) -> Line:
    return [(shorten(clean(row.member.address), width, glyphs), Tone.MUTED)]


def _uptime(row: Row, _age_ms: int, _width: int, _glyphs: Glyphs) -> Line:
    return [(span(row.member.uptime_s if _known(row) else None), Tone.MUTED)]


def _version(row: Row, _age_ms: int, width: int, glyphs: Glyphs) -> Line:
    return [(shorten(clean(row.member.version or UNKNOWN), width, glyphs), Tone.MUTED)]


def _heard(row: Row, age_ms: int, _width: int, _glyphs: Glyphs) -> Line:
    heard = row.member.heard_ms_ago
    words = ago(None if heard is None else heard + age_ms)
    return [(words, Tone.MUTED if _known(row) else Tone.PLAIN)]


def _known(row: Row) -> bool:
    """Whether the figures are of now: those of a silent node are history."""
    return row.member.state is MemberState.ALIVE


_CELLS: Final[dict[str, Callable[[Row, int, int, Glyphs], Line]]] = {
    "name": _name,
    "state": _state,
    "role": _role,
    "cpu": _cpu,
    "trend": _trend,
    "memory": _memory,
    "load": _load,
    "address": _address,
    "uptime": _uptime,
    "version": _version,
    "heard": _heard,
}


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
    since = _since(status)
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
    return [(f"{name} ", Tone.MUTED), *_gauge(share, max(4, min(16, width - 10)), glyphs)]


def _gauge(share: float | None, width: int, glyphs: Glyphs) -> Line:
    """Return a percentage and a bar of `width` columns; coloured where it should not be full."""
    tone = percent_tone(None if share is None else 100 * share)
    number = UNKNOWN.rjust(4) if share is None else percent(100 * share)
    filled, track = bar(share, width, glyphs)
    shade = tone if tone in {Tone.WARN, Tone.BAD} else Tone.OK
    return [(f"{number} ", tone), (filled, shade), (track, Tone.RULE)]


def _since(status: Status) -> str:
    """Return for how long the leader leads, by the answering node's own wall clock."""
    if status.leader_since_at is None:
        return ""
    try:
        now = datetime.fromisoformat(status.at)
        then = datetime.fromisoformat(status.leader_since_at)
        led = now.astimezone(UTC) - then.astimezone(UTC)
    except ValueError:
        return ""
    return span(max(timedelta(), led).total_seconds())


def _link_words(link: Link, now_ms: int) -> str:
    waited = span((now_ms - link.since_ms) / 1_000)
    if link.phase is LinkPhase.LOST:
        return f"no host answers ({waited})"
    words = link.reason or (f"connecting to {link.host}" if link.host else "connecting")
    return f"{clean(words)} ({waited})"
