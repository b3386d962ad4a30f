"""The roster decides by silence alone, and only by silence that it measured itself."""

import pytest

from bzzz_core.config.sections import RosterTimings
from bzzz_core.membership.beat import Beat, Digest, Told
from bzzz_core.membership.machine import AskDigest, Changed, DigestHeard, Heard, Roster, Tick
from bzzz_core.model import MemberState, NodeId, Sample

ME, PEER, OTHER = NodeId("me"), NodeId("peer"), NodeId("other")
TIMINGS = RosterTimings(beat_ms=1_000, suspect_ms=3_000, dead_ms=8_000)
ALIVE, SUSPECT, DEAD = MemberState.ALIVE, MemberState.SUSPECT, MemberState.DEAD


def beat(node: NodeId = PEER, *, number: int = 1, incarnation: int = 1, **fields: object) -> Beat:
    return Beat(
        node=node,
        name=node,
        address="192.0.2.1",
        version="0",
        incarnation=incarnation,
        number=number,
        uptime_s=0,
        voter=True,
        **fields,
    )


def roster(*, edge: bool = False) -> Roster:
    return Roster(TIMINGS, me=ME, nodes=(ME, PEER, OTHER), edge=edge, now_ms=0)


def state(of: Roster, node: NodeId = PEER) -> MemberState:
    return next(member.state for member in of.members() if member.node == node)


def tick_until(of: Roster, now_ms: int, *, since_ms: int) -> list[object]:
    return [a for ms in range(since_ms, now_ms + 1, 250) for a in of.handle(Tick(), ms)]


def test_everyone_is_suspect_until_heard() -> None:
    """A fresh node knows who is enrolled, not how they are."""
    fresh = roster()
    assert state(fresh) is SUSPECT
    assert fresh.handle(Heard(beat()), 10) == [Changed(PEER, SUSPECT, ALIVE)]


def test_silence_makes_a_member_suspect_and_then_dead() -> None:
    """The two thresholds act at their own time, once each."""
    watching = roster()
    watching.handle(Heard(beat()), 0)
    actions = [a for a in tick_until(watching, 9_000, since_ms=0) if a.node == PEER]  # type: ignore[attr-defined]
    assert actions == [Changed(PEER, ALIVE, SUSPECT), Changed(PEER, SUSPECT, DEAD)]


@pytest.mark.parametrize(("silent_ms", "expected"), [(2_999, ALIVE), (3_000, SUSPECT)])
def test_suspicion_starts_exactly_at_its_threshold(silent_ms: int, expected: MemberState) -> None:
    watching = roster()
    watching.handle(Heard(beat()), 0)
    tick_until(watching, 2_750, since_ms=0)
    watching.handle(Tick(), silent_ms)
    assert state(watching) is expected


def test_a_dead_member_that_beats_again_is_alive() -> None:
    watching = roster()
    watching.handle(Heard(beat()), 0)
    tick_until(watching, 8_000, since_ms=0)
    assert state(watching) is DEAD
    watching.handle(Heard(beat(number=2)), 8_100)
    assert state(watching) is ALIVE


def test_a_beat_of_an_earlier_start_is_dropped() -> None:
    """Otherwise a message delayed over a restart would keep a dead node alive."""
    watching = roster()
    watching.handle(Heard(beat(incarnation=2, number=1)), 0)
    tick_until(watching, 8_000, since_ms=0)
    assert watching.handle(Heard(beat(incarnation=1, number=99)), 8_100) == []
    assert state(watching) is DEAD


def test_a_doubled_beat_proves_nothing() -> None:
    watching = roster()
    watching.handle(Heard(beat(number=5)), 0)
    tick_until(watching, 3_000, since_ms=0)
    watching.handle(Heard(beat(number=5)), 3_100)
    assert state(watching) is SUSPECT


def test_a_stranger_is_not_taken_in() -> None:
    assert roster().handle(Heard(beat(NodeId("stranger"))), 0) == []


def test_a_node_that_slept_does_not_blame_the_others() -> None:
    """After SIGCONT every deadline lies in the past; that says nothing about the peers."""
    watching = roster()
    watching.handle(Heard(beat()), 0)
    watching.handle(Tick(), 250)
    watching.handle(Tick(), 60_000)
    assert state(watching) is ALIVE
    tick_until(watching, 63_000, since_ms=60_250)
    assert state(watching) is SUSPECT


def test_a_beat_read_before_the_waking_tick_is_not_pushed_into_the_future() -> None:
    """Or a member that dies right after would be shown alive for as long as we slept."""
    watching = roster()
    watching.handle(Heard(beat()), 0)
    watching.handle(Tick(), 250)
    watching.handle(Heard(beat(number=2)), 600_000)
    tick_until(watching, 603_250, since_ms=600_000)
    assert state(watching) is SUSPECT


def test_leaving_is_not_dying() -> None:
    watching = roster()
    watching.handle(Heard(beat(leaving=True)), 0)
    tick_until(watching, 20_000, since_ms=0)
    assert state(watching) is MemberState.LEFT


def test_an_edge_believes_the_digest() -> None:
    edge = roster(edge=True)
    told = Told(beat(), DEAD, heard_ms_ago=9_000)
    assert edge.handle(DigestHeard(Digest(1, full=True, members=(told,))), 100) == [
        Changed(PEER, SUSPECT, DEAD)
    ]


def test_an_edge_that_missed_a_digest_asks_for_all() -> None:
    edge = roster(edge=True)
    edge.handle(DigestHeard(Digest(1, full=True, members=())), 0)
    assert edge.handle(DigestHeard(Digest(2, full=False, members=())), 10) == []
    assert edge.handle(DigestHeard(Digest(4, full=False, members=())), 20) == [AskDigest()]


def test_an_edge_without_digests_holds_everyone_for_suspect() -> None:
    """It cannot tell a dead peer from a dead line, and must not show green."""
    edge = roster(edge=True)
    edge.handle(Heard(beat(ME)), 0)
    edge.handle(DigestHeard(Digest(1, full=True, members=(Told(beat(), ALIVE, 0),))), 0)
    for ms in range(0, 3_001, 250):
        edge.handle(Heard(beat(ME, number=2 + ms)), ms)
        edge.handle(Tick(), ms)
    assert state(edge) is SUSPECT
    assert state(edge, ME) is ALIVE


def test_an_idle_cluster_tells_nothing() -> None:
    """Traffic to edges grows with change, not with the number of nodes."""
    leader = roster()
    sample = Sample(cpu_percent=10.0, memory_used_bytes=50, memory_total_bytes=100)
    leader.handle(Heard(beat(sample=sample)), 0)
    assert [told.beat.node for told in leader.tell(10, full=False)] == [PEER]
    leader.handle(Heard(beat(number=2, sample=sample)), 1_000)
    assert leader.tell(1_010, full=False) == ()
    busy = Sample(cpu_percent=15.0, memory_used_bytes=50, memory_total_bytes=100)
    leader.handle(Heard(beat(number=3, sample=busy)), 2_000)
    assert [told.beat.number for told in leader.tell(2_010, full=False)] == [3]
    assert len(leader.tell(2_020, full=True)) == 1
