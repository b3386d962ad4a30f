"""One line of the roster, and what everybody has to agree on about it."""

from __future__ import annotations

import hashlib

import msgspec

from bzzz_core.membership.beat import Beat, Told
from bzzz_core.model import MemberState, NodeId


class Member(msgspec.Struct, frozen=True, gc=False):
    """One line of the roster.

    A Struct, because every beat replaces one: ten times cheaper than a dataclass. It refers to no
    line, so the garbage collector need not look at a thousand of them.
    """

    node: NodeId
    state: MemberState
    beat: Beat | None
    """The newest beat, or None if none was ever heard. Its capabilities are the last known."""
    heard_ms: int
    """When it was heard on this node's clock; the start of this node, if never."""
    changed_ms: int = 0
    """When its state or its start was another one last."""
    rtt_ms: float | None = None
    """There and back: between two voters, or from an edge to its broker. What both ends' event
    loops take is part of it."""

    @property
    def incarnation(self) -> int:
        """Return which start of the node is known; 0 if none."""
        return self.beat.incarnation if self.beat else 0

    def fingerprint(self) -> int:
        """Return 64 bits of hash over what everybody has to agree on: node, state and start."""
        text = f"{self.node} {self.state} {self.incarnation}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")

    def told(self, now_ms: int, *, capabilities: bool = True) -> Told:
        """Return the line as others are told of it."""
        beat = self.beat
        if beat is not None:
            kept = beat.capabilities if capabilities else None
            beat = msgspec.structs.replace(beat, echoes=(), capabilities=kept)
        return Told(self.node, self.state, max(0, now_ms - self.heard_ms), beat)


def merged(beat: Beat, known: Beat | None) -> Beat:
    """Return `beat` with the capabilities known so far, if it brings none."""
    if beat.capabilities is not None or known is None:
        return beat
    return msgspec.structs.replace(beat, capabilities=known.capabilities)


def newer(beat: Beat, known: Beat | None) -> bool:
    """Order beats by (start of the node, number within it)."""
    if known is None:
        return True
    return (beat.incarnation, beat.number) > (known.incarnation, known.number)
