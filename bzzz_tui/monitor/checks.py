"""The health checks of the answering node, as a table: what is not well stands first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bzzz_core.api.event_documents import CHECKS as COLLECTION
from bzzz_core.api.event_documents import CheckDocument
from bzzz_tui.monitor.document_cells import Cell, cells_of, words
from bzzz_tui.monitor.tables import TableSpec, as_text
from bzzz_tui.monitor.times import moment
from bzzz_tui.parts import Line
from bzzz_tui.query import Field, Kind
from bzzz_tui.store import Store
from bzzz_tui.widgets.columns import Column
from bzzz_tui.wording import UNKNOWN, Glyphs, Tone, clean, milliseconds

_RANK: Final = {"critical": 0, "warning": 1, "unknown": 2, "ok": 3}
_TONES: Final = {"critical": Tone.BAD, "warning": Tone.WARN, "unknown": Tone.MUTED, "ok": Tone.OK}

COLUMNS: Final = (
    Column(key="name", title="CHECK", width=12, width_max=24),
    Column(key="state", title="STATE", width=10),
    Column(key="words", title="FOUND", width=20, width_max=100),
    Column(key="failures", title="IN A ROW", width=8, priority=2, right=True),
    Column(key="took", title="TOOK", width=7, priority=3, right=True),
    Column(key="checked", title="AT UTC", width=14, priority=1, letter="a"),
    Column(key="critical", title="ENDS AGENT", width=10, priority=4, letter="e"),
)
FIELDS: Final[tuple[Field[CheckDocument], ...]] = (
    Field(key="name", get=lambda check: check.name, help="its name"),
    Field(
        key="state",
        get=lambda check: check.state,
        words={name: (name,) for name in _RANK},
        help="ok, warning, critical, unknown",
    ),
    Field(key="words", get=lambda check: check.words, aliases=("found",), help="what was found"),
    Field(
        key="failures",
        kind=Kind.COUNT,
        get=lambda check: check.failures,
        help="times in a row that it was not well",
    ),
    Field(key="took", kind=Kind.MS, get=lambda check: check.took_ms, help="how long it took"),
    Field(key="checked", get=lambda check: check.checked_at, help="when it was made last"),
    Field(
        key="critical",
        get=lambda check: "yes" if check.critical else "no",
        help="whether the agent ends if it stays critical",
    ),
)


def glyph_of(state: str, glyphs: Glyphs) -> str:
    """Return the symbol of a state."""
    by_state = {"ok": glyphs.ok, "warning": glyphs.warn, "critical": glyphs.bad}
    return by_state.get(state, glyphs.gone)


def state_part(check: CheckDocument, glyphs: Glyphs) -> tuple[str, Tone]:
    """Return the state with its symbol."""
    return f"{glyph_of(check.state, glyphs)} {check.state}", _TONES.get(check.state, Tone.PLAIN)


def _state(check: CheckDocument, _width: int, glyphs: Glyphs) -> Line:
    return [state_part(check, glyphs)]


CELLS: Final[dict[str, Cell[CheckDocument]]] = {
    "name": words(lambda check: check.name),
    "state": _state,
    "words": words(lambda check: check.words),
    "failures": words(lambda check: str(check.failures) if check.failures else "-", Tone.MUTED),
    "took": words(lambda check: milliseconds(check.took_ms), Tone.MUTED),
    "critical": words(lambda check: "yes" if check.critical else "no", Tone.MUTED),
}


def order(store: Store) -> list[str]:
    """Return the names of checks: what is not well first, then by name."""
    return sorted(store.checks, key=lambda name: (_RANK.get(store.checks[name].state, 2), name))


def describe(check: CheckDocument, _age_ms: int) -> list[tuple[str, str]]:
    """Return everything that is known of a check."""
    facts = [
        ("check", check.name),
        ("state", check.state),
        ("found", check.words),
        ("in a row", f"{check.failures} times not well"),
        ("made at", f"{moment(check.checked_at)} UTC" if check.checked_at else UNKNOWN),
        ("took", milliseconds(check.took_ms)),
        ("ends agent", "yes, if it stays critical" if check.critical else "no"),
    ]
    return [(label, clean(said)) for label, said in facts]


def _rows(store: Store) -> Mapping[str, CheckDocument]:
    return store.checks


def told(store: Store) -> bool:
    """Return whether the answering node tells of its checks at all."""
    return COLLECTION in store.known


CHECKS: Final[TableSpec[CheckDocument]] = TableSpec(
    view="checks",
    noun="check",
    columns=COLUMNS,
    fields=FIELDS,
    rows=_rows,
    order=order,
    known=told,
    version=hash,
    cells=cells_of(CELLS, moments={"checked": lambda check: check.checked_at}),
    describe=describe,
    raw=lambda check: check,
    name=lambda check: check.name,
    empty="no check is known yet",
)


def text(store: Store, now_ms: int, query: str, glyphs: Glyphs) -> list[str]:
    """Return the table as lines, for `--plain`.

    Raises:
        QueryError: The query is none.
    """
    if not told(store):
        return ["health checks are not known: the answering agent does not tell of them"]
    return as_text(CHECKS, store, now_ms, query, glyphs)
