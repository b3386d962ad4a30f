"""What an election needs from its node, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bzzz_core.config.sections import Timings
from bzzz_core.election.announce import Announcer
from bzzz_core.election.clerk import Clerk, Report
from bzzz_core.election.duties import Put
from bzzz_core.election.opening import FirstWrite, Step
from bzzz_core.model import ClusterId, NodeId, VoterSet
from bzzz_core.ports import Clock, Fabric, Records, Signer, VoteStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The dependencies of one `ElectionService`; nothing here is opened or closed by it."""

    timings: Timings
    me: NodeId
    """This node; its key in `voters`, if it is there, is the signer's."""
    cluster: ClusterId
    """Signed into every message and ballot."""
    voters: VoterSet
    """The committed set."""
    fabric: Fabric
    """Where voters talk."""
    records: Records
    """Holds `_term`; open, so that its stream's identity is known."""
    signer: Signer
    votes: VoteStore
    """The vote's memory; its calls run in a thread."""
    clock: Clock
    now: Callable[[], str]
    """Wall-clock UTC, for people."""
    score: Callable[[], float]
    """The capability score, 0 to 100; called once a second, must not block."""
    first_write: FirstWrite
    """What a new leader does before it serves."""
    put: Put
    """Writes a leader's record."""
    clerk: Clerk
    """Writes down what happens; outlives the election, and runs by itself."""
    announcer: Announcer
    """Tells this node's services who leads; outlives the election, and runs by itself."""
    report: Report
    """Told what happens."""
    manual: bool = False
    """Whether a leader that falls silent is replaced only if an operator asks."""
    before_serving: tuple[Step, ...] = ()
    """What else a new leader does before it serves, in order."""
