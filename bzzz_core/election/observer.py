"""What an edge believes of leadership: it hears no elections, only what digests bring along.

A digest carries the leader's newest heartbeat as the leader sealed it, so an edge proves it like a
voter would: the envelope's signature, the certificate, a majority of the committed voters. The one
thing it takes from the message is the stream's identity, which every ballot signs.

An edge believes in a leader until `silence_ms` without proof; it is told once per beat, so that is
several beats.
"""

from __future__ import annotations

from bzzz_core.election.machine import View
from bzzz_core.election.messages import Heartbeat
from bzzz_core.election.stages import Role
from bzzz_core.election.wire import Wire, stream_of
from bzzz_core.errors import TrustError
from bzzz_core.model import ClusterId, NodeId, Revision, Term, VoterSet
from bzzz_core.ports import Signer


class LeadershipObserver:
    """Follows leadership from sealed heartbeats; `now_ms` is the node's own monotonic clock."""

    def __init__(
        self,
        *,
        me: NodeId,
        cluster: ClusterId,
        voters: VoterSet,
        signer: Signer,
        silence_ms: int,
        now_ms: int,
    ) -> None:
        """Know nobody yet."""
        self._me = me
        self._cluster = cluster
        self._voters = voters
        self._signer = signer
        self._silence_ms = silence_ms
        self._newest: Heartbeat | None = None
        self._heard_ms = now_ms
        self._since_ms = now_ms
        self.rejected = 0
        """Digests whose heartbeat did not hold."""

    def hear(self, sealed: bytes, now_ms: int) -> None:
        """Take the heartbeat of a digest; one that proves nothing new is dropped."""
        try:
            stream = stream_of(sealed)
            wire = Wire(
                me=self._me,
                cluster=self._cluster,
                stream=stream,
                voters=self._voters,
                signer=self._signer,
            )
            _, message = wire.open(sealed)
        except TrustError:
            self.rejected += 1
            return
        if not isinstance(message, Heartbeat):
            self.rejected += 1
            return
        known = self._newest
        if known is not None and (message.term, message.number) <= (known.term, known.number):
            return
        if known is None or message.term != known.term:
            self._since_ms = now_ms
        self._newest = message
        self._heard_ms = now_ms

    def view(self, now_ms: int) -> View:
        """Return what this edge believes."""
        newest = self._newest
        fresh = newest is not None and now_ms - self._heard_ms < self._silence_ms
        return View(
            role=Role.EDGE,
            leader=newest.leader if newest and fresh else None,
            term=newest.term if newest else Term(0),
            sequence=newest.sequence if newest else Revision(0),
            since_ms=self._since_ms,
            served=newest.served if newest and fresh else Revision(0),
            abstains=False,
        )
