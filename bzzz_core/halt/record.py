"""What is decided about the work of the whole cluster, and what one node keeps of it. Pure.

The decision is one record of the control stream. Its `number` grows by one with each decision; a
node that knows a number knows whether work is to stop. A node may stop by itself as well (`Own`):
when nobody who leads can be asked, or because its operator wants this node alone to stop.

    halted  =  the cluster says so  or  this node said so for itself

A node's own stop ends with a decision to resume that was made after it. Which one that is shows
only once the node has heard from a leader: it notes the first number that it hears then (`since`),
and any decision to resume with a higher number ends its stop. So a resume that was decided while
the node was away, by somebody who could not know of its stop, does not end it. A stop that lasts
too long can be ended by hand; work that goes on against somebody's will cannot be undone.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from bzzz_core.errors import IntegrityError, RevisionConflict
from bzzz_core.model import Count, NodeId

RECORD_KEY: Final = "_halt"
REASON_CHARACTERS_MAX: Final = 500

Cluster = Annotated[str, msgspec.Meta(max_length=128)]
Instant = Annotated[str, msgspec.Meta(max_length=40)]
Actor = Annotated[str, msgspec.Meta(max_length=200)]
Reason = Annotated[str, msgspec.Meta(max_length=REASON_CHARACTERS_MAX)]
Node = Annotated[NodeId, msgspec.Meta(max_length=64)]
Request = Annotated[str, msgspec.Meta(min_length=8, max_length=64)]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The record: what was decided last for all nodes."""

    cluster: Cluster
    """Identity of the cluster, so that another one's record is never taken for ours."""
    number: Count = 0
    """0: nothing was ever decided, so work goes on."""
    halted: bool = False
    by: Actor = ""
    """Who, as the command or the API's caller said."""
    at: Instant = ""
    """UTC, by the leader's clock."""
    reason: Reason = ""
    node: Node = NodeId("")
    """The node that asked; the broker vouches for this."""
    request: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """Unique name of the wish, so that asking twice decides once."""


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """A node's stop for itself."""

    by: Actor
    at: Instant
    reason: Reason = ""
    since: Count | None = None
    """The first number heard from a leader after the stop; None: none was heard yet."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What one node knows, and keeps in a file across restarts."""

    decision: Decision
    own: Own | None = None

    @property
    def halted(self) -> bool:
        """Return whether this node does no work now."""
        return self.decision.halted or self.own is not None

    @property
    def settled(self) -> bool:
        """Return whether it is known which decision to resume would end the node's own stop."""
        return self.own is None or self.own.since is not None

    def heard(self, decision: Decision) -> Kept:
        """Return what is known after a leader told the newest decision; older ones are passed over.

        `decision` may be the one that is known already: hearing it again is news for a stop of the
        node's own.
        """
        if decision.number < self.decision.number:
            return self
        own = self.own
        if own is not None:
            if own.since is None:
                own = msgspec.structs.replace(own, since=decision.number)
            elif decision.number > own.since and not decision.halted:
                own = None
        return Kept(decision=decision, own=own)

    def stopped(self, own: Own) -> Kept:
        """Return what is known after this node stopped by itself; the first stop stays."""
        return self if self.own is not None else Kept(decision=self.decision, own=own)

    def released(self) -> Kept:
        """Return what is known after an operator ended the node's own stop, here and on purpose."""
        return Kept(decision=self.decision)


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants the leader to decide."""

    halted: bool
    by: Actor
    reason: Reason = ""
    request: Request
    expected: Count | None = None
    """The number that the wish was made for; None: whichever it is."""


_encoder = msgspec.msgpack.Encoder()
_decisions = msgspec.msgpack.Decoder(Decision)
_kept = msgspec.msgpack.Decoder(Kept)


def decided(before: Decision, wish: Wish, *, node: NodeId, at: str) -> Decision:
    """Return the decision after a wish; the same one if there is nothing to decide.

    Who stops what is stopped changes nothing: the first one's reason stays. Who resumes always
    decides something, because there may be nodes that have stopped by themselves.

    Raises:
        RevisionConflict: Something was decided since; the wish may rest on what holds no more.
    """
    if before.request == wish.request or (wish.halted and before.halted):
        return before
    if wish.expected is not None and wish.expected != before.number:
        raise RevisionConflict(
            f"since you looked, somebody {'stopped' if before.halted else 'resumed'} the work"
            f" ({before.by or 'unknown'}, {before.at}: {before.reason or 'no reason given'});"
            " look at `bzzz-agent halt --status` and decide again"
        )
    return Decision(
        cluster=before.cluster,
        number=before.number + 1,
        halted=wish.halted,
        by=wish.by,
        at=at,
        reason=wish.reason,
        node=node,
        request=wish.request,
    )


def encode(what: Decision | Kept) -> bytes:
    """Return it as bytes."""
    return _encoder.encode(what)


def decode(content: bytes, *, cluster: str) -> Decision:
    """Return the decision that bytes hold.

    Raises:
        IntegrityError: They hold none, or another cluster's.
    """
    try:
        found = _decisions.decode(content)
    except (ValueError, RecursionError) as exc:
        raise IntegrityError("the record of the emergency stop is damaged") from exc
    return _ours(found, cluster)


def decode_kept(content: bytes, *, cluster: str) -> Kept:
    """Return what a node kept.

    Raises:
        IntegrityError: It cannot be read, or is another cluster's.
    """
    try:
        found = _kept.decode(content)
    except (ValueError, RecursionError) as exc:
        raise IntegrityError("what this node kept of the emergency stop is damaged") from exc
    _ours(found.decision, cluster)
    return found


def _ours(decision: Decision, cluster: str) -> Decision:
    if decision.cluster != cluster:
        raise IntegrityError("this is the emergency stop of another cluster")
    return decision
