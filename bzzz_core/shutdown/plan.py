"""In which order components end, and how long each may take. Pure: no clock, no event loop.

Four phases, one after the other; within a phase the lower priority first, those of the same
priority together. What others stand on ends after them.

    pre-shutdown    the node is not ready any more, hands its office over, says goodbye
    shutdown        nobody new is let in; what works ends: API, table, roster, at last the fabric
    post-shutdown   children, databases and the audit, which the others used until now
    cleanup         what is left on the disk and would be in the way of the next start

The log is closed after all of them, by whoever opened it (`telemetry.log_keeping`).

The *budget* is what an end may take if every component hangs until its timeout and then does not
even obey to being forced. `TimeoutStopSec` of the unit is never shorter (`deploy.units`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

FAST_MS: Final = 1_000
"""What every component gets at most once somebody is in a hurry."""
FORCE_MS: Final = 500
"""How long a component that was forced may take to be gone; then the end goes on without it."""


class Phase(StrEnum):
    """A stage of the end, in this order."""

    PRE_SHUTDOWN = "pre-shutdown"
    SHUTDOWN = "shutdown"
    POST_SHUTDOWN = "post-shutdown"
    CLEANUP = "cleanup"


class Urgency(IntEnum):
    """How much time an end is given."""

    ORDERLY = 0
    """Every component has its own timeout."""
    FAST = 1
    """No component has more than `FAST_MS`."""
    AT_ONCE = 2
    """The process ends where it stands."""


@dataclass(frozen=True, slots=True)
class Place:
    """When a component ends, and how long it may take."""

    phase: Phase
    priority: int
    """Lower ends earlier."""
    timeout_ms: int
    """Then it is forced: cancelled, and its children killed."""


@dataclass(frozen=True, slots=True)
class Step:
    """Components that end together."""

    phase: Phase
    priority: int
    names: tuple[str, ...]


ELSEWHERE: Final = Place(Phase.SHUTDOWN, 20, 2_000)
"""The place of a component that `ORDER` does not name: after the API, before what it stands on."""

ORDER: Final[Mapping[str, Place]] = {
    # A second each is what these give themselves (`Leadership.resign`, `roster_wiring`).
    "resign": Place(Phase.PRE_SHUTDOWN, 10, 1_500),
    "farewell": Place(Phase.PRE_SHUTDOWN, 15, 2_000),
    "goodbye": Place(Phase.PRE_SHUTDOWN, 20, 1_500),
    # uvicorn lets callers finish for 3 s.
    "api": Place(Phase.SHUTDOWN, 10, 4_000),
    "announcer": ELSEWHERE,
    "dht": ELSEWHERE,
    "duties": ELSEWHERE,
    "enrolment": ELSEWHERE,
    "health": ELSEWHERE,
    "leadership": Place(Phase.SHUTDOWN, 30, 1_500),
    "membership": Place(Phase.SHUTDOWN, 30, 1_500),
    "registry": Place(Phase.SHUTDOWN, 30, 1_500),
    "news": Place(Phase.SHUTDOWN, 30, 1_500),
    "config": Place(Phase.SHUTDOWN, 30, 1_500),
    "shared-config": Place(Phase.SHUTDOWN, 30, 1_500),
    # Half a second to close a connection to a broker that does not answer, for each of two.
    "fabric": Place(Phase.SHUTDOWN, 40, 1_500),
    # It goes on telling that the agent lives, which systemd wants to hear to the end.
    "watchdog": Place(Phase.POST_SHUTDOWN, 10, 500),
    "sampler": Place(Phase.POST_SHUTDOWN, 10, 500),
    # nats-server hands its streams over and syncs its store; a paused or stuck one is killed.
    "broker": Place(Phase.POST_SHUTDOWN, 10, 8_000),
    "audit": Place(Phase.POST_SHUTDOWN, 20, 2_000),
    "remains": Place(Phase.CLEANUP, 10, 1_000),
}
"""The agent's components, by the name that its log calls them by."""


def place_of(name: str) -> Place:
    """Return the place of one of the agent's components."""
    return ORDER.get(name, ELSEWHERE)


def steps(places: Mapping[str, Place]) -> list[Step]:
    """Return what ends when, in the order of the end."""
    phases = list(Phase)
    found: dict[tuple[int, int], list[str]] = {}
    for name, place in places.items():
        found.setdefault((phases.index(place.phase), place.priority), []).append(name)
    return [Step(phases[key[0]], key[1], tuple(sorted(found[key]))) for key in sorted(found)]


def budget_ms(places: Mapping[str, Place], *, hurried: bool = False) -> int:
    """Return how long an end may take at most, an orderly one or one in a hurry."""
    longest = (max(places[name].timeout_ms for name in step.names) for step in steps(places))
    return sum((min(one, FAST_MS) if hurried else one) + FORCE_MS for one in longest)


def deadline_ms(place: Place, *, begun_ms: int, hurried_ms: int | None) -> int:
    """Return until when a component may take, if its end began at `begun_ms`.

    Args:
        place: Says how long it may take at most.
        begun_ms: When it was told to end.
        hurried_ms: Since when there is a hurry; None: there is none.
    """
    at_most_ms = begun_ms + place.timeout_ms
    if hurried_ms is None:
        return at_most_ms
    return min(at_most_ms, max(begun_ms, hurried_ms) + FAST_MS)


def raised(urgency: Urgency | None, *, quick: bool) -> Urgency:
    """Return the urgency after one more signal.

    Args:
        urgency: Before; None: nobody has asked for the end yet.
        quick: Whether this signal asks for a fast end from the start (SIGQUIT).
    """
    if urgency is None:
        return Urgency.FAST if quick else Urgency.ORDERLY
    return Urgency(min(urgency + 1, Urgency.AT_ONCE))
