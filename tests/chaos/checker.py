"""Proves from a run's history and the final log that the cluster kept its promises, or says where.

Pure: events and messages in, violations out. Each rule is a function of its own, and
`tests/unit/test_chaos_checker.py` plants a violation of each and sees it found. The rules:

    lost           an acknowledged write is not in the log of a replica, or not where the
                   acknowledgement said
    twice          an entry is in the log twice (a batch that came twice under its name counts once,
                   as readers of the log treat it)
    denied         a write that was reported as not written is in the log
    unasked        an entry is in the log that no client asked for
    order          within one lane, entries lie in the log in the order they were asked for
    time           a write that was acknowledged before another was asked for lies before it
    fence          between two `_term` records lie only entries of the leadership of the first
    term           terms grow with each `_term` record, and each record follows the one before
    certificate    each record carries a majority's ballots for itself
    accepted       whom nodes followed is whom the record of that term names; one per term
    forgetful      no node that keeps running follows an older term after a newer one
    belief         no node held itself for the serving leader when a later leader had already been
                   acknowledged
    recovery       after each healing a write that was asked for afterwards succeeds in time, if
                   the run went on for that long
    replica        every replica holds the same log, and none ends before one that was read earlier
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from bzzz_core.election.ballot import decode_record
from bzzz_core.election.messages import TermRecord
from bzzz_core.errors import IntegrityError, TrustError
from bzzz_core.fabric.batch import decode_batch
from tests.chaos.entry import RECORD_KEY, Entry, decode_entry
from tests.chaos.final_log import FinalLog
from tests.chaos.history import Answered, Believed, Event, Followed, Healed, Invoked, Started

TERM_KEY = "_term"
LOG_KEY = "log"


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """One promise that was not kept."""

    rule: str
    what: str


@dataclass(frozen=True, slots=True)
class Placed:
    """An entry of a client and the message it lies in."""

    revision: int
    entry: Entry


@dataclass(slots=True)
class Evidence:
    """History and log, prepared for the rules."""

    invoked: dict[str, Invoked] = field(default_factory=dict)
    answered: dict[str, Answered] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    placed: list[Placed] = field(default_factory=list)
    terms: list[tuple[int, TermRecord]] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    batches_again: int = 0

    @property
    def written(self) -> list[tuple[Invoked, Answered]]:
        """Return the acknowledged writes."""
        return [
            (self.invoked[op], answer)
            for op, answer in self.answered.items()
            if answer.outcome == "written" and op in self.invoked
        ]


def gather(events: Sequence[Event], log: FinalLog) -> Evidence:
    """Sort out what the rules look at."""
    found = Evidence(events=list(events))
    for event in events:
        if isinstance(event, Invoked):
            found.invoked[event.op] = event
        elif isinstance(event, Answered):
            found.answered[event.op] = event
    batches: set[str] = set()
    for message in log.messages:
        try:
            if message.key == TERM_KEY:
                found.terms.append((message.revision, decode_record(message.content)))
            elif message.key == LOG_KEY:
                batch = decode_batch(message.content)
                if batch.request in batches:
                    found.batches_again += 1
                    continue
                batches.add(batch.request)
                entries = (decode_entry(content) for content in batch.entries)
                found.placed += [Placed(message.revision, entry) for entry in entries if entry]
            elif message.key == RECORD_KEY and (entry := decode_entry(message.content)):
                found.placed.append(Placed(message.revision, entry))
        except (IntegrityError, TrustError) as exc:
            found.damaged.append(f"message {message.revision} of {message.key}: {exc}")
    return found


def check(
    events: Sequence[Event], log: FinalLog, *, prove: Callable[[TermRecord], None]
) -> list[Violation]:
    """Return every violation; none means that the run kept all promises.

    Args:
        events: The history of all processes, in the order of time.
        log: The control stream at the end.
        prove: Raises `TrustError` if a term's certificate does not hold.
    """
    evidence = gather(events, log)
    return sorted(
        violation
        for rule in (*_RULES, lambda each: _certificates(each, prove))
        for violation in rule(evidence)
    )


def check_replicas(
    events: Sequence[Event], logs: Sequence[FinalLog], *, prove: Callable[[TermRecord], None]
) -> list[Violation]:
    """Return every violation that the logs of all replicas show.

    All rules look at the log that goes furthest; what was acknowledged has to be in each.

    Args:
        events: As for `check`.
        logs: What the replicas hold, in the order in which they were read.
        prove: As for `check`.
    """
    furthest = max(logs, key=lambda log: len(log.messages))
    lost = [
        Violation(violation.rule, f"{violation.what}, in the log of {log.led_by}")
        for log in logs
        if log is not furthest
        for violation in _lost(gather(events, log))
    ]
    return [*check(events, furthest, prove=prove), *lost, *same_log(logs)]


def same_log(logs: Sequence[FinalLog]) -> list[Violation]:
    """Compare what several replicas hold, in the order in which they were read.

    Nothing is written any more. What a later one has in addition was still under way at first; what
    it lacks is gone.
    """
    found = []
    longest = logs[0]
    for log in logs[1:]:
        names = f"{longest.led_by} and {log.led_by}"
        if longest.stream != log.stream:
            found.append(Violation("replica", f"{names} hold different streams"))
            continue
        for one, other in zip(longest.messages, log.messages, strict=False):
            if one != other:
                found.append(Violation("replica", f"{names} differ at message {one.revision}"))
                break
        if len(log.messages) < len(longest.messages):
            held, before = len(log.messages), len(longest.messages)
            found.append(Violation("replica", f"{names} hold {before} and {held} messages"))
        else:
            longest = log
    return found


def _damaged(evidence: Evidence) -> Iterator[Violation]:
    for what in evidence.damaged:
        yield Violation("unasked", what)


def _lost(evidence: Evidence) -> Iterator[Violation]:
    places = {placed.entry.op: placed.revision for placed in evidence.placed}
    for invoked, answer in evidence.written:
        where = places.get(invoked.op)
        if where is None:
            yield Violation("lost", f"{invoked.op} was acknowledged at {answer.revision}")
        elif where != answer.revision:
            yield Violation(
                "lost", f"{invoked.op} was acknowledged at {answer.revision} and lies at {where}"
            )


def _twice(evidence: Evidence) -> Iterator[Violation]:
    seen: dict[str, int] = {}
    for placed in evidence.placed:
        before = seen.setdefault(placed.entry.op, placed.revision)
        if before != placed.revision:
            yield Violation("twice", f"{placed.entry.op} lies at {before} and {placed.revision}")


def _denied(evidence: Evidence) -> Iterator[Violation]:
    for placed in evidence.placed:
        answer = evidence.answered.get(placed.entry.op)
        if answer is not None and answer.outcome == "not written":
            yield Violation(
                "denied", f"{placed.entry.op} lies at {placed.revision}: {answer.reason}"
            )


def _unasked(evidence: Evidence) -> Iterator[Violation]:
    for placed in evidence.placed:
        asked = evidence.invoked.get(placed.entry.op)
        if asked is None or asked.token != placed.entry.token:
            yield Violation("unasked", f"{placed.entry.op} at {placed.revision}")


def _order(evidence: Evidence) -> Iterator[Violation]:
    last: dict[tuple[str, int], Placed] = {}
    for placed in evidence.placed:
        asked = evidence.invoked.get(placed.entry.op)
        if asked is None or asked.past_the_lane:
            continue
        lane = (asked.node, asked.token)
        before = last.get(lane)
        if before is not None and before.entry.number >= placed.entry.number:
            yield Violation("order", f"{placed.entry.op} lies after {before.entry.op}")
        last[lane] = placed


def _time(evidence: Evidence) -> Iterator[Violation]:
    """Walk in time: nothing asked for later may lie before what was acknowledged already."""
    acknowledged = sorted((a.at_ns, a.revision, a.op) for _, a in evidence.written)
    newest, at = (0, ""), 0
    for invoked, answer in sorted(evidence.written, key=lambda pair: pair[0].at_ns):
        while at < len(acknowledged) and acknowledged[at][0] < invoked.at_ns:
            newest = max(newest, acknowledged[at][1:])
            at += 1
        if answer.revision <= newest[0]:
            yield Violation("time", f"{invoked.op} was asked for after {newest[1]}, lies before")


def _fence(evidence: Evidence) -> Iterator[Violation]:
    places = [revision for revision, _ in evidence.terms]
    for placed in evidence.placed:
        at = bisect_right(places, placed.revision) - 1
        fenced_by = places[at] if at >= 0 else 0
        if fenced_by != placed.entry.token:
            yield Violation(
                "fence",
                f"{placed.entry.op} of token {placed.entry.token} lies at {placed.revision},"
                f" where {fenced_by} is in force",
            )


def _terms(evidence: Evidence) -> Iterator[Violation]:
    before_at, before_term = 0, 0
    for at, record in evidence.terms:
        if record.term <= before_term:
            yield Violation("term", f"term {record.term} at {at} follows term {before_term}")
        if record.previous != before_at:
            yield Violation(
                "term", f"term {record.term} follows {record.previous}, not {before_at}"
            )
        before_at, before_term = at, record.term


def _certificates(evidence: Evidence, prove: Callable[[TermRecord], None]) -> Iterator[Violation]:
    for at, record in evidence.terms:
        try:
            prove(record)
        except TrustError as exc:
            yield Violation("certificate", f"term {record.term} at {at}: {exc}")


def _accepted(evidence: Evidence) -> Iterator[Violation]:
    records = {at: (int(record.term), str(record.leader)) for at, record in evidence.terms}
    followed = {
        (event.node, event.term, event.leader, event.token)
        for event in evidence.events
        if isinstance(event, Followed)
    }
    for node, term, leader, token in sorted(followed):
        if records.get(token) != (term, leader):
            yield Violation(
                "accepted", f"{node} followed {leader} in term {term}, token {token}: no record"
            )


def _forgetful(evidence: Evidence) -> Iterator[Violation]:
    newest: dict[str, int] = {}
    for event in evidence.events:
        if isinstance(event, Started):
            newest[event.process] = 0
        elif isinstance(event, Followed):
            before = newest.get(event.process, 0)
            if event.term < before or (event.term == before and not event.mine):
                yield Violation(
                    "forgetful", f"{event.node} followed term {event.term} after {before}"
                )
            newest[event.process] = max(before, event.term)


def _belief(evidence: Evidence) -> Iterator[Violation]:
    acknowledged = sorted((a.at_ns, i.term) for i, a in evidence.written)
    newest, at = 0, 0
    for event in (event for event in evidence.events if isinstance(event, Believed)):
        while at < len(acknowledged) and acknowledged[at][0] < event.at_ns:
            newest = max(newest, acknowledged[at][1])
            at += 1
        if event.term < newest:
            yield Violation(
                "belief",
                f"{event.node} believed in its term {event.term} after a write of {newest}",
            )


def _recovery(evidence: Evidence) -> Iterator[Violation]:
    successes = sorted((invoked.at_ns, answer.at_ns) for invoked, answer in evidence.written)
    ended_ns = max((event.at_ns for event in evidence.events), default=0)
    for healed in (event for event in evidence.events if isinstance(event, Healed)):
        limit_ns = healed.at_ns + healed.limit_ms * 1_000_000
        done = [end for start, end in successes if healed.at_ns <= start and end <= limit_ns]
        if not done and limit_ns <= ended_ns:
            yield Violation(
                "recovery", f"no write within {healed.limit_ms} ms after: {healed.what}"
            )


_RULES: tuple[Callable[[Evidence], Iterator[Violation]], ...] = (
    _damaged,
    _lost,
    _twice,
    _denied,
    _unasked,
    _order,
    _time,
    _fence,
    _terms,
    _accepted,
    _forgetful,
    _belief,
    _recovery,
)
