"""Who may leave is a matter of who lives: a leave never commits voters that have no majority."""

from __future__ import annotations

from bzzz_core.growth.machine import (
    Commit,
    Evict,
    Member,
    Peer,
    RemovePeer,
    Replica,
    Step,
    Stream,
    View,
    Wait,
    next_step,
)
from bzzz_core.model import NodeId

NODES = tuple(NodeId(name) for name in "abcde")


def step(voters: int, *, dead: str, leaving: str) -> Step | Wait | None:
    """Return what is next in a cluster of so many voters and nobody else, led by `a`."""
    nodes = NODES[:voters]
    members = tuple(
        Member(node, voter=True, alive=node not in dead, leaving=node in leaving) for node in nodes
    )
    peers = tuple(
        Peer(f"{node}-1", node, online=node not in dead, current=node not in dead) for node in nodes
    )
    view = View(me=nodes[0], members=members, committed=frozenset(nodes), peers=peers, streams=())
    stay = voters - len(leaving)
    return next_step(view, voters=5 if stay >= 5 else 3 if stay >= 3 else 1)


def test_a_living_voter_of_three_leaves_the_living_one_behind() -> None:
    """With one of three dead the leader alone is the new majority, not half of a dead pair."""
    assert step(3, dead="c", leaving="b") == Commit(frozenset("a"))


def test_a_leave_waits_rather_than_leave_the_dead_in_the_majority() -> None:
    """And says who is missing, so that somebody can bring it back or revoke it."""
    found = step(5, dead="de", leaving="bc")
    assert isinstance(found, Wait)
    assert found.reason.endswith("not running: d, e")


def test_without_anybody_alive_to_take_over_it_says_who_is_silent() -> None:
    """One voter and an edge that is away: the voter cannot go before the edge is back."""
    me, edge = NODES[:2]
    members = (
        Member(me, voter=True, alive=True, leaving=True),
        Member(edge, voter=False, alive=False),
    )
    peers = (Peer("a-1", me, online=True, current=True),)
    view = View(me=me, members=members, committed=frozenset({me}), peers=peers, streams=())
    assert next_step(view, voters=1) == Wait("nobody is alive that could vote: b not heard")


def test_the_last_broker_but_one_is_counted_no_longer_before_it_ends() -> None:
    """Afterwards the other one alone would be no majority of the two, for ever."""
    me, other = NODES[:2]
    members = (Member(me, voter=True, alive=True), Member(other, voter=True, alive=True))
    peers = tuple(Peer(f"{node}-1", node, online=True, current=True) for node in (me, other))
    view = View(me=me, members=members, committed=frozenset({me}), peers=peers, streams=())
    assert next_step(view, voters=1) == RemovePeer("b-1")


def test_nobody_is_demoted_before_whoever_was_demoted_last_is_gone() -> None:
    """Its broker is ending and looks alive for seconds; both together are the majority of three."""
    members = tuple(Member(node, voter=node != "b", alive=True) for node in NODES[:3])
    peers = tuple(Peer(f"{node}-1", node, online=True, current=True) for node in NODES[:3])
    committed = frozenset({NODES[0]})
    view = View(me=NODES[0], members=members, committed=committed, peers=peers, streams=())
    assert next_step(view, voters=1) == Wait("broker b-1 is ending")


def test_the_dead_give_up_their_replicas_before_whoever_leaves() -> None:
    """One of three died and was revoked, one leaves, two edges are there to take their places.

    A stream on all three cannot spare a living replica before the dead one is somewhere else.
    """
    lead, goes, died = NODES[:3]
    members = tuple(
        Member(node, voter=True, alive=True, leaving=node == goes) for node in NODES if node != died
    )
    peers = tuple(
        Peer(f"{node}-1", node, online=node != died, current=node != died) for node in NODES
    )
    placed = tuple(Replica(f"{n}-1", leader=n == lead, current=n != died) for n in NODES[:3])
    stream = Stream("control", 3, placed, control=True)
    view = View(lead, members, committed=frozenset(NODES[:3]), peers=peers, streams=(stream,))
    assert next_step(view, voters=3) == Evict("control", f"{died}-1")
