"""What may go wrong in one simulated history, and the store that it goes wrong with."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bzzz_core.election.messages import TermRecord
from bzzz_core.model import Revision, Term, VoterSet

NEVER: Final = 1e9
PATHS: Final = (
    ("012",),
    ("012",),
    ("01234",),
    ("012",),
    ("01234",),
    ("0", "012", "01234", "012"),
    ("012", "01234", "012"),
    ("012", "013", "034"),
    ("01234", "012", "0"),
)
"""Which nodes are voters, one set after the other; most worlds keep theirs."""


@dataclass(frozen=True, slots=True)
class Weather:
    """The faults of one seed; each is absent in some seeds."""

    sets: Sequence[str]
    loss: float
    double: float
    delay_ms: float
    slow_links: float
    cut_every_ms: float
    freeze_every_ms: float
    crash_every_ms: float
    gap_every_ms: float
    forge_every_ms: float
    hunt: float
    forget: float
    forget_all: bool
    stale: float
    late_ms: float
    transfer_every_ms: float
    change_every_ms: float
    manual: bool
    traitor: bool

    @classmethod
    def draw(cls, rng: random.Random) -> Weather:
        """Choose how hostile this world is.

        Whoever loses all vote files, or the only one, must not have a store that hides the terms
        which were spent: then nobody remembers them. And where old reads may make an honest voter
        without memory vote twice, it would be convicted with the traitor.
        """
        sets = rng.choice(PATHS)
        # Old reads matter most where the voters change.
        stale = 0.2 if rng.choice((0, 1, 2, 3)) > (1 if len(sets) > 1 else 2) else 0.0
        forgetful = rng.choice((False, False, False, False, False, True))
        return cls(
            sets=sets,
            loss=rng.choice((0.0, 0.05, 0.15)),
            double=rng.choice((0.0, 0.1)),
            delay_ms=rng.choice((2.0, 15.0, 60.0, 200.0)),
            slow_links=rng.choice((0.0, 0.0, 0.2)),
            cut_every_ms=rng.choice((2_000.0, 6_000.0, NEVER)),
            freeze_every_ms=rng.choice((2_000.0, 6_000.0, NEVER)),
            crash_every_ms=rng.choice((2_000.0, 6_000.0, NEVER)),
            gap_every_ms=rng.choice((5_000.0, NEVER)),
            forge_every_ms=NEVER if forgetful else rng.choice((8_000.0, NEVER, NEVER)),
            hunt=rng.choice((0.0, 0.5, 0.9)),
            forget=0.8 if forgetful else rng.choice((0.0, 0.8)) * ("0" not in sets),
            forget_all=forgetful,
            stale=0.0 if forgetful else stale,
            late_ms=rng.choice((0.0, 5.0, 50.0)),
            transfer_every_ms=rng.choice((3_000.0, 9_000.0, NEVER)),
            change_every_ms=rng.choice((2_500.0, 5_000.0)) if len(sets) > 1 else NEVER,
            manual=rng.random() < 0.15,
            traitor=rng.random() < 0.15 and len(sets) == 1 and not stale,
        )


class Store:
    """`_term`, `_voters` and a lane behind one guard each, linearizable, in true time."""

    def __init__(self, voters: VoterSet) -> None:
        self.sequence = 0
        self.current: tuple[Revision, TermRecord | None] = (Revision(0), None)
        self.older: tuple[Revision, TermRecord | None] = self.current
        self.voters = voters
        self.older_voters = voters
        self.claimed = Term(0)
        self.gap_until = 0.0

    def put(self, record: TermRecord, guard: Revision) -> Revision | None:
        """Write `_term` if it is still at `guard`."""
        if self.current[0] != guard:
            return None
        self.sequence += 1
        self.older = self.current
        self.current = (Revision(self.sequence), record)
        return self.current[0]

    def forge(self, claimed: int) -> None:
        """Put a record there that proves nothing and claims to be of a term."""
        self.sequence += 1
        self.older = self.current
        self.current = (Revision(self.sequence), None)
        self.claimed = Term(claimed)

    def append(self, guard: Revision) -> Revision | None:
        """Write an entry of the leader whose record is at `guard`."""
        if self.current[0] != guard:
            return None
        self.sequence += 1
        return Revision(self.sequence)

    def put_voters(self, voters: VoterSet, guard: Revision) -> bool:
        """Write `_voters` as the leader whose record is at `guard`."""
        if self.append(guard) is None:
            return False
        self.older_voters = self.voters
        self.voters = voters
        return True
