"""Everything about one node, as lines: facts, trend, checks, alerts, what happened to it. Pure."""

from __future__ import annotations

import textwrap
from itertools import zip_longest
from typing import Final, TypeAlias

from bzzz_core.api.event_documents import CheckDocument
from bzzz_core.model import MemberState
from bzzz_tui.monitor.alerts import glyph_of
from bzzz_tui.monitor.checks import state_part
from bzzz_tui.monitor.nodes import describe
from bzzz_tui.parts import Line, Part, fit_line, gauge, text_of
from bzzz_tui.store import Row, Store
from bzzz_tui.wording import (
    UNKNOWN,
    Glyphs,
    Tone,
    clean,
    member_state,
    percent_tone,
    spark,
    tone_glyph,
    used_of,
)

_WIDE: Final = 100
"""From this width on facts stand in two columns."""
_LABEL: Final = 16
_EVENTS: Final = 20
_FOUND_AT: Final = 31
"""Column at which stands what a check found."""
_SEVERITY: Final = {"critical": Tone.BAD, "warning": Tone.WARN}


Checks: TypeAlias = tuple[CheckDocument, ...] | str
"""What a node says of its health, or why that is not known."""


def row_named(store: Store, name: str) -> Row | None:
    """Return a node by its name or id."""
    known = store.rows.get(name)
    return known or next((r for r in store.rows.values() if r.member.name == name), None)


def lines(
    store: Store,
    name: str,
    now_ms: int,
    width: int,
    glyphs: Glyphs,
    *,
    checks: Checks | None = None,
) -> list[Line]:
    """Return the lines of a node.

    Args:
        store: What is known.
        name: The node's name or id.
        now_ms: The time.
        width: Of the terminal.
        glyphs: The symbols in use.
        checks: What the node says of its health, or why that is not known; None: nobody asks it.
    """
    row = row_named(store, name)
    if row is None:
        return [[(f" {clean(name)} is not among the nodes", Tone.WARN)]]
    age_ms = store.age_ms(now_ms) or 0
    made: list[Line] = [
        _state(row, glyphs),
        [],
        *_load(row, width, glyphs),
        *_alerts(store, row, width, glyphs),
        [],
        *_facts(row, age_ms, width),
    ]
    made += [] if checks is None else _checks(checks, width, glyphs)
    made += _events(store, row, glyphs)
    return made


def _title(words: str) -> Line:
    return [(f" {words}", Tone.MUTED)]


def _state(row: Row, glyphs: Glyphs) -> Line:
    word, tone = member_state(row.member.state, glyphs)
    line: list[Part] = [(" ", Tone.PLAIN), (f"{clean(row.member.name)}  ", Tone.ACCENT)]
    line.append((word, tone))
    if row.leads:
        line.append((f"  {glyphs.leader} leads", Tone.ACCENT))
    elif row.member.voter:
        line.append(("  votes", Tone.PLAIN))
    return line


def _load(row: Row, width: int, glyphs: Glyphs) -> list[Line]:
    member, alive = row.member, row.member.state is MemberState.ALIVE
    room = max(8, min(40, width - 40))
    cpu = member.cpu_percent if alive else None
    used, total = member.memory_used_bytes, member.memory_total_bytes
    known = alive and used is not None and bool(total)
    share = used / total if known and used is not None and total else None
    memory = used_of(used, total) if known else UNKNOWN
    return [
        [
            (" CPU     ", Tone.MUTED),
            *gauge(None if cpu is None else cpu / 100, room, glyphs),
            (f"  {member.cpu_count or UNKNOWN} processors", Tone.MUTED),
        ],
        [
            (" memory  ", Tone.MUTED),
            *gauge(share, room, glyphs),
            (f"  {memory}", percent_tone(None if share is None else 100 * share)),
        ],
        [
            (" trend   ", Tone.MUTED),
            (spark(row.cpu, min(room + 5, len(row.cpu) or 1), glyphs) or UNKNOWN, Tone.INFO),
            ("  CPU, one value each 15 s", Tone.MUTED),
        ],
    ]


