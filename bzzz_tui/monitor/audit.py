"""What the answering node wrote into its audit, as a table, newest first."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

import msgspec

from bzzz_core.model import Count, Text
from bzzz_tui.monitor.asked import Asked, Call, asked, document
from bzzz_tui.monitor.document_cells import cells_of, words
from bzzz_tui.monitor.tables import TableSpec, as_of, as_text
from bzzz_tui.monitor.times import moment
from bzzz_tui.parts import Fact, fact_line, text_of
from bzzz_tui.query import Field, Kind
from bzzz_tui.store import Store
from bzzz_tui.widgets.columns import Column
from bzzz_tui.wording import UNKNOWN, Glyphs, Tone, clean

VIEW: Final = "audit"
_ENTRIES: Final = 500
_LINE_MAX: Final = 400
Said = Annotated[str, msgspec.Meta(max_length=4_000)]


class Entry(msgspec.Struct, frozen=True):
    """One entry, as far as this view shows it."""

    seq: Count
    at: Text
    node: Said
    actor: Said
    what: Said
    hash: Said
    trace: Said = ""
    fields: dict[str, Any] = {}

    @property
    def words(self) -> str:
        """Return what stands beside the act."""
        return "  ".join(f"{name}={value}" for name, value in self.fields.items())


class Page(msgspec.Struct, frozen=True):
    """`GET /v1/audit`."""

    node: Text
    entries: tuple[Entry, ...]
    before: Count = 0


class Head(msgspec.Struct, frozen=True):
    """The signed end of the chain."""

    seq: Count
    hash: Said
    at: Text


class HeadPage(msgspec.Struct, frozen=True):
    """`GET /v1/audit/head`."""

    head: Head | None = None


class Verdict(msgspec.Struct, frozen=True):
    """What came of verifying."""

    tone: Tone
    words: str


async def ask(call: Call, store: Store) -> Asked:
    """Ask for the newest entries, and where the chain ends.

    Raises:
        BzzzError: There is no answer, or it says something else.
    """
    del store
    page, head = await asyncio.gather(
        document(call, f"/v1/audit?limit={_ENTRIES}", Page),
        document(call, "/v1/audit/head", HeadPage),
    )
    return rows_of(page, head)


def rows_of(page: Page, head: HeadPage) -> Asked:
    """Return the rows of a page."""
    rows = {str(entry.seq): entry for entry in page.entries}
    return Asked(rows, sorted(rows, key=int, reverse=True), (page, head))


COLUMNS: Final = (
    Column(key="seq", title="ENTRY", width=6, width_max=8, right=True, letter="e"),
    Column(key="at", title="AT UTC", width=14),
    Column(key="what", title="WHAT", width=16, width_max=32),
    Column(key="actor", title="ACTOR", width=12, width_max=40, priority=1, letter="c"),
    Column(key="words", title="DETAILS", width=12, width_max=100, priority=2),
    Column(key="trace", title="TRACE", width=8, width_max=32, priority=4),
    Column(key="hash", title="HASH", width=12, priority=3),
)
FIELDS: Final[tuple[Field[Entry], ...]] = (
    Field(key="seq", kind=Kind.COUNT, get=lambda e: e.seq, aliases=("entry",), help="its number"),
    Field(key="at", get=lambda e: e.at, help="when"),
    Field(key="what", get=lambda e: e.what, help="what was done"),
    Field(key="actor", get=lambda e: e.actor, help="who did it"),
    Field(key="words", get=lambda e: e.words, aliases=("details",), help="what stands beside it"),
    Field(key="trace", get=lambda e: e.trace, help="of the request it belongs to"),
    Field(key="hash", get=lambda e: e.hash, help="which the next entry holds"),
)


def describe(entry: Entry, _age_ms: int) -> list[tuple[str, str]]:
    """Return everything that an entry says."""
    facts = [
        ("entry", str(entry.seq)),
        ("at", entry.at),
        ("node", entry.node),
        ("actor", entry.actor),
        ("what", entry.what),
        *((name, str(value)) for name, value in entry.fields.items()),
        ("trace", entry.trace or "none"),
        ("hash", entry.hash),
    ]
    return [(clean(label), clean(said)) for label, said in facts]


def head_facts(known: tuple[Page, HeadPage], verdict: Verdict | None, *, today: str) -> list[Fact]:
    """Return where the chain ends, and what came of verifying it; `today` as in `AsOf`."""
    page, head = known[0], known[1].head
    facts = [Fact(0, [("chain of ", Tone.MUTED), (clean(page.node), Tone.ACCENT)])]
    if head is None:
        facts.append(Fact(1, [("nothing signed yet", Tone.MUTED)]))
    else:
        facts.append(Fact(1, [("signed up to ", Tone.MUTED), (str(head.seq), Tone.PLAIN)]))
        facts.append(Fact(3, [(moment(head.at, today=today), Tone.MUTED)]))
    if verdict is None:
        facts.append(Fact(2, [("v verifies it", Tone.MUTED)]))
    else:
        facts.append(Fact(0, [(clean(verdict.words), verdict.tone)]))
    return facts


AUDIT: Final[TableSpec[Entry]] = TableSpec(
    view=VIEW,
    noun="entry",
    plural="entries",
    columns=COLUMNS,
    fields=FIELDS,
    rows=lambda store: asked(store, VIEW).rows,
    order=lambda store: asked(store, VIEW).order,
    known=lambda store: asked(store, VIEW).head is not None,
    version=lambda entry: hash(entry.hash),
    cells=cells_of(
        {
            "seq": words(lambda e: str(e.seq)),
            "what": words(lambda e: e.what),
            "actor": words(lambda e: e.actor, Tone.INFO),
            "words": words(lambda e: e.words, Tone.MUTED),
            "trace": words(lambda e: e.trace or "-", Tone.MUTED),
            "hash": words(lambda e: e.hash[:12] or UNKNOWN, Tone.MUTED),
        },
        moments={"at": lambda e: e.at},
    ),
    describe=describe,
    raw=lambda entry: entry,
    name=lambda entry: f"{entry.node}/{entry.seq}",
    empty="nothing was audited yet",
)


def text(store: Store, now_ms: int, query: str, glyphs: Glyphs) -> list[str]:
    """Return where the chain ends and its newest entries as lines, for `--plain`.

    Raises:
        QueryError: The query is none.
    """
    known: tuple[Page, HeadPage] | None = asked(store, VIEW).head
    table = as_text(AUDIT, store, now_ms, query, glyphs)
    if known is None:
        return table
    verdict = Verdict(Tone.MUTED, "bzzz-agent audit verify verifies it")
    facts = head_facts(known, verdict, today=as_of(store, now_ms).today)
    return [text_of(fact_line(facts, glyphs.dot, _LINE_MAX)), "", *table]


class _Fault(msgspec.Struct, frozen=True):
    kind: Said
    seq: int
    words: Said


class _Confirmed(msgspec.Struct, frozen=True):
    peer: Said
    seq: int


class _Report(msgspec.Struct, frozen=True):
    entries: Count
    last: int
    fault: _Fault | None
    confirmed: tuple[_Confirmed, ...] = ()


class _Peer(msgspec.Struct, frozen=True):
    peer: Said
    answered: bool
    against: tuple[Any, ...] = ()


class _Verified(msgspec.Struct, frozen=True):
    ok: bool
    report: _Report | None
    why: Said = ""
    peers: tuple[_Peer, ...] = ()


def verdict_of(answer: Any) -> Verdict:
    """Return in words what came of verifying.

    Raises:
        msgspec.ValidationError: The answer says something else.
    """
    found = msgspec.convert(answer, _Verified, strict=False)
    report = found.report
    if report is None:
        return Verdict(Tone.BAD, f"could not be verified: {found.why}")
    if report.fault is not None:
        fault = report.fault
        return Verdict(Tone.BAD, f"NOT WHOLE: {fault.kind} at entry {fault.seq}: {fault.words}")
    against = [peer.peer for peer in found.peers if peer.against]
    if against or not found.ok:
        return Verdict(Tone.BAD, f"NOT WHOLE: {', '.join(against)} hold something else")
    if not report.entries:
        return Verdict(Tone.MUTED, "nothing was audited yet, so there is nothing to verify")
    confirmed = len({each.peer for each in report.confirmed})
    voters = "1 voter" if confirmed == 1 else f"{confirmed} voters"
    entries = "its only entry" if report.entries == 1 else f"{report.entries} entries"
    return Verdict(Tone.OK, f"whole: {entries} up to {report.last}, confirmed by {voters}")
