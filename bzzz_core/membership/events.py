"""What can happen to a roster, and what it then wants done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from bzzz_core.membership.beat import Beat, Digest, Told
from bzzz_core.model import MemberState, NodeId


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing happened but time."""


@dataclass(frozen=True, slots=True)
class Sent:
    """This node's own beat is about to leave."""

    beat: Beat


@dataclass(frozen=True, slots=True)
class Heard:
    """A beat arrived, its sender proven by the broker; of this node's own, its copy does too."""

    beat: Beat


@dataclass(frozen=True, slots=True)
class DigestHeard:
    """The leader told what it believes; only edges listen."""

    digest: Digest


@dataclass(frozen=True, slots=True)
class PageHeard:
    """The leader answered with a piece of its roster."""

    members: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The registry changed: these are the nodes now, and this node is an edge or not."""

    nodes: tuple[NodeId, ...]
    edge: bool


@dataclass(frozen=True, slots=True)
class Changed:
    """A member's state is another one now."""

    node: NodeId
    before: MemberState
    after: MemberState


@dataclass(frozen=True, slots=True)
class AskRoster:
    """This edge's roster does not fit the leader's: ask for the whole."""


@dataclass(frozen=True, slots=True)
class Refute:
    """Others hold this node for suspect or dead: beat now."""


@dataclass(frozen=True, slots=True)
class Outlive:
    """Others remember a later word of this node than its last: count on from that start."""

    incarnation: int


Event: TypeAlias = Tick | Sent | Heard | DigestHeard | PageHeard | Enrolled
Action: TypeAlias = Changed | AskRoster | Refute | Outlive
