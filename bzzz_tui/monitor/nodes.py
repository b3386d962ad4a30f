"""The nodes of a cluster as a table: columns, fields, everything that is known of one.

Figures of a node that is silent are history: they are not shown as if they were of now, and no
filter takes them for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from bzzz_core.model import MemberState
from bzzz_tui.monitor.node_cells import cells, heard_words
from bzzz_tui.monitor.tables import TableSpec, as_text
from bzzz_tui.query import Field, Kind
from bzzz_tui.store import Row, Store
from bzzz_tui.widgets.columns import Column
from bzzz_tui.wording import UNKNOWN, Glyphs, clean, milliseconds, percent, size, span, used_of

COLUMNS: Final = (
    Column(key="name", title="NODE", width=8, width_max=24),
    Column(key="state", title="STATE", width=9, letter="s"),
    Column(key="role", title="ROLE", width=8),
    Column(key="cpu", title="CPU", width=10, width_max=16, priority=1, bare=5),
    Column(key="memory", title="MEMORY", width=13, priority=2),
    Column(key="load", title="LOAD", width=6, priority=3, right=True),
    Column(key="gpus", title="GPUS", width=5, priority=5, right=True),
    Column(key="rtt", title="RTT", width=7, priority=4, right=True, letter="t"),
    Column(key="trend", title="TREND", width=8, width_max=20, priority=12, picture=True),
    Column(key="address", title="ADDRESS", width=11, width_max=24, priority=8),
    Column(key="roles", title="ROLES", width=11, width_max=24, priority=11, letter="o"),
    Column(key="models", title="MODELS", width=6, width_max=24, priority=10),
    Column(key="languages", title="LANGUAGES", width=9, width_max=20, priority=13, letter="L"),
    Column(key="uptime", title="UP", width=6, priority=7, right=True),
    Column(key="version", title="VERSION", width=8, width_max=12, priority=6),
    Column(key="heard", title="HEARD", width=6, priority=2, right=True),
)


def _now(get: Callable[[Row], float | None]) -> Callable[[Row], float | None]:
    """Return a figure of a node that is alive; of any other one it is not known."""
    return lambda row: get(row) if row.member.state is MemberState.ALIVE else None


def _used_percent(row: Row) -> float | None:
    used, total = row.member.memory_used_bytes, row.member.memory_total_bytes
    return None if used is None or not total else 100 * used / total


def _role(row: Row) -> str:
    return "leader" if row.leads else "voter" if row.member.voter else "edge"


def _seconds_as_ms(seconds: int | None) -> int | None:
    return None if seconds is None else 1_000 * seconds


FIELDS: Final[tuple[Field[Row], ...]] = (
    Field(key="name", get=lambda row: row.member.name, aliases=("node",), help="its name"),
    Field(
        key="state",
        get=lambda row: row.member.state.value,
        words={
            "alive": ("alive",),
            "suspect": ("suspect",),
            "dead": ("dead",),
            "left": ("left",),
            "up": ("alive",),
            "down": ("dead", "suspect"),
        },
        help="alive, suspect, dead, left; up, down",
    ),
    Field(
        key="role",
        get=_role,
        words={
            "leader": ("leader",),
            "voter": ("voter", "leader"),
            "edge": ("edge",),
        },
        help="leader, voter, edge; a leader votes too",
    ),
    Field(
        key="cpu",
        kind=Kind.PERCENT,
        get=_now(lambda row: row.member.cpu_percent),
        help="percent of its processors",
    ),
    Field(
        key="memory",
        kind=Kind.BYTES,
        get=_now(lambda row: row.member.memory_used_bytes),
        share=_now(_used_percent),
        aliases=("mem",),
        help="used: a size, or a percentage",
    ),
    Field(
        key="load",
        kind=Kind.COUNT,
        get=_now(lambda row: row.member.load_1m),
        help="of the last minute",
    ),
    Field(
        key="gpus",
        kind=Kind.COUNT,
        get=lambda row: len(row.member.gpus),
        aliases=("gpu",),
        help="how many graphics processors",
    ),
    Field(
        key="rtt",
        kind=Kind.MS,
        get=_now(lambda row: row.member.rtt_ms),
        help="time there and back",
    ),
    Field(key="address", get=lambda row: row.member.address, help="where others reach it"),
    Field(key="roles", get=lambda row: row.member.node_roles, help="the operator's choice"),
    Field(key="models", get=lambda row: row.member.models, aliases=("model",), help="it can run"),
    Field(key="languages", get=lambda row: row.member.languages, help="it says it knows"),
    Field(
        key="uptime",
        kind=Kind.MS,
        get=_now(lambda row: _seconds_as_ms(row.uptime_s)),
        aliases=("up",),
        help="since its agent started",
    ),
    Field(key="version", get=lambda row: row.member.version, help="of its agent"),
    Field(
        key="heard",
        kind=Kind.MS,
        get=lambda row: row.heard_ms,
        help="how long ago it was heard last",
    ),
    Field(
        key="cpus",
        kind=Kind.COUNT,
        get=lambda row: row.member.cpu_count,
        help="how many processors",
    ),
    Field(key="id", get=lambda row: row.member.node_id, help="its node id"),
)


def describe(row: Row, age_ms: int) -> list[tuple[str, str]]:
    """Return everything that is known of a node."""
    m = row.member
    gpus = [
        (f"GPU {n}", ", ".join(f"{key} {value}" for key, value in _facts_of(gpu)))
        for n, gpu in enumerate(m.gpus)
    ]
    facts = [
        ("name", m.name),
        ("node id", m.node_id),
        ("state", m.state.value),
        ("role", _role(row)),
        ("votes", "yes" if m.voter else "no"),
        ("address", m.address),
        ("heard", heard_words(row, age_ms)),
        ("up", span(row.uptime_s)),
        ("version", m.version or UNKNOWN),
        ("CPU", f"{percent(m.cpu_percent).strip()} of {m.cpu_count or UNKNOWN} processors"),
        ("load", UNKNOWN if m.load_1m is None else f"{m.load_1m:.2f}"),
        ("memory", used_of(m.memory_used_bytes, m.memory_total_bytes)),
        ("memory left", size(_left(row))),
        ("there and back", milliseconds(m.rtt_ms)),
        ("broker", m.broker or UNKNOWN),
        ("roles", ", ".join(m.node_roles) or "none given"),
        ("models", ", ".join(m.models) or "none"),
        ("languages", ", ".join(m.languages) or "none"),
        ("GPUs", str(len(m.gpus))),
        *gpus,
    ]
    return [(label, clean(words)) for label, words in facts]


def _left(row: Row) -> int | None:
    used, total = row.member.memory_used_bytes, row.member.memory_total_bytes
    return None if used is None or total is None else max(0, total - used)


def _facts_of(document: object) -> list[tuple[str, object]]:
    names: Sequence[str] = getattr(document, "__struct_fields__", ())
    values = [(name.replace("_", " "), getattr(document, name)) for name in names]
    return [(name, value) for name, value in values if value is not None]


NODES: Final[TableSpec[Row]] = TableSpec(
    view="nodes",
    noun="node",
    columns=COLUMNS,
    fields=FIELDS,
    rows=lambda store: store.rows,
    order=lambda store: store.order,
    version=lambda row: row.version,
    cells=cells,
    describe=describe,
    raw=lambda row: row.member,
    name=lambda row: row.member.name,
    empty="waiting for the first answer",
)


def text(store: Store, now_ms: int, query: str, glyphs: Glyphs) -> list[str]:
    """Return the table as lines, for `--plain`.

    Raises:
        QueryError: The query is none.
    """
    return as_text(NODES, store, now_ms, query, glyphs)
