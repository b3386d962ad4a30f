"""Who reaches whom: each node as the voters see it, how far away, and which version it runs.

Every voter that can be asked says how it stands with every node. Where they disagree the network is
cut between some of them, and that is what this table is for.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from bzzz_core.api.documents import MemberStatus
from bzzz_core.errors import BzzzError, TransportError
from bzzz_core.model import MemberState
from bzzz_tui.monitor.asked import Asked, Call, asked
from bzzz_tui.monitor.document_cells import Cell, words
from bzzz_tui.monitor.node_cells import CELLS, heard_words
from bzzz_tui.monitor.tables import TableSpec, as_text
from bzzz_tui.monitor.times import AsOf
from bzzz_tui.parts import Line
from bzzz_tui.query import Field, Kind
from bzzz_tui.store import Row, Store
from bzzz_tui.widgets.columns import Column, Placed
from bzzz_tui.wording import (
    UNKNOWN,
    Glyphs,
    Tone,
    clean,
    milliseconds,
    shorten,
)

VIEW: Final = "peers"
ASKED_MAX: Final = 7
"""How many voters are asked: as many as there may be, and two that were replaced."""
_PAGE: Final = 1_000
_VOTER_S: Final = 3.0
"""How long a voter may take: the others are not kept waiting by one that is frozen."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One node as one voter sees it."""

    state: MemberState
    rtt_ms: float | None


@dataclass(frozen=True, slots=True)
class Peer:
    """A node and how the voters see it."""

    row: Row
    """Live: it changes while the peer stays."""
    seen: Mapping[str, Seen | None]
    """By name of the voter that was asked; None: it did not answer, or does not know the node."""
    usual: str | None
    """The version that most nodes run."""

    @property
    def member(self) -> MemberStatus:
        """Return the node as the answering one sees it."""
        return self.row.member

    @property
    def leads(self) -> bool:
        """Return whether it leads."""
        return self.row.leads

    @property
    def version(self) -> int:
        """Return a number that is another one whenever the peer looks different."""
        return hash((self.row.version, tuple(self.seen.items()), self.usual))

    @property
    def counted(self) -> tuple[int, int]:
        """Return (voters that hold it alive, voters that know it)."""
        known = [each for each in self.seen.values() if each is not None]
        return sum(each.state is MemberState.ALIVE for each in known), len(known)

    @property
    def disputed(self) -> bool:
        """Return whether the voters disagree about it."""
        states = {each.state for each in self.seen.values() if each is not None}
        return len(states) > 1

    @property
    def worst_ms(self) -> float | None:
        """Return the longest way there and back that a voter measured."""
        times = [seen.rtt_ms for seen in self.seen.values() if seen is not None]
        return max((t for t in (*times, self.member.rtt_ms) if t is not None), default=None)

    @property
    def odd_version(self) -> bool:
        """Return whether it runs another version than most."""
        version = self.member.version
        return version is not None and self.usual is not None and version != self.usual


Views = Mapping[str, Mapping[str, MemberStatus] | None]
"""What each voter that was asked says of each node, by node id; None: it did not answer."""


async def ask(call: Call, store: Store) -> Asked:
    """Ask every voter that is there.

    Raises:
        TransportError: None of them answers.
    """
    voters = [
        row.member.name
        for row in store.rows.values()
        if row.member.voter and row.member.state is MemberState.ALIVE
    ][:ASKED_MAX]
    answers = await asyncio.gather(*(_ask_voter(call, name) for name in voters))
    views: Views = dict(zip(voters, answers, strict=True))
    if voters and not any(answer is not None for answer in answers):
        raise TransportError("no voter could be asked how it sees the others")
    return peers_of(store, views)


async def _ask_voter(call: Call, name: str) -> dict[str, MemberStatus] | None:
    try:
        async with asyncio.timeout(_VOTER_S):
            page = await call("GET", f"/v1/members?limit={_PAGE}", host=name)
        members = msgspec.convert(page["members"], tuple[MemberStatus, ...])
    except (BzzzError, TimeoutError, msgspec.ValidationError, KeyError, TypeError):
        return None
    return {member.node_id: member for member in members}


def peers_of(store: Store, views: Views) -> Asked:
    """Return the rows that follow from what the voters say."""
    versions = Counter(r.member.version for r in store.rows.values() if r.member.version)
    usual = versions.most_common(1)[0][0] if versions else None
    rows = {
        node: Peer(row, {voter: _seen(known, str(node)) for voter, known in views.items()}, usual)
        for node, row in store.rows.items()
    }
    return Asked(rows, store.order, views)


def _seen(known: Mapping[str, MemberStatus] | None, node: str) -> Seen | None:
    member = None if known is None else known.get(node)
    return None if member is None else Seen(member.state, member.rtt_ms)


def _role(peer: Peer) -> str:
    return "leader" if peer.leads else "voter" if peer.member.voter else "edge"


