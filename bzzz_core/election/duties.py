"""What the shell does for a node that leads: open the office, keep its history, hand it over.

Nothing here decides who leads: each duty ends with an event for the machine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from bzzz_core.election.announce import Announcer, LeaderChanged
from bzzz_core.election.clerk import Clerk, Report
from bzzz_core.election.events import (
    BecameLeader,
    Drained,
    Event,
    GuardRefused,
    NotDrained,
    Resign,
    Served,
    StepDown,
)
from bzzz_core.election.handover import take_stock
from bzzz_core.election.history import (
    HISTORY_KEY,
    Leadership,
    conclude,
    decode_records,
    encode_leadership,
    encode_records,
    merge,
    tell,
)
from bzzz_core.election.messages import Proclamation
from bzzz_core.election.opening import OfficeOver, Opening, VotersMoved
from bzzz_core.election.voters import VOTERS_KEY, VoterSetWatch, encode
from bzzz_core.errors import BzzzError, Deposed, IntegrityError
from bzzz_core.model import FencingToken, NodeId, Revision, Term, VoterSet
from bzzz_core.ports import Clock, Records

Put: TypeAlias = Callable[[FencingToken, str, bytes], Awaitable[Revision]]
"""Writes a record under the guard of the token, after everything that was to be written before."""


class Duties:
    """The duties of one node's leaderships, under one voter set."""

    def __init__(
        self,
        *,
        me: NodeId,
        records: Records,
        clock: Clock,
        now: Callable[[], str],
        clerk: Clerk,
        announcer: Announcer,
        opening: Opening,
        watch: VoterSetWatch,
        put: Put,
        feed: Callable[[Event], None],
        proclaim: Callable[[Proclamation], None],
        report: Report,
    ) -> None:
        """Take every dependency by name.

        Args:
            me: This node.
            records: The control stream.
            clock: The node's monotonic clock.
            now: Wall-clock UTC, for people.
            clerk: Writes down what happens.
            announcer: Tells this node's services.
            opening: Opens an office.
            watch: Knows the committed voters.
            put: Writes a leader's record.
            feed: Tells the machine.
            proclaim: Tells everybody.
            report: Told what happens.
        """
        self._me = me
        self._records = records
        self._clock = clock
        self._now = now
        self._clerk = clerk
        self._announcer = announcer
        self._opening = opening
        self._watch = watch
        self._put = put
        self._feed = feed
        self._proclaim = proclaim
        self._report = report

    async def open(self, elected: BecameLeader, token: FencingToken) -> None:
        """Do what comes before serving, then tell everybody."""
        term = elected.term
        story = tell(self._me, elected, at=self._now(), now_ms=self._clock.now_ms())
        warrant = elected.campaign.warrant
        entry = encode_leadership(story)
        try:
            revision = await self._opening.run(token, entry, warrant.stock if warrant else None)
        except OfficeOver:
            return
        except Deposed:
            self._feed(GuardRefused(term))
            return
        except VotersMoved:
            self._feed(Resign(StepDown.VOTERS_CHANGED))
            return
        except IntegrityError as exc:
            self._report("state not taken over", {"term": term, "reason": str(exc)})
            self._feed(Resign(StepDown.UNABLE))
            return
        self._clerk.note_leadership(story)
        self._feed(Served(term, revision))
        self._announcer.announce(LeaderChanged(term, self._me, token, mine=True))
        self._report("serving", {"term": term, "revision": revision})
        self._proclaim(Proclamation(elected.sequence, elected.record, revision, entry))
        await self._write_history(term, token)

    async def drain(self, term: Term, token: FencingToken) -> None:
        """Let the leader's writes end and take stock; the history is the last of them."""
        try:
            await self._keep_history(token)
            stock = await take_stock(self._records)
        except BzzzError as exc:
            self._report("not handed over", {"term": term, "reason": str(exc)})
            self._feed(NotDrained(term))
        else:
            self._feed(Drained(term, stock))

    async def commit_voters(self, token: FencingToken, wanted: VoterSet) -> None:
        """Write the next voter set.

        Raises:
            Deposed: Another leader serves; nothing was written.
            BzzzError: It is unknown whether the set is committed.
        """
        await self._put(token, VOTERS_KEY, encode(wanted))

    async def history(self) -> tuple[tuple[Leadership, ...], bool]:
        """Return the leaderships that are known, and whether the cluster's record was read."""
        try:
            record = await self._records.read(HISTORY_KEY)
            kept = decode_records(record.value) if record else ()
        except BzzzError as exc:
            self._report("history not read", {"reason": str(exc)})
            return conclude(self._clerk.leaderships()), False
        return conclude(merge(kept, self._clerk.leaderships())), True

    async def _write_history(self, term: Term, token: FencingToken) -> None:
        """Write the history into the cluster's record; what fails is tried again while leading."""
        try:
            await self._opening.insist(token, lambda: self._keep_history(token))
        except OfficeOver:
            return
        except Deposed:
            self._feed(GuardRefused(term))

    async def _keep_history(self, token: FencingToken) -> None:
        record = await self._records.read(HISTORY_KEY)
        try:
            kept = decode_records(record.value) if record else ()
        except IntegrityError as exc:
            self._report("history begun anew", {"reason": str(exc)})
            kept = ()
        leaderships = merge(kept, self._clerk.leaderships())
        await self._put(token, HISTORY_KEY, encode_records(leaderships))
