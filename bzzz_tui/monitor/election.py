"""Leaderships as a table, newest first: who led, since when, how it came to that, who voted how."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bzzz_core.leader_documents import HistoryDocument, LeaderDocument, LeadershipDocument
from bzzz_tui.monitor.asked import Asked, Call, asked, document
from bzzz_tui.monitor.document_cells import Cell, cells_of, words
from bzzz_tui.monitor.tables import TableSpec, as_text
from bzzz_tui.monitor.times import moment, seconds_between
from bzzz_tui.parts import Fact, Line, Part, fact_line, text_of
from bzzz_tui.query import Field, Kind
from bzzz_tui.store import Store
from bzzz_tui.widgets.columns import Column
from bzzz_tui.wording import UNKNOWN, Glyphs, Tone, clean, milliseconds, span

VIEW: Final = "election"
_LINE_MAX: Final = 400


@dataclass(frozen=True, slots=True)
class Story:
    """One leadership, as of the moment it was asked for."""

    document: LeadershipDocument
    lasts: bool
    """It is the present one."""
    now: str
    """The answering node's time."""

    @property
    def seconds(self) -> float | None:
        """Return how long it lasted, or lasts by now."""
        end = self.now if self.lasts else self.document.ended_at
        return seconds_between(self.document.began_at, end)

    @property
    def votes(self) -> tuple[int, int]:
        """Return (ballots given to the winner, ballots)."""
        ballots = self.document.ballots
        return sum(ballot.given for ballot in ballots), len(ballots)


@dataclass(frozen=True, slots=True)
class Present:
    """What is known besides the leaderships."""

    leader: LeaderDocument
    history: HistoryDocument
    now: str = ""
    """The answering node's time."""


async def ask(call: Call, store: Store) -> Asked:
    """Ask who leads, and who led.

    Raises:
        BzzzError: There is no answer, or it says something else.
    """
    leader, history = await asyncio.gather(
        document(call, "/v1/leader", LeaderDocument),
        document(call, "/v1/leader/history", HistoryDocument),
    )
    return rows_of(leader, history, "" if store.status is None else store.status.at)


def rows_of(leader: LeaderDocument, history: HistoryDocument, now: str) -> Asked:
    """Return the rows that follow from two answers; `now` is the answering node's time."""
    newest = max((story.term for story in history.leaderships), default=0)
    rows = {
        str(story.term): Story(
            story,
            lasts=story.term == newest and not story.ended_at and leader.leader is not None,
            now=now,
        )
        for story in history.leaderships
    }
    order = sorted(rows, key=int, reverse=True)
    return Asked(rows, order, Present(leader, history, now))


COLUMNS: Final = (
    Column(key="term", title="TERM", width=5, right=True),
    Column(key="leader", title="LEADER", width=8, width_max=20),
    Column(key="began", title="BEGAN UTC", width=14, letter="b"),
    Column(key="lasted", title="LASTED", width=7, priority=1, right=True, letter="a"),
    Column(key="took", title="TOOK", width=7, priority=3, right=True, letter="o"),
    Column(key="votes", title="VOTES", width=6, priority=2, letter="v"),
    Column(key="cause", title="BECAUSE", width=12, width_max=60, letter="u"),
    Column(key="end", title="END", width=10, width_max=30, priority=4, letter="e"),
)
FIELDS: Final[tuple[Field[Story], ...]] = (
    Field(key="term", kind=Kind.COUNT, get=lambda s: s.document.term, help="its number"),
    Field(key="leader", get=lambda s: s.document.leader, help="who led"),
    Field(key="began", get=lambda s: s.document.began_at, help="since when"),
    Field(
        key="lasted",
        kind=Kind.MS,
        get=lambda s: None if s.seconds is None else 1_000 * s.seconds,
        help="how long",
    ),
    Field(key="took", kind=Kind.MS, get=lambda s: s.document.took_ms, help="the election"),
    Field(key="votes", kind=Kind.COUNT, get=lambda s: s.votes[0], help="given to the winner"),
    Field(key="cause", get=lambda s: f"{s.document.cause} {s.document.words}", help="why"),
    Field(key="end", get=lambda s: s.document.end, help="how it ended"),
)


def _leader(story: Story, width: int, glyphs: Glyphs) -> Line:
    if story.lasts:
        return [(f"{glyphs.leader} {clean(story.document.leader)}"[:width], Tone.ACCENT)]
    return [(clean(story.document.leader)[:width], Tone.PLAIN)]


def _votes(story: Story, _width: int, _glyphs: Glyphs) -> Line:
    given, all_ = story.votes
    return [(f"{given} of {all_}" if all_ else UNKNOWN, Tone.PLAIN if all_ else Tone.MUTED)]


CELLS: Final[dict[str, Cell[Story]]] = {
    "term": words(lambda s: str(s.document.term)),
    "leader": _leader,
    "lasted": words(lambda s: span(s.seconds)),
    "took": words(lambda s: milliseconds(s.document.took_ms), Tone.MUTED),
    "votes": _votes,
    "cause": words(lambda s: s.document.words or s.document.cause),
    "end": words(lambda s: "leads now" if s.lasts else s.document.end or UNKNOWN, Tone.MUTED),
}