COLUMNS: Final = (
    Column(key="name", title="NODE", width=8, width_max=24),
    Column(key="state", title="STATE", width=9),
    Column(key="role", title="ROLE", width=8),
    Column(key="seen", title="SEEN ALIVE BY", width=13, letter="a"),
    Column(key="rtt", title="RTT", width=8, priority=1, right=True, letter="t"),
    Column(key="worst", title="WORST", width=8, priority=2, right=True),
    Column(key="version", title="VERSION", width=8, width_max=14, priority=3),
    Column(key="broker", title="BROKER", width=8, width_max=20, priority=4),
    Column(key="address", title="ADDRESS", width=11, width_max=26, priority=5),
    Column(key="uptime", title="UP", width=6, priority=7, right=True),
    Column(key="heard", title="HEARD", width=6, priority=6, right=True),
    Column(key="id", title="NODE ID", width=26, priority=8),
)
FIELDS: Final[tuple[Field[Peer], ...]] = (
    Field(key="name", get=lambda p: p.member.name, aliases=("node",), help="its name"),
    Field(
        key="state",
        get=lambda p: p.member.state.value,
        words={
            **{state.value: (state.value,) for state in MemberState},
            "up": ("alive",),
            "down": ("dead", "suspect"),
        },
        help="alive, suspect, dead, left; up, down",
    ),
    Field(key="role", get=_role, help="leader, voter, edge"),
    Field(key="seen", kind=Kind.COUNT, get=lambda p: p.counted[0], help="voters that hear it"),
    Field(
        key="disputed",
        get=lambda p: "yes" if p.disputed else "no",
        words={"yes": ("yes",), "no": ("no",)},
        help="whether the voters disagree about it",
    ),
    Field(key="rtt", kind=Kind.MS, get=lambda p: p.member.rtt_ms, help="there and back"),
    Field(key="worst", kind=Kind.MS, get=lambda p: p.worst_ms, help="the longest way"),
    Field(key="version", get=lambda p: p.member.version, help="of its agent"),
    Field(key="broker", get=lambda p: p.member.broker, help="it is attached to"),
    Field(key="address", get=lambda p: p.member.address, help="where others reach it"),
    Field(
        key="uptime",
        kind=Kind.MS,
        get=lambda p: None if p.row.uptime_s is None else 1_000 * p.row.uptime_s,
        help="since its agent started",
    ),
    Field(key="heard", kind=Kind.MS, get=lambda p: p.row.heard_ms, help="how long ago"),
    Field(key="id", get=lambda p: p.member.node_id, help="its node id"),
)


def cells(peer: Peer, as_of: AsOf, placed: Sequence[Placed], glyphs: Glyphs) -> list[Line]:
    """Return the cells of one node; what it has in common with the nodes view looks as there."""
    return [
        _OWN[each.column.key](peer, each.width, glyphs)
        if each.column.key in _OWN
        else CELLS[each.column.key](peer.row, as_of.age_ms, each.width, glyphs)
        for each in placed
    ]


def _seen_cell(peer: Peer, _width: int, _glyphs: Glyphs) -> Line:
    return [_seen_part(peer)]


def _version_cell(peer: Peer, width: int, glyphs: Glyphs) -> Line:
    tone = Tone.WARN if peer.odd_version else Tone.MUTED
    return [(shorten(clean(peer.member.version or UNKNOWN), width, glyphs), tone)]


def _worst(peer: Peer) -> str:
    alive = peer.member.state is MemberState.ALIVE
    return milliseconds(peer.worst_ms if alive else None)


def _broker(peer: Peer) -> str:
    broker, own = peer.member.broker, peer.member.node_id
    return UNKNOWN if broker is None else "own" if broker.startswith(own) else broker


_OWN: Final[dict[str, Cell[Peer]]] = {
    "seen": _seen_cell,
    "version": _version_cell,
    "worst": words(_worst, Tone.MUTED),
    "broker": words(_broker, Tone.MUTED),
    "id": words(lambda peer: peer.member.node_id, Tone.MUTED),
}


def _seen_part(peer: Peer) -> tuple[str, Tone]:
    alive, known = peer.counted
    if not known:
        return UNKNOWN, Tone.MUTED
    count = f"{alive} of {known}"
    if peer.disputed:
        return f"{count} !", Tone.WARN
    return count, Tone.PLAIN if alive == known else Tone.BAD


def describe(peer: Peer, age_ms: int) -> list[tuple[str, str]]:
    """Return everything that is known of how a node is reached."""
    member = peer.member
    facts = [
        ("name", member.name),
        ("node id", member.node_id),
        ("state", member.state.value),
        ("address", member.address),
        ("heard", heard_words(peer.row, age_ms)),
        ("version", member.version or UNKNOWN),
        ("most run", peer.usual or UNKNOWN),
        ("broker", member.broker or UNKNOWN),
        *(
            (f"seen by {voter}", "no answer" if seen is None else _seen_words(seen))
            for voter, seen in peer.seen.items()
        ),
    ]
    return [(label, clean(said)) for label, said in facts]


def _seen_words(seen: Seen) -> str:
    return f"{seen.state.value}, there and back {milliseconds(seen.rtt_ms)}"


PEERS: Final[TableSpec[Peer]] = TableSpec(
    view=VIEW,
    noun="node",
    columns=COLUMNS,
    fields=FIELDS,
    rows=lambda store: asked(store, VIEW).rows,
    order=lambda store: asked(store, VIEW).order,
    known=lambda store: asked(store, VIEW).head is not None,
    version=lambda peer: peer.version,
    cells=cells,
    describe=describe,
    raw=lambda peer: {
        "member": peer.member,
        "seen": {
            voter: None if seen is None else {"state": seen.state, "rtt_ms": seen.rtt_ms}
            for voter, seen in peer.seen.items()
        },
    },
    name=lambda peer: peer.member.name,
    empty="no node is known yet",
)


def text(store: Store, now_ms: int, query: str, glyphs: Glyphs) -> list[str]:
    """Return the table as lines, for `--plain`.

    Raises:
        QueryError: The query is none.
    """
    return as_text(PEERS, store, now_ms, query, glyphs)
