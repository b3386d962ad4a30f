"""Figures of leadership: who leads, how often that changed, what was answered to candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from bzzz_core.election.announce import Change, LeadershipEnded
from bzzz_core.election.events import StepDown
from bzzz_core.leadership import Leadership
from bzzz_core.model import NodeId
from bzzz_core.telemetry import metrics_catalogue as the
from bzzz_core.telemetry.metrics import Collector
from bzzz_core.telemetry.metrics_catalogue import Reading

ROLES: Final = ("leader", "follower", "candidate", "edge")


class LeadershipFigures:
    """Reads one node's part in leadership."""

    def __init__(self, leadership: Leadership, *, me: NodeId, votes: Callable[[], bool]) -> None:
        """Begin to count; before leadership runs. `votes` says whether this node votes."""
        self._leadership = leadership
        self._me = me
        self._votes = votes
        self._first_term: int | None = None
        self._ended = dict.fromkeys(StepDown, 0)
        leadership.subscribe(self._on_change)

    def collect(self) -> Iterator[Reading]:
        """Return the figures."""
        leadership, clerk = self._leadership, self._leadership.clerk
        view = leadership.view()
        term = int(view.term) if view else 0
        if self._first_term is None and term:
            self._first_term = term
        serving = view is not None and view.leader is not None and bool(view.served)
        yield the.TERM.at(term)
        yield the.LEADER.at(leadership.serves())
        yield the.LEADER_KNOWN.at(serving)
        yield the.LEADER_CHANGES.at(term - (self._first_term or term))
        mine = (str(view.role) if view else "follower") if self._votes() else "edge"
        for role in ROLES:
            yield the.ROLE.at(role == mine, role)
        yield the.ELECTIONS_FAILED.at(clerk.polls_failed)
        yield the.QUARANTINED.at(len(clerk.convictions()))
        for answer, count in clerk.answered.items():
            yield the.VOTES.at(count, answer)
        for reason, count in self._ended.items():
            yield the.LEADERSHIPS_ENDED.at(count, reason.name.lower())
        for offence, count in clerk.counters.items():
            if ":" not in offence:  # Those with one name the voter, too.
                yield the.REJECTED.at(count, offence)

    async def _on_change(self, change: Change) -> None:
        if isinstance(change, LeadershipEnded):
            self._ended[change.reason] += 1


def of_lane(leadership: Leadership) -> Collector:
    """Return what reads this node's writes as leader."""

    def collect() -> Iterator[Reading]:
        writes = leadership.writes
        if writes is None:
            return
        totals = writes.totals
        for kind in ("messages", "entries", "records"):
            yield the.LANE_WRITES.at(totals.pop(kind, 0), kind)
        yield the.LANE_DEPOSED.at(totals.pop("deposed", 0))
        for other in ("lanes", "found"):
            totals.pop(other, 0)
        for code, count in totals.items():
            yield the.LANE_ERRORS.at(count, code)
        yield the.LANE_SECONDS.boxes(writes.took.boxes())
        yield the.LANE_WAITING.at(writes.waiting_ms / 1000)

    return collect
