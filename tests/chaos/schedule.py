"""Which fault comes when, from a seed; pure, so that a seed names the whole plan.

What the plan hits depends on who leads at that moment, and that depends on the machine: a seed does
not repeat a history as it does in the simulation, it repeats the questions put to the cluster.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests.chaos.faults import Fault, Kind, Target

_WEIGHTS: Final[dict[Kind, int]] = {
    "kill": 6,
    "stop": 6,
    "cut": 4,
    "deaf": 2,
    "mute": 2,
    "lossy": 1,
    "link": 2,
    "disk": 2,
    "busy": 1,
    "restart": 1,
    "power": 2,
}
_TARGETS: Final[dict[Target, int]] = {
    "leader": 5,
    "stream leader": 3,
    "both": 3,
    "follower": 1,
    "edge": 1,
}
_PARTS: Final = ("machine", "agent", "broker")
HOLD_S: Final = (0.3, 12.0)
"""From shorter than any timeout to longer than most."""
CALM_S: Final = (0.0, 3.0)
_SECOND: Final = 0.25
"""How often a second fault comes on top of the first, wherever that leaves us."""


@dataclass(frozen=True, slots=True)
class Step:
    """Faults, and how long they last."""

    faults: tuple[Fault, ...]
    gap_s: float
    """Between the first fault and the second."""
    hold_s: float
    calm_s: float
    """After the cluster is well again."""


def steps(seed: int, *, edges: bool) -> Iterator[Step]:
    """Yield the plan of a seed, without end."""
    dice = random.Random(seed)
    while True:
        first = _fault(dice, edges=edges)
        faults = [first]
        if first.kind not in {"restart", "power", "busy"} and dice.random() < _SECOND:
            kind = dice.choice(("kill", "stop", "cut"))
            part = dice.choice(_PARTS)
            faults.append(Fault(kind, "any", part, dice.randrange(1_000)))
        low, high = HOLD_S
        hold_s = low * (high / low) ** dice.random()
        yield Step(
            tuple(faults), round(dice.uniform(0, 2), 2), round(hold_s, 2), dice.uniform(*CALM_S)
        )


def _fault(dice: random.Random, *, edges: bool) -> Fault:
    kind = dice.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    targets = {t: w for t, w in _TARGETS.items() if edges or t != "edge"}
    target = dice.choices(list(targets), list(targets.values()))[0]
    part = dice.choice(_PARTS)
    number = dice.randrange(1_000)
    if kind in {"busy", "restart", "power"}:
        return Fault(kind)
    if kind == "link":
        return Fault(kind, "both")
    return Fault(kind, target, part if kind in {"kill", "stop"} else "machine", number)
