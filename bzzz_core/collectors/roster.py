"""Figures of the roster: how many nodes are there, which of them vote, how far away those are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from bzzz_core.membership.service import MembershipService
from bzzz_core.model import MemberState, NodeId, VoterSet
from bzzz_core.telemetry import metrics_catalogue as the
from bzzz_core.telemetry.metrics import Collector
from bzzz_core.telemetry.metrics_catalogue import Reading

_SUBJECTS_MAX: Final = 64
"""Names that an alert may be about; there may be a thousand members."""


def of_roster(
    membership: MembershipService,
    *,
    me: NodeId,
    voters: Callable[[], VoterSet],
    names: Callable[[], Mapping[NodeId, str]],
) -> Collector:
    """Return what reads the roster.

    Args:
        membership: The roster.
        me: This node.
        voters: The committed voters.
        names: What operators call the nodes.
    """

    def collect() -> Iterator[Reading]:
        known, committed = names(), voters()
        by_state: dict[MemberState, list[str]] = {state: [] for state in MemberState}
        versions = set()
        alive = 0
        for member in membership.members():
            by_state[member.state].append(known.get(member.node, member.node))
            if member.state is MemberState.ALIVE and member.beat is not None:
                versions.add(member.beat.version)
            if committed.find(member.node) is None:
                continue
            alive += member.state is MemberState.ALIVE
            if member.rtt_ms is not None and member.node != me:
                name = known.get(member.node, member.node)
                yield the.VOTER_RTT.at(member.rtt_ms / 1000, name)
        for state, found in by_state.items():
            yield the.MEMBERS.at(len(found), str(state), subjects=sorted(found)[:_SUBJECTS_MAX])
        yield the.VERSIONS.at(len(versions))
        yield the.VOTERS.at(len(committed.voters))
        yield the.VOTERS_ALIVE.at(alive)
        yield the.VOTERS_SPARE.at(alive - committed.majority)
        for kind, count in membership.counters.items():
            yield the.ROSTER_MESSAGES.at(count, kind)

    return collect
