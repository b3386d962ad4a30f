"""What an edge believes of leadership: it hears no elections, only what is told to everybody.

A digest carries the leader's newest heartbeat as the leader sealed it, and a new leader proclaims
itself once (`bz.leader`), so an edge proves both like a voter would: the envelope's signature, the
certificate, a majority of the committed voters. The one thing it takes from the message is the
stream's identity, which every ballot signs.

An edge believes in a leader until `silence_ms` without proof; it is told once per beat, so that is
several beats. Leaderships are told to it in order, once per term, whichever way they come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from bzzz_core.election.history import Leadership, decode_leadership
from bzzz_core.election.machine import View
from bzzz_core.election.messages import Heartbeat, Proclamation
from bzzz_core.election.quarantine import Offence, Rejected
from bzzz_core.election.stages import Role
from bzzz_core.election.wire import Wire, stream_of
from bzzz_core.errors import IntegrityError
from bzzz_core.model import ClusterId, NodeId, Revision, Term, VoterSet
from bzzz_core.ports import Signer

_NONE: Final = Term(0)


class LeadershipObserver:
    """Follows leadership from sealed messages; `now_ms` is the node's own monotonic clock."""

    def __init__(
        self,
        *,
        me: NodeId,
        cluster: ClusterId,
        voters: VoterSet,
        signer: Signer,
        silence_ms: int,
        now_ms: int,
        term: Term = _NONE,
        tell: Callable[[Leadership], None] = lambda _leadership: None,
    ) -> None:
        """Know nobody yet, but perhaps the newest term that this node took part in.

        `tell` is told of leaderships, in order and once per term.
        """
        self._me = me
        self._cluster = cluster
        self._voters = voters
        self._signer = signer
        self._silence_ms = silence_ms
        self._tell = tell
        self._leader: NodeId | None = None
        self._term = term
        self._sequence = Revision(0)
        self._served = Revision(0)
        self._number = 0
        self._told = Term(0)
        self._heard_ms = now_ms
        self._since_ms = now_ms
        self.counters: Counter[str] = Counter()
        """What did not hold, by offence."""

    @property
    def rejected(self) -> int:
        """Return how many messages did not hold."""
        return sum(self.counters.values())

    def adopt(self, voters: VoterSet) -> None:
        """Count majorities in another committed set from now on."""
        self._voters = voters

    def hear(self, sealed: bytes, now_ms: int) -> None:
        """Take a sealed heartbeat or proclamation; one that proves nothing new is dropped."""
        try:
            message = self._open(sealed)
        except Rejected as exc:
            self.counters[str(exc.offence)] += 1
            return
        term = message.record.term
        number = message.number if isinstance(message, Heartbeat) else 0
        if isinstance(message, Heartbeat):
            old = (term, number) <= (self._term, self._number)
        else:
            old = term < self._term or term <= self._told
        if old:
            return  # The same once more says nothing of now.
        if term != self._term:
            self._since_ms = now_ms
            self._number = 0
        self._leader, self._term = message.record.leader, term
        self._number = max(self._number, number)
        self._sequence, self._served = message.sequence, message.served
        self._heard_ms = now_ms
        if isinstance(message, Proclamation):
            self._told = term
            self._take_story(message)

    def _open(self, sealed: bytes) -> Heartbeat | Proclamation:
        wire = Wire(
            me=self._me,
            cluster=self._cluster,
            stream=stream_of(sealed),
            voters=self._voters,
            signer=self._signer,
        )
        _, message = wire.open(sealed)
        assert isinstance(message, Heartbeat | Proclamation), "stream_of lets no others through"
        return message

    def _take_story(self, message: Proclamation) -> None:
        try:
            leadership = decode_leadership(message.story)
        except IntegrityError:
            self.counters[str(Offence.MALFORMED)] += 1
            return
        if (leadership.term, leadership.leader) == (message.record.term, message.record.leader):
            self._tell(leadership)

    def view(self, now_ms: int) -> View:
        """Return what this edge believes."""
        fresh = now_ms - self._heard_ms < self._silence_ms and self._leader is not None
        return View(
            role=Role.EDGE,
            leader=self._leader if fresh else None,
            term=self._term,
            sequence=self._sequence,
            since_ms=self._since_ms,
            served=self._served if fresh else Revision(0),
            abstains=False,
        )
