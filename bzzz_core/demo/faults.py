"""What can be done to the nodes of a demo, the script that says when, and what to watch for.

A script is a list of steps separated by commas, each `ACT [TARGET[+TARGET...]]@SECONDS`:

    kill leader@5, heal@15
    partition bzzz-1+bzzz-2@3

An act is one of `Act`; a target is a node's name, its number, `leader`, `follower` (the first voter
that does not lead) or `edge` (the first that does not vote). `heal` without a target heals
everything. Seconds count from the moment a leader served.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bzzz_core.errors import ConfigError

STEPS_MAX: Final = 100
SECONDS_MAX: Final = 86_400.0
_STEP: Final = re.compile(
    r"(?P<act>[a-z]+)(?:\s+(?P<targets>[A-Za-z0-9+.\-_]+))?\s*@\s*(?P<at>\d{1,5}(?:\.\d{1,3})?)"
)


class Act(StrEnum):
    """One thing done to nodes."""

    KILL = "kill"
    """End agent and broker at once, as a power cut would."""
    RESTART = "restart"
    """Start again what was killed."""
    PAUSE = "pause"
    """Stop agent and broker where they are, as a frozen machine would."""
    RESUME = "resume"
    """Let them go on."""
    PARTITION = "partition"
    """Cut the targets off from all others; several stay connected with each other."""
    HEAL = "heal"
    """Make everything whole: restart, resume, connect."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a script."""

    act: Act
    targets: tuple[str, ...]
    """Names, numbers or roles, as they were written; empty: all that is damaged."""
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of an act, for people."""

    words: str
    watch: str
    """What to look at now, and how long it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What an act meets: who leads, who votes, who is left."""

    leads: bool
    votes: bool
    keeps: bool
    """Whether the broker that leads the control stream is among them."""
    majority: bool
    """Whether those who are well and together still are a majority of the voters."""


def parse(script: str) -> tuple[Step, ...]:
    """Return the steps in the order of their times.

    Raises:
        ConfigError: A step is not one; the message says which and what was expected.
    """
    texts = [text.strip() for text in script.split(",")]
    if len(texts) > STEPS_MAX:
        raise ConfigError(f"a script has at most {STEPS_MAX} steps, not {len(texts)}")
    return tuple(sorted((_step(text) for text in texts), key=lambda step: step.at_ms))


def _step(text: str) -> Step:
    found = _STEP.fullmatch(text)
    acts = ", ".join(Act)
    if found is None or found["act"] not in set(Act):
        raise ConfigError(
            f"{text[:80]!r} is no step: write ACT TARGET@SECONDS, as in 'kill leader@5';"
            f" an act is one of {acts}"
        )
    act = Act(found["act"])
    targets = tuple(found["targets"].split("+")) if found["targets"] else ()
    if not targets and act is not Act.HEAL:
        raise ConfigError(f"{text!r} names no target: a node, leader, follower or edge")
    if not all(targets):
        raise ConfigError(f"{text!r} has an empty target")
    seconds = float(found["at"])
    if seconds > SECONDS_MAX:
        raise ConfigError(f"{text!r} is later than a day")
    return Step(act, targets, round(seconds * 1_000))


def watch_for(act: Act, place: Place) -> str:
    """Return what an operator sees next, with the times of the default configuration."""
    if act in {Act.RESTART, Act.RESUME, Act.HEAL}:
        return "within seconds all nodes are alive again and name one leader"
    if not place.majority:
        return "no majority is left: the leader steps down and nobody leads until you heal"
    if place.leads:
        steps_down = " the old one steps down;" if act is Act.PARTITION else ""
        first = f"the others elect a leader in a higher term within seconds;{steps_down}"
    elif place.keeps:
        first = (
            "writes wait until the brokers found another one for the control stream, 4 to 9 s;"
            " who leads may change;"
        )
    elif place.votes:
        first = "the leader goes on with one voter less;"
    else:
        first = "leader and voters go on;"
    return f"{first} this one turns suspect after 3 s, dead after 8 s"