def describe(story: Story, _age_ms: int) -> list[tuple[str, str]]:
    """Return everything that is known of a leadership: who stood, who voted how and why."""
    told = story.document
    facts = [
        ("term", str(told.term)),
        ("leader", told.leader),
        ("began", f"{moment(told.began_at)} UTC"),
        ("lasted", span(story.seconds) + (", leads now" if story.lasts else "")),
        ("because", told.words or told.cause),
        ("ended", "not yet" if story.lasts else told.end or UNKNOWN),
        ("before", told.predecessor or "nobody"),
        ("election", f"took {milliseconds(told.took_ms)}"),
        ("token", str(told.token)),
        *((f"{c.name} stood", f"score {c.score:.3f}") for c in told.candidates),
        *(
            (f"{b.voter}", ("gave its vote" if b.given else "refused") + _why(b.reason))
            for b in told.ballots
        ),
    ]
    return [(clean(label), clean(said)) for label, said in facts]


def _why(reason: str) -> str:
    return f": {reason}" if reason else ""


def story_parts(story: Story) -> list[Part]:
    """Return how a leadership came about and how the voters stood to it, in full sentences."""
    told = story.document
    why = told.words or told.cause or "for a reason that is not known"
    ended = "" if story.lasts else f"; ended: {told.end or UNKNOWN}"
    votes = ", ".join(
        f"{b.voter} {'gave its vote' if b.given else 'refused'}{_why(b.reason)}"
        for b in told.ballots
    )
    parts = [(clean(f"term {told.term}: {why}{ended}"), Tone.PLAIN)]
    return [*parts, (clean(votes), Tone.MUTED)] if votes else parts


def now_facts(present: Present) -> list[Fact]:
    """Return who leads now, and by which rules, as facts of one line."""
    leader = present.leader
    who: Line = [("no leader", Tone.BAD)]
    if leader.leader is not None:
        who = [("leader ", Tone.MUTED), (clean(leader.leader), Tone.ACCENT)]
    waits = [("waits for an operator", Tone.WARN)] if leader.waits_for_operator else []
    ignored = [f"ignores {clean(note.node)}" for note in leader.quarantined]
    return [
        Fact(0, who),
        Fact(1, [("term ", Tone.MUTED), (str(leader.term), Tone.PLAIN)]),
        Fact(2, [("serving" if leader.serving else "not serving yet", Tone.PLAIN)]),
        Fact(3, [("token ", Tone.MUTED), (str(leader.token), Tone.PLAIN)]),
        Fact(2, [(f"{leader.majority} of {len(leader.voters)} make a majority", Tone.PLAIN)]),
        Fact(4, [("failover ", Tone.MUTED), (clean(leader.failover), Tone.PLAIN)]),
        Fact(5, [("without quorum ", Tone.MUTED), (clean(leader.without_quorum), Tone.PLAIN)]),
        *([Fact(0, waits)] if waits else []),
        *(Fact(1, [(each, Tone.WARN)]) for each in ignored),
    ]


def decision_lines(present: Present, count: int) -> list[Line]:
    """Return what the answering node voted lately, newest last."""
    history = present.history
    lines: list[Line] = []
    for each in history.decisions[-count:] if count > 0 else ():
        verb = "gave its vote to" if each.given else "refused"
        lines.append(
            [
                (f" {moment(each.at, today=present.now):<14} ", Tone.MUTED),
                (f"term {each.term:<4} ", Tone.MUTED),
                (f"{verb} {clean(each.candidate)}", Tone.OK if each.given else Tone.WARN),
                (clean(_why(each.reason)), Tone.PLAIN),
            ]
        )
    return lines


def _raw(story: Story) -> Any:
    return story.document


def _rows(store: Store) -> Mapping[str, Story]:
    return asked(store, VIEW).rows


def text(store: Store, now_ms: int, query: str, glyphs: Glyphs) -> list[str]:
    """Return who leads and who led as lines, for `--plain`.

    Raises:
        QueryError: The query is none.
    """
    known: Present | None = asked(store, VIEW).head
    table = as_text(ELECTION, store, now_ms, query, glyphs)
    if known is None:
        return table
    return [text_of(fact_line(now_facts(known), glyphs.dot, _LINE_MAX)), "", *table]


ELECTION: Final[TableSpec[Story]] = TableSpec(
    view=VIEW,
    noun="leadership",
    columns=COLUMNS,
    fields=FIELDS,
    rows=_rows,
    order=lambda store: asked(store, VIEW).order,
    known=lambda store: asked(store, VIEW).head is not None,
    version=lambda story: hash((story.document.ended_at, story.now if story.lasts else "")),
    cells=cells_of(CELLS, moments={"began": lambda story: story.document.began_at}),
    describe=describe,
    raw=_raw,
    name=lambda story: f"term {story.document.term}",
    empty="nobody has led yet, as far as is known",
)
