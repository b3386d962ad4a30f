"""Writes down what happens in elections, and keeps what must outlive them; it decides nothing.

One clerk serves all elections of a process, one after the other: the diary, the proofs of
misbehaviour and the counters go on when the voters change. The disk is waited for in a thread, so
that a slow one stalls no election; what is kept in memory is right at once.

Rules: whoever can send may not make us write without bound: what is rejected is reported once in
`QUIET_MS` for each kind and sender, and counted always; of votes asked for, so many are noted.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from bzzz_core.election.diary import Back, Diary, End, LeadershipNote, PollNote, VoteNote
from bzzz_core.election.events import Decided, PollFailed
from bzzz_core.election.history import BallotNote, Leadership
from bzzz_core.election.messages import Evidence, SignedBallot
from bzzz_core.election.proofs import FileProofs, Proofs
from bzzz_core.election.quarantine import HARMLESS, Conviction, Offence, Quarantine, Rejected
from bzzz_core.model import NodeId, Term, VoterSet
from bzzz_core.ports import Clock

QUIET_MS: Final = 10_000
DECISIONS_MAX: Final = 16
"""Votes written down for one candidate within `QUIET_MS`: some polls, each asked for thrice."""
_ERRANDS_MAX: Final = 256

Report: TypeAlias = Callable[[str, dict[str, object]], None]
"""(what happened, fields), for the log; must not block."""

AuditRecord: TypeAlias = Callable[..., None]
"""(what, *, actor, **fields); may block, runs in a thread."""


class Clerk:
    """The papers of one node's elections."""

    def __init__(
        self,
        *,
        me: NodeId,
        data: Path,
        clock: Clock,
        now: Callable[[], str],
        report: Report,
        audit: AuditRecord,
    ) -> None:
        """Open nothing.

        Args:
            me: This node.
            data: The node's data directory; it exists.
            clock: For what lasts a time.
            now: Wall-clock UTC, for people.
            report: Told what happens.
            audit: Told what somebody should look into.
        """
        self._me = me
        self._clock = clock
        self._now = now
        self._report = report
        self._audit = audit
        self._diary = Diary(data / "leadership.jsonl")
        self._proofs = FileProofs(data / "quarantine")
        self._kept: Proofs | None = None
        self._quarantine: Quarantine | None = None
        self._errands: deque[Callable[[], None]] = deque(maxlen=_ERRANDS_MAX)
        self._called = asyncio.Event()
        self._told_ms: dict[tuple[str, str], int] = {}
        self._decided_ms: dict[NodeId, deque[int]] = {}
        self._earlier: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        """Candidates, by what this node answered: `given`, or the name of the refusal."""
        self.polls_failed = 0

    @property
    def counters(self) -> Counter[str]:
        """Return what was rejected, by offence and by `offence:voter`, over all voter sets."""
        now = self._quarantine.counters if self._quarantine else Counter()
        return self._earlier + now

    async def begin(self, voters: VoterSet) -> None:
        """Take up the papers for elections under `voters`."""
        if self._kept is None:
            self._kept = await asyncio.to_thread(self._proofs.load)
        if self._quarantine is not None:
            self._earlier += self._quarantine.counters
        self._quarantine = Quarantine(
            me=self._me,
            voters=voters,
            kept=self._kept.convictions,
            pardons=self._kept.pardons,
        )

    async def run(self) -> None:
        """Run errands until cancelled; what is left then is done at once."""
        try:
            await asyncio.to_thread(self._diary.load)
            while True:
                await self._called.wait()
                self._called.clear()
                while self._errands:
                    await asyncio.to_thread(self._do, self._errands.popleft())
        finally:
            while self._errands:
                self._do(self._errands.popleft())

    # ---- history

    def note_leadership(self, leadership: Leadership) -> None:
        """Write a leadership down, unless it is hearsay about a known one."""
        known = {one.term: one for one in self._diary.leaderships()}.get(Term(leadership.term))
        if known is not None and (known.cause or not leadership.cause):
            return
        self._diary.note(LeadershipNote(leadership))
        self._send(self._diary.write)

    def note_hearsay(self, term: Term, leader: NodeId) -> None:
        """Write down that somebody leads; the story may come later."""
        self.note_leadership(Leadership(term, leader, began_at=self._now()))
        self.note_back(term)  # An earlier run of this node may have taken it for lost.

    def note_back(self, term: Term) -> None:
        """Write down that a leadership goes on which this node took for ended, if it did."""
        if self._diary.ended(term):
            self._diary.note(Back(self._now(), term))
            self._send(self._diary.write)

    def note_end(self, term: Term, reason: str) -> None:
        """Write down how a leadership ended."""
        self._diary.note(End(self._now(), term, reason))
        self._send(self._diary.write)

    def note_vote(self, decided: Decided) -> bool:
        """Write down what this node answered a candidate; return whether it was worth a line."""
        self.answered["given" if decided.refusal is None else decided.refusal.name.lower()] += 1
        now_ms = self._clock.now_ms()
        last_ms = self._decided_ms.setdefault(decided.candidate, deque(maxlen=DECISIONS_MAX))
        if len(last_ms) == DECISIONS_MAX and now_ms - last_ms[0] < QUIET_MS:
            return False
        last_ms.append(now_ms)
        given, reason = decided.refusal is None, str(decided.refusal or "")
        self._diary.note(VoteNote(self._now(), decided.term, decided.candidate, given, reason))
        self._send(self._diary.write)
        return True

    def note_poll(self, failed: PollFailed) -> None:
        """Write down that a poll of this node found no majority."""
        self.polls_failed += 1
        given = tuple(BallotNote(voter, given=True) for voter in failed.given)
        refused = tuple(BallotNote(node, given=False, reason=why) for node, why in failed.refused)
        self._diary.note(PollNote(self._now(), failed.term, given + refused))
        self._send(self._diary.write)

    def leaderships(self) -> tuple[Leadership, ...]:
        """Return the leaderships that this node knows of."""
        return self._diary.leaderships()

    def decisions(self) -> tuple[VoteNote | PollNote, ...]:
        """Return what this node answered candidates and what became of its own polls."""
        return self._diary.decisions()

    # ---- misbehaviour

    def quarantined(self) -> frozenset[NodeId]:
        """Return whose votes do not count now."""
        return self._court.nodes(self._clock.now_ms())

    def convictions(self) -> tuple[Conviction, ...]:
        """Return who is in quarantine, and why."""
        return self._court.convictions(self._clock.now_ms()) if self._quarantine else ()

    def reject(self, rejected: Rejected, data: bytes) -> bool:
        """Count and tell what does not hold; return whether somebody is in quarantine for it."""
        now_ms = self._clock.now_ms()
        who = self._known(rejected.culprit or rejected.claimed)
        conviction = self._court.note(rejected, now_ms, at=self._now(), evidence=data)
        last_ms = self._told_ms.get((rejected.offence, who))
        if last_ms is None or now_ms - last_ms >= QUIET_MS:
            self._told_ms[rejected.offence, who] = now_ms
            fields: dict[str, object] = {"offence": str(rejected.offence), "sender": who}
            self._report("rejected", {**fields, "reason": str(rejected)})
            if rejected.offence not in HARMLESS:
                self._record("election message rejected", **fields, reason=str(rejected))
        return self._convicted(conviction)

    def count_stale(self, sender: NodeId) -> None:
        """Count a message that came late, twice, or was sent once more by somebody else."""
        self._court.count(Offence.STALE, sender)

    def look_at(self, signed: SignedBallot) -> Evidence | None:
        """Remember a proven ballot; return the evidence if it convicts its voter."""
        evidence = self._court.see(signed)
        if evidence is None or not self.convict(evidence):
            return None
        return evidence

    def convict(self, evidence: Evidence) -> bool:
        """Take proven evidence; return whether somebody is in quarantine for it."""
        return self._convicted(self._court.convict(evidence, at=self._now()))

    def pardon(self, node: NodeId) -> Conviction | None:
        """Release a voter for good; return what it was in quarantine for."""
        conviction = self._court.pardon(node)
        if conviction is not None:
            self._record("quarantine ended", voter=node, offence=conviction.offence)
            self._report("quarantine ended", {"voter": node})
            self._keep_proofs()
        return conviction

    @property
    def _court(self) -> Quarantine:
        assert self._quarantine is not None, "begin comes first"
        return self._quarantine

    def _convicted(self, conviction: Conviction | None) -> bool:
        if conviction is None:
            return False
        fields = {"voter": conviction.node, "offence": conviction.offence}
        self._report("quarantined", {**fields, "reason": conviction.reason})
        self._record("voter quarantined", **fields, reason=conviction.reason)
        if conviction.until_ms is None:
            self._keep_proofs()
        return True

    def _keep_proofs(self) -> None:
        self._kept = Proofs(self._court.proofs, self._court.pardons)
        self._send(self._save_proofs)

    def _save_proofs(self) -> None:
        self._proofs.save(self._kept or Proofs())

    def _known(self, claimed: str) -> str:
        """Return a name only if it is a voter's: a table with any name has no bound."""
        return claimed if self._court.knows(claimed) else ""

    # ---- the disk

    def _record(self, what: str, **fields: object) -> None:
        self._send(lambda: self._audit(what, actor=self._me, **fields))

    def _send(self, errand: Callable[[], None]) -> None:
        self._errands.append(errand)
        self._called.set()

    def _do(self, errand: Callable[[], None]) -> None:
        try:
            errand()
        except OSError as exc:
            self._report("not written down", {"reason": str(exc)})
