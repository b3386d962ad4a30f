"""What a voter must not forget: whom it voted for, and whether it may have forgotten it.

One vote per term, across restarts: `give` notes a vote, and its ballot may leave only after
`confirm`, that is when the vote store has made it durable. A voter that starts without its file
*may have* voted on the record as it is now, so it abstains until `_term` has moved past the
revision at its own start; on that revision no store accepts a forgotten ballot any more. A node's
very first start is no loss: the vote store then returns an empty vote.

Rules: no I/O; votes only grow in term; the end of an abstention is saved as an empty vote, so that
the next start is not taken for a loss.
"""

from __future__ import annotations

from bzzz_core.model import NodeId, Revision, StreamId, Term, Vote


class Memory:
    """One voter's last vote. A node that is no voter has one too, and never uses it."""

    def __init__(
        self, vote: Vote | None, *, stream: StreamId, voters: int, mute_until_ms: int
    ) -> None:
        """Remember what the vote store returned.

        Args:
            vote: The saved vote, empty on the node's first start; None if it was lost.
            stream: The stream of `_term`; a vote on another one only tells its term.
            voters: Size of the committed set. A single voter can have voted for itself only, so
                it has nothing to forget.
            mute_until_ms: Until when a voter without memory answers no heartbeats.
        """
        if vote is not None and vote.stream != stream:
            vote = Vote(vote.term, vote.candidate, Revision(0), stream)
        self._stream = stream
        self._vote = vote
        self._saved = vote is not None
        self._lost = vote is None and voters > 1
        self._lost_at: Revision | None = None
        self._mute_until_ms = mute_until_ms

    @property
    def term(self) -> Term:
        """Return the highest term voted in."""
        return self._vote.term if self._vote else Term(0)

    @property
    def abstains(self) -> bool:
        """Return whether a vote may have been forgotten that could still count."""
        return self._lost

    def mute(self, now_ms: int) -> bool:
        """Return whether an answer to a heartbeat could prop up a leader we voted out."""
        return self._lost and now_ms < self._mute_until_ms

    def abandoned(self, sequence: Revision) -> bool:
        """Return whether our ballot was for superseding the record at `sequence`, or a later one.

        Such a leader must not count on us any more.
        """
        return self._vote is not None and self._vote.previous >= sequence

    def give(self, term: Term, candidate: NodeId, previous: Revision) -> Vote:
        """Vote; the ballot may leave when this vote is saved."""
        self._vote = Vote(term, candidate, previous, self._stream)
        self._saved = False
        return self._vote

    def gave(self, vote: Vote) -> bool:
        """Return whether this very vote is the last one."""
        return vote == self._vote

    @property
    def saved(self) -> bool:
        """Return whether the last vote is durable."""
        return self._saved

    def confirm(self, vote: Vote) -> bool:
        """Note that `vote` is durable; return whether it is still the last one, with a ballot."""
        if vote != self._vote:
            return False
        self._saved = True
        return bool(vote.candidate)

    def start_from(self, sequence: Revision) -> None:
        """Note the newest revision of `_term` at the first sight of the store."""
        if self._lost_at is None:
            self._lost_at = sequence

    def may_return(self, sequence: Revision) -> bool:
        """Return whether an abstention ends now that `_term` is at `sequence`."""
        if not self._lost or self._lost_at is None:
            return False
        return sequence > self._lost_at

    def return_at(self, term: Term) -> Vote:
        """End the abstention and return the vote to save: none yet, in no term up to `term`."""
        self._lost = False
        return self.give(term, NodeId(""), Revision(0))
