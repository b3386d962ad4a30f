"""Who misbehaved how often, and whose votes are ignored for it.

Only what a voter *signed* can be held against it. Bytes with a wrong signature, or an old message
sent once more, may come from anyone who may publish; they are rejected and counted under the name
they claim, and never lead to a quarantine, or it would be a weapon. So there are two ways into it:

    proof       two ballots of one voter for one (stream, previous revision, term) and different
                candidates, or a record with a false certificate under its own signature.
                Until an operator releases it (`bzzz-agent leader release`), across restarts:
                the key is in wrong hands, or the program is not ours. A proof that was pardoned
                once is no proof any more, so that nobody can bring it up again.
    suspicion   `OFFENCES_MAX` offences under its signature within `WINDOW_MS`. For `SUSPICION_MS`,
                in memory only, and never so many that the voters left make no majority: a bug that
                all share must not stop the cluster.

What is no offence: a set of voters that this node does not know (its own may be the old one), a
stream made anew, a kind of message or a wire version of another release, a message that comes late
or twice. Ballots for one term on *different* revisions are none either: a voter that lost its vote
file may have to sign such.

A quarantined voter gets no vote of this node and its votes do not count here. It may still lead if
a majority wants it: a certificate that holds is followed, whoever it names.

Rules: pure; the shell brings time and keeps the proofs.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from bzzz_core.election.messages import Evidence, SignedBallot
from bzzz_core.errors import TrustError
from bzzz_core.model import NodeId, Revision, Term, VoterSet

OFFENCES_MAX: Final = 10
WINDOW_MS: Final = 60_000
SUSPICION_MS: Final = 600_000
_PARDONS_MAX: Final = 64
_BALLOTS_MAX: Final = 256
"""Ballots remembered, for comparison: several voters, and more terms than a minute of elections."""


class Offence(StrEnum):
    """What was wrong with something that arrived."""

    FORGED = "forged"
    """The signature is not that of the voter it names."""
    MALFORMED = "malformed"
    UNTRUE = "untrue"
    """Signed, and says what its sender may not say."""
    UNPROVEN = "unproven"
    """A certificate does not hold."""
    EQUIVOCAL = "equivocal"
    """Two ballots where one voter has one."""
    STRANGER = "stranger"
    """Not by a voter that this node knows of."""
    VERSION = "version"
    """Of another release."""
    OTHER_VOTERS = "other voters"
    """Of another set of voters, or on another stream."""
    STALE = "stale"
    """Late, doubled or sent once more by somebody else."""


HARMLESS: Final = frozenset({Offence.VERSION, Offence.OTHER_VOTERS, Offence.STALE})
"""Rejected and counted, but nothing that somebody should look into."""


class Rejected(TrustError):
    """Something that arrived does not hold; says what can be held against whom."""

    def __init__(
        self,
        message: str,
        offence: Offence,
        *,
        claimed: str = "",
        culprit: NodeId | None = None,
        proven: bool = False,
    ) -> None:
        """Keep what is known.

        Args:
            message: For people.
            offence: What is wrong.
            claimed: Whom it names as its sender; perhaps a lie.
            culprit: Who signed it; None if that is not certain.
            proven: Whether it is an offence that no honest voter commits even once.
        """
        super().__init__(message)
        self.offence = offence
        self.claimed = claimed
        self.culprit = culprit
        self.proven = proven

    def against(self, culprit: NodeId, *, proven: bool = False) -> Rejected:
        """Return the same, held against whoever signed it, if it is something to hold."""
        if self.offence in HARMLESS:
            return self
        return Rejected(str(self), self.offence, claimed=culprit, culprit=culprit, proven=proven)


class Conviction(msgspec.Struct, frozen=True):
    """One voter in quarantine, and why."""

    node: NodeId
    offence: str
    reason: str
    at: str
    """UTC, for people."""
    evidence: bytes = b""
    """What proves it, as it came; empty for a suspicion."""
    until_ms: int | None = None
    """Monotonic; None: until released."""


def equivocates(first: SignedBallot, second: SignedBallot) -> bool:
    """Return whether no honest voter signs both; their signatures are not checked here."""
    a, b = first.ballot, second.ballot
    same = (a.cluster, a.stream, a.previous, a.term, a.voter) == (
        b.cluster,
        b.stream,
        b.previous,
        b.term,
        b.voter,
    )
    return same and a.candidate != b.candidate


def _name(conviction: Conviction) -> str:
    """Return what tells a proof from others; ballots may be paired in any order."""
    if conviction.offence == Offence.EQUIVOCAL:
        ballot = msgspec.msgpack.decode(conviction.evidence, type=Evidence).first.ballot
        return f"{ballot.voter} {ballot.previous} {ballot.term}"
    return hashlib.sha256(conviction.evidence).hexdigest()


class Quarantine:
    """What one node holds against the voters of one set."""

    def __init__(
        self,
        *,
        me: NodeId,
        voters: VoterSet,
        kept: Iterable[Conviction] = (),
        pardons: Iterable[str] = (),
    ) -> None:
        """Take up what was proven before; who is no voter any more is forgotten."""
        self._me = me
        self._voters = voters
        self._convictions = {c.node: c for c in kept if voters.find(c.node) is not None}
        self._pardons = deque(pardons, maxlen=_PARDONS_MAX)
        self._offences: dict[NodeId, deque[int]] = {}
        self._ballots: dict[tuple[NodeId, Revision, Term], SignedBallot] = {}
        self.counters: Counter[str] = Counter()
        """By offence, and by `offence:sender` with the sender that was claimed."""

    @property
    def proofs(self) -> tuple[Conviction, ...]:
        """Return the convictions that outlive a restart."""
        return tuple(c for c in self._convictions.values() if c.until_ms is None)

    @property
    def pardons(self) -> tuple[str, ...]:
        """Return the proofs that an operator has forgiven."""
        return tuple(self._pardons)

    def convictions(self, now_ms: int) -> tuple[Conviction, ...]:
        """Return who is in quarantine now."""
        self._expire(now_ms)
        return tuple(self._convictions[node] for node in sorted(self._convictions))

    def nodes(self, now_ms: int) -> frozenset[NodeId]:
        """Return the voters whose votes are ignored now."""
        self._expire(now_ms)
        return frozenset(self._convictions)

    def knows(self, name: str) -> bool:
        """Return whether a voter is called that."""
        return self._voters.find(NodeId(name)) is not None

    def count(self, offence: Offence, claimed: str = "") -> None:
        """Count something that was rejected."""
        self.counters[str(offence)] += 1
        if self.knows(claimed):  # A counter for any name has no bound.
            self.counters[f"{offence}:{claimed}"] += 1

    def note(
        self, rejected: Rejected, now_ms: int, *, at: str, evidence: bytes
    ) -> Conviction | None:
        """Count what was rejected; return the conviction if it leads to a new one."""
        self.count(rejected.offence, rejected.culprit or rejected.claimed)
        culprit = rejected.culprit
        if culprit is None or self._voters.find(culprit) is None or culprit == self._me:
            return None
        if rejected.offence in HARMLESS:
            return None
        if rejected.proven:
            return self._convict(culprit, rejected.offence, str(rejected), at, evidence)
        if not self._too_many(culprit, now_ms):
            return None
        until_ms = now_ms + SUSPICION_MS
        reason = f"{OFFENCES_MAX} offences in {WINDOW_MS // 1000} s, the last: {rejected}"
        return self._convict(culprit, rejected.offence, reason, at, b"", until_ms=until_ms)

    def see(self, signed: SignedBallot) -> Evidence | None:
        """Remember a proven ballot; return what proves that its voter signed another one, too."""
        ballot = signed.ballot
        key = (ballot.voter, ballot.previous, ballot.term)
        first = self._ballots.setdefault(key, signed)
        if len(self._ballots) > _BALLOTS_MAX:
            del self._ballots[next(iter(self._ballots))]
        return Evidence(first, signed) if equivocates(first, signed) else None

    def convict(self, evidence: Evidence, *, at: str) -> Conviction | None:
        """Take proven evidence; return the conviction if it is news."""
        ballot = evidence.first.ballot
        if ballot.voter == self._me:
            return None
        reason = f"signed two ballots in term {ballot.term}"
        proof = msgspec.msgpack.encode(evidence)
        conviction = self._convict(ballot.voter, Offence.EQUIVOCAL, reason, at, proof)
        if conviction is not None:
            self.count(Offence.EQUIVOCAL, ballot.voter)
        return conviction

    def release(self, node: NodeId) -> Conviction | None:
        """End a quarantine that has lasted its time; return what it was for."""
        self._offences.pop(node, None)
        for key in [key for key in self._ballots if key[0] == node]:
            del self._ballots[key]
        return self._convictions.pop(node, None)

    def pardon(self, node: NodeId) -> Conviction | None:
        """Release a voter for good: what proved its offence is forgiven; return what it was for."""
        conviction = self.release(node)
        if conviction is not None and conviction.evidence:
            self._pardons.append(_name(conviction))
        return conviction

    def _convict(
        self,
        node: NodeId,
        offence: Offence,
        reason: str,
        at: str,
        evidence: bytes,
        *,
        until_ms: int | None = None,
    ) -> Conviction | None:
        known = self._convictions.get(node)
        if known is not None and (known.until_ms is None or until_ms is not None):
            return None
        conviction = Conviction(node, str(offence), reason, at, evidence, until_ms)
        if evidence and _name(conviction) in self._pardons:
            return None
        self._convictions[node] = conviction
        return conviction

    def _too_many(self, node: NodeId, now_ms: int) -> bool:
        """Count one offence; return whether they are too many, and the others still a majority."""
        times = self._offences.setdefault(node, deque(maxlen=OFFENCES_MAX))
        times.append(now_ms)
        if len(times) < OFFENCES_MAX or now_ms - times[0] > WINDOW_MS:
            return False
        left = len(self._voters.voters) - len(self.nodes(now_ms) | {node})
        return left >= self._voters.majority

    def _expire(self, now_ms: int) -> None:
        for node, conviction in list(self._convictions.items()):
            if conviction.until_ms is not None and now_ms >= conviction.until_ms:
                self.release(node)
