"""What is wrong, as a table: rules that hold now, the worst first, each with what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from bzzz_core.api.event_documents import ALERTS as COLLECTION
from bzzz_core.api.event_documents import AlertDocument
from bzzz_tui.monitor.document_cells import Cell, cells_of, words
from bzzz_tui.monitor.tables import TableSpec, as_text
from bzzz_tui.monitor.times import moment
from bzzz_tui.parts import Line, Part
from bzzz_tui.query import Field
from bzzz_tui.store import Store
from bzzz_tui.widgets.columns import Column
from bzzz_tui.wording import UNKNOWN, Glyphs, Tone, clean

_RANK: Final = {"critical": 0, "warning": 1, "info": 2}
_TONES: Final = {"critical": Tone.BAD, "warning": Tone.WARN, "info": Tone.INFO}

COLUMNS: Final = (
    Column(key="severity", title="SEVERITY", width=10),
    Column(key="subject", title="SUBJECT", width=8, width_max=20, letter="u"),
    Column(key="words", title="WHAT", width=20, width_max=90),
    Column(key="since", title="SINCE UTC", width=14, priority=1, letter="i"),
    Column(key="rule", title="RULE", width=12, width_max=28, priority=3),
    Column(key="node", title="FOUND BY", width=8, width_max=20, priority=4),
)
FIELDS: Final[tuple[Field[AlertDocument], ...]] = (
    Field(
        key="severity",
        get=lambda alert: alert.severity,
        words={name: (name,) for name in _RANK},
        help="critical, warning, info",
    ),
    Field(key="subject", get=lambda alert: alert.subject, help="what it is about"),
    Field(key="words", get=lambda alert: alert.words, help="what was found"),
    Field(key="since", get=lambda alert: alert.since_at, help="since when"),
    Field(key="rule", get=lambda alert: alert.rule, help="its name"),
    Field(key="node", get=lambda alert: alert.node, help="who found it"),
)


def glyph_of(severity: str, glyphs: Glyphs) -> str:
    """Return the symbol of a severity."""
    return {"critical": glyphs.bad, "warning": glyphs.warn}.get(severity, glyphs.dot)


def _severity(alert: AlertDocument, _width: int, glyphs: Glyphs) -> Line:
    glyph, tone = glyph_of(alert.severity, glyphs), _TONES.get(alert.severity, Tone.PLAIN)
    return [(f"{glyph} {alert.severity}", tone)]


CELLS: Final[dict[str, Cell[AlertDocument]]] = {
    "severity": _severity,
    "subject": words(lambda alert: alert.subject, Tone.ACCENT),
    "words": words(lambda alert: alert.words),
    "rule": words(lambda alert: alert.rule, Tone.MUTED),
    "node": words(lambda alert: alert.node, Tone.MUTED),
}


def order(store: Store) -> list[str]:
    """Return the ids of alerts: the worst first, then the newest."""
    alerts = sorted(store.alerts.values(), key=lambda alert: alert.since_at, reverse=True)
    return [a.id for a in sorted(alerts, key=lambda alert: _RANK.get(alert.severity, 9))]


def counts(store: Store, glyphs: Glyphs) -> list[Part]:
    """Return how many alerts there are of each severity, the worst first; empty if not known."""
    if not told(store):
        return []
    found: Counter[str] = Counter(alert.severity for alert in store.alerts.values())
    parts = [
        (f"{glyph_of(name, glyphs)} {found[name]} {name}  ", _TONES[name])
        for name in _RANK
        if found[name]
    ]
    return parts or [(f"{glyphs.ok} no alerts  ", Tone.OK)]


def newest(store: Store, count: int, glyphs: Glyphs) -> list[Line]:
    """Return the newest alerts, one a line, the newest first."""
    alerts = sorted(store.alerts.values(), key=lambda alert: alert.since_at, reverse=True)
    today = store.head.at if store.head is not None else None
    return [
        [
            (f" {moment(alert.since_at, today=today):<14} ", Tone.MUTED),
            (f"{glyph_of(alert.severity, glyphs)} ", _TONES.get(alert.severity, Tone.PLAIN)),
            (f"{clean(alert.subject)}  ", Tone.ACCENT),
            (clean(alert.words), Tone.PLAIN),
        ]
        for alert in alerts[:count]
    ]


def describe(alert: AlertDocument, _age_ms: int) -> list[tuple[str, str]]:
    """Return everything that is known of an alert."""
    facts = [
        ("severity", alert.severity),
        ("subject", alert.subject),
        ("what", alert.words),
        ("next step", alert.next_step),
        ("since", f"{moment(alert.since_at)} UTC"),
        ("rule", alert.rule),
        ("found by", alert.node),
        ("value", UNKNOWN if alert.value is None else f"{alert.value:g}"),
        ("threshold", UNKNOWN if alert.threshold is None else f"{alert.threshold:g}"),
    ]
    return [(label, clean(said)) for label, said in facts]


def _rows(store: Store) -> Mapping[str, AlertDocument]:
    return store.alerts


def told(store: Store) -> bool:
    """Return whether the answering node tells of alerts at all."""
    return COLLECTION in store.known


ALERTS: Final[TableSpec[AlertDocument]] = TableSpec(
    view="alerts",
    noun="alert",
    columns=COLUMNS,
    fields=FIELDS,
    rows=_rows,
    order=order,
    known=told,
    version=hash,
    cells=cells_of(CELLS, moments={"since": lambda alert: alert.since_at}),
    describe=describe,
    raw=lambda alert: alert,
    name=lambda alert: alert.id,
    empty="nothing is wrong, as far as the answering node knows",
)


def text(store: Store, now_ms: int, query: str, glyphs: Glyphs) -> list[str]:
    """Return the table as lines, for `--plain`.

    Raises:
        QueryError: The query is none.
    """
    if not told(store):
        return ["alerts are not known: the answering agent does not tell of them"]
    return as_text(ALERTS, store, now_ms, query, glyphs)
