"""Who is what in a cluster, by what its nodes say: only where all agree that all is well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bzzz_core.api.documents import Status


class Place(Protocol):
    """What is known of a host before anybody is asked."""

    @property
    def name(self) -> str:
        """Return the node's name."""
        ...

    @property
    def voter(self) -> bool:
        """Return whether it is to have a vote."""
        ...


@dataclass(frozen=True, slots=True)
class Roles:
    """Who is what right now, by place in the cluster."""

    term: int
    leader: int
    stream_leader: int
    followers: tuple[int, ...]
    """The voters that are neither."""
    edges: tuple[int, ...]


def agreed(statuses: Sequence[Status | None], hosts: Sequence[Place]) -> Roles | None:
    """Return who is what; None while not all of this is said by everybody.

    One serving leader of one term, all members alive, everybody at the broker where it belongs;
    and by the voters: that they take part in elections (who was started follows a leader before
    that, as an edge does), and one leader of the stream, elsewhere than the leader is.
    """
    said = [status for status in statuses if status is not None]
    if len(said) < len(hosts):
        return None
    votes = [status for status, host in zip(said, hosts, strict=True) if host.voter]
    views = {(status.leader, status.term, status.leader_serving) for status in said}
    streams = {status.fabric.stream_leader for status in votes}
    if len(views) != 1 or len(streams) != 1:
        return None
    voting = all(status.role != "edge" for status in votes)
    alive = all(member.state == "alive" for status in said for member in status.members)
    home = all(status.fabric.state == "connected" for status in said)
    (leader, term, serving), stream = views.pop(), streams.pop()
    if leader is None or stream is None or not (voting and alive and home and serving):
        return None
    places = {host.name: number for number, host in enumerate(hosts)}
    voters = [number for number, host in enumerate(hosts) if host.voter]
    if leader == stream and len(voters) > 1:
        return None  # The leader has not moved the stream away yet.
    led = {places[leader], places[stream]}
    return Roles(
        term,
        places[leader],
        places[stream],
        tuple(number for number in voters if number not in led),
        tuple(number for number in range(len(hosts)) if number not in voters),
    )
