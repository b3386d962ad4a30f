"""Tells the services of this node, the clerk and the log what has become of leadership."""

from __future__ import annotations

from bzzz_core.election.announce import Announcer, LeaderChanged, LeadershipEnded
from bzzz_core.election.clerk import Clerk, Report
from bzzz_core.election.events import (
    Decided,
    LeaderBack,
    LeaderFound,
    LeaderLost,
    PollFailed,
    SteppedDown,
)
from bzzz_core.model import FencingToken, StreamId


class Herald:
    """Passes on what only says something."""

    def __init__(
        self, *, stream: StreamId, announcer: Announcer, clerk: Clerk, report: Report
    ) -> None:
        """Take who is told; `stream` is that of the fencing tokens."""
        self._stream = stream
        self._announcer = announcer
        self._clerk = clerk
        self._report = report

    def tell(
        self, news: SteppedDown | LeaderFound | LeaderLost | LeaderBack | Decided | PollFailed
    ) -> None:
        """Tell everybody whom it concerns."""
        match news:
            case SteppedDown(term, reason):
                self._announcer.announce(LeadershipEnded(term, reason))
                self._clerk.note_end(term, reason)
                self._report("stepped down", {"term": term, "reason": reason})
            case LeaderFound(term, leader, sequence):
                token = FencingToken(self._stream, sequence)
                self._announcer.announce(LeaderChanged(term, leader, token, mine=False))
                self._clerk.note_hearsay(term, leader)
                self._report("leader found", {"term": term, "leader": leader})
            case LeaderLost(term, why):
                self._clerk.note_end(term, why)
                self._report("leader lost", {"term": term, "reason": why})
            case LeaderBack(term):
                self._clerk.note_back(term)
                self._report("leader heard again", {"term": term})
            case Decided(candidate, term, refusal):
                if self._clerk.note_vote(news):
                    fields = {"candidate": candidate, "term": term, "refusal": refusal}
                    self._report("vote refused" if refusal else "vote given", fields)
            case PollFailed(term):  # pragma: no branch
                self._clerk.note_poll(news)
                self._report("poll failed", {"term": term})
