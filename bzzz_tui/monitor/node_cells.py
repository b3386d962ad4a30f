"""The cells of a node's row: one small function a column. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from bzzz_core.model import MemberState
from bzzz_tui.monitor.times import AsOf
from bzzz_tui.parts import Line, gauge
from bzzz_tui.store import Row
from bzzz_tui.widgets.columns import Placed
from bzzz_tui.wording import (
    UNKNOWN,
    Glyphs,
    Tone,
    ago,
    clean,
    member_state,
    milliseconds,
    minutes,
    percent_tone,
    shorten,
    spark,
    used_of,
)

Cell: TypeAlias = Callable[[Row, int, int, Glyphs], Line]
"""Of a row, the age of the data, the width and the glyphs."""


def cells(row: Row, as_of: AsOf, placed: Sequence[Placed], glyphs: Glyphs) -> list[Line]:
    """Return a node's cells."""
    return [CELLS[each.column.key](row, as_of.age_ms, each.width, glyphs) for each in placed]


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
    return gauge(None if value is None else value / 100, width - 5, glyphs)


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
    return [(minutes(row.uptime_s if _known(row) else None), Tone.MUTED)]


def _version(row: Row, _age_ms: int, width: int, glyphs: Glyphs) -> Line:
    return [(shorten(clean(row.member.version or UNKNOWN), width, glyphs), Tone.MUTED)]


def _heard(row: Row, age_ms: int, _width: int, _glyphs: Glyphs) -> Line:
    return [(heard_words(row, age_ms), Tone.MUTED if _known(row) else Tone.PLAIN)]


def heard_words(row: Row, age_ms: int) -> str:
    """Return for how long a node was silent."""
    heard = row.heard_ms
    return ago(None if heard is None else heard + age_ms)


def _gpus(row: Row, _age_ms: int, _width: int, _glyphs: Glyphs) -> Line:
    count = len(row.member.gpus)
    return [(str(count), Tone.PLAIN if count else Tone.MUTED)]


def _rtt(row: Row, _age_ms: int, _width: int, _glyphs: Glyphs) -> Line:
    return [(milliseconds(row.member.rtt_ms if _known(row) else None), Tone.MUTED)]


def _list(get: Callable[[Row], Sequence[str]]) -> Cell:
    def cell(row: Row, _age_ms: int, width: int, glyphs: Glyphs) -> Line:
        words = ", ".join(clean(each) for each in get(row))
        return [(shorten(words or "-", width, glyphs), Tone.MUTED)]

    return cell


def _known(row: Row) -> bool:
    """Whether the figures are of now: those of a silent node are history."""
    return row.member.state is MemberState.ALIVE


CELLS: Final[dict[str, Cell]] = {
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
    "gpus": _gpus,
    "rtt": _rtt,
    "roles": _list(lambda row: row.member.node_roles),
    "models": _list(lambda row: row.member.models),
    "languages": _list(lambda row: row.member.languages),
}
