"""Ends a run: reads what is left, lets the checker judge, and puts it into figures and words."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import msgspec

from bzzz_core.election.ballot import verify_certificate
from bzzz_core.election.messages import TermRecord
from bzzz_core.model import ClusterId, StreamId
from tests.chaos.checker import check_replicas, gather
from tests.chaos.cluster import ChaosCluster
from tests.chaos.final_log import FinalLog
from tests.chaos.history import Answered, Event, Invoked, now_ns


class Verdict(msgspec.Struct, frozen=True):
    """What a run showed."""

    operations: dict[str, int]
    """Outcome -> writes; `unanswered` had no outcome, their process died."""
    past_the_lane: dict[str, int]
    """The same for writes of clients that ignored the end of their leadership."""
    terms: int
    leaders: int
    """Different nodes that led."""
    messages: int
    replicas_read: int
    batches_again: int
    longest_gap_ms: int
    """Longest time without an acknowledged write, faults included."""
    ended_by_themselves: list[str]
    violations: list[str]

    @property
    def good(self) -> bool:
        """Return whether every promise was kept."""
        return not self.violations and not self.ended_by_themselves


async def judge(cluster: ChaosCluster) -> Verdict:
    """Judge a cluster that goes on working: by its leader's log alone.

    What is answered while the log is being read may be in it or not; it counts as unanswered.
    """
    until_ns = now_ns()
    told = acknowledged([e for e in cluster.history() if e.at_ns <= until_ns])
    log = await asyncio.to_thread(cluster.final_log, at_least=told)
    events = [e for e in cluster.history() if e.at_ns <= until_ns or isinstance(e, Invoked)]
    return _verdict(cluster, events, [log])


async def judge_at_the_end(cluster: ChaosCluster) -> Verdict:
    """Stop all agents, so that nothing is written any more, and read every replica."""
    for host in cluster.hosts:
        await asyncio.to_thread(host.stop_agent)
    voters = [host.name for host in cluster.hosts if host.voter]
    told = acknowledged(cluster.history())
    logs = await asyncio.to_thread(read_each, cluster.final_log, voters, told)
    return _verdict(cluster, cluster.history(), logs)


class ReadLog(Protocol):
    """Reads the log through a named node's broker, as `ChaosCluster.final_log` does."""

    def __call__(self, *, led_by: str, at_least: int) -> FinalLog:
        """Return the log; one that ends before `at_least` is read again for a while."""
        ...


def read_each(read: ReadLog, voters: Sequence[str], told: int) -> list[FinalLog]:
    """Read one replica after the other, when nothing is written any more.

    A broker that has just begun to lead may not have applied all yet, what nobody was told of
    least of all: it gets time to come as far as those before it.

    Args:
        read: Reads one.
        voters: Names of their nodes.
        told: The last revision that a client was told of.
    """
    logs: list[FinalLog] = []
    for name in voters:
        logs.append(read(led_by=name, at_least=told))
        told = max([told, *(message.revision for message in logs[-1].messages[-1:])])
    return logs


def acknowledged(events: list[Event]) -> int:
    """Return the last revision that a client was told of."""
    return max((event.revision for event in events if isinstance(event, Answered)), default=0)


def _verdict(cluster: ChaosCluster, events: list[Event], logs: list[FinalLog]) -> Verdict:
    log = max(logs, key=lambda each: len(each.messages))
    evidence = gather(events, log)
    voters = cluster.voters

    def prove(record: TermRecord) -> None:
        verify_certificate(
            record,
            cluster=ClusterId(cluster.files.cluster_id),
            stream=StreamId(log.stream),
            voters=voters,
        )

    violations = check_replicas(events, logs, prove=prove)
    outcomes: dict[bool, Counter[str]] = {False: Counter(), True: Counter()}
    for op, asked in evidence.invoked.items():
        answer = evidence.answered.get(op)
        outcomes[asked.past_the_lane][answer.outcome if answer else "unanswered"] += 1
    return Verdict(
        operations=dict(outcomes[False]),
        past_the_lane=dict(outcomes[True]),
        terms=len(evidence.terms),
        leaders=len({record.leader for _, record in evidence.terms}),
        messages=len(log.messages),
        replicas_read=len(logs),
        batches_again=evidence.batches_again,
        longest_gap_ms=_longest_gap_ms(events),
        ended_by_themselves=cluster.ended_by_themselves(),
        violations=[f"{violation.rule}: {violation.what}" for violation in violations],
    )


def _longest_gap_ms(events: list[Event]) -> int:
    written = [e.at_ns for e in events if isinstance(e, Answered) and e.outcome == "written"]
    return max((later - earlier for earlier, later in pairwise(written)), default=0) // 1_000_000