def _facts(row: Row, age_ms: int, width: int) -> list[Line]:
    left_out = {"name", "state", "CPU"}
    said = [fact for fact in describe(row, age_ms) if fact[0] not in left_out]
    if width < _WIDE:
        return [line for fact in said for line in _fact(fact, width)]
    each = width // 2
    room = each - _LABEL - 2
    short = [_fact(fact, width)[0] for fact in said if len(fact[1]) <= room]
    long = [line for fact in said if len(fact[1]) > room for line in _fact(fact, width)]
    half = (len(short) + 1) // 2
    beside = zip_longest(short[:half], short[half:])
    return [*([*fit_line(one, each), *(other or [])] for one, other in beside), *long]


def _fact(fact: tuple[str, str], width: int) -> list[Line]:
    label, words = fact
    first, *more = _wrapped(words, width, _LABEL + 1)
    return [
        [(f" {label:<{_LABEL}}", Tone.MUTED), (first, Tone.PLAIN)],
        *([(" " * (_LABEL + 1) + each, Tone.PLAIN)] for each in more),
    ]


def _alerts(store: Store, row: Row, width: int, glyphs: Glyphs) -> list[Line]:
    about = [
        alert for alert in store.alerts.values() if row.member.name in {alert.subject, alert.node}
    ]
    if not about:
        return []
    made: list[Line] = [[], _title("ALERTS")]
    for alert in about:
        tone = _SEVERITY.get(alert.severity, Tone.INFO)
        said = [(each, Tone.PLAIN) for each in _wrapped(alert.words, width, 3)]
        said += [(each, Tone.INFO) for each in _wrapped(f"next: {alert.next_step}", width, 3)]
        glyph = f" {glyph_of(alert.severity, glyphs)} "
        made += [[(glyph if not n else "   ", tone), part] for n, part in enumerate(said)]
    return made


def _checks(checks: Checks, width: int, glyphs: Glyphs) -> list[Line]:
    made: list[Line] = [[], _title("CHECKS")]
    if isinstance(checks, str):
        return [*made, *([(f"   {each}", Tone.MUTED)] for each in _wrapped(checks, width, 3))]
    for check in checks:
        word, tone = state_part(check, glyphs)
        found, *more = _wrapped(check.words, width, _FOUND_AT)
        made.append(
            [
                (f" {word:<11}", tone),
                (f"{clean(check.name)[:17]:<18} ", Tone.PLAIN),
                (found, Tone.MUTED),
            ]
        )
        made += [[(" " * _FOUND_AT + each, Tone.MUTED)] for each in more]
    return made


def _wrapped(words: str, width: int, indent: int) -> list[str]:
    """Return words in lines that fit between an indent and the edge; in one if there is no edge."""
    room = max(20, width - indent - 1) if width else len(words) + 1
    return textwrap.wrap(clean(words), room, break_on_hyphens=False) or [""]


def _events(store: Store, row: Row, glyphs: Glyphs) -> list[Line]:
    name = row.member.name
    about = [event for event in store.events if name in event.text.split()][-_EVENTS:]
    if not about:
        return []
    made: list[Line] = [[], _title("WHAT HAPPENED, TIMES IN UTC")]
    made += [
        [
            (f" {event.at:<8} ", Tone.MUTED),
            (f"{tone_glyph(event.tone, glyphs)} ", event.tone),
            (clean(event.text), Tone.PLAIN),
        ]
        for event in reversed(about)
    ]
    return made


def text(store: Store, now_ms: int, query: str, glyphs: Glyphs) -> list[str]:
    """Return everything about a node, named by `query`, for `--plain`; else about the first."""
    name = query or next((store.rows[node].member.name for node in store.order), "")
    return [text_of(line).rstrip() for line in lines(store, name, now_ms, 0, glyphs)]
