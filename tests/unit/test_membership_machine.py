"""The roster decides by silence alone, and only by silence that it measured itself."""

import pytest

from bzzz_core.config.sections import RosterTimings
from bzzz_core.membership.beat import Beat, Capabilities, Digest, Echo, Told
from bzzz_core.membership.events import (
    AskRoster,
    Changed,
    DigestHeard,
    Enrolled,
    Heard,
    Outlive,
    PageHeard,
    Refute,
    Sent,
    Tick,
)
from bzzz_core.membership.machine import Roster, beat_period_ms
from bzzz_core.membership.member import Member
from bzzz_core.model import MemberState, NodeId, Sample
from tests.fakes import beats

ME, PEER, OTHER = NodeId("me"), NodeId("peer"), NodeId("other")
TIMINGS = RosterTimings(beat_ms=1_000, suspect_ms=3_000, dead_ms=8_000)
ALIVE, SUSPECT, DEAD, LEFT = (
    MemberState.ALIVE,
    MemberState.SUSPECT,
    MemberState.DEAD,
    MemberState.LEFT,
)


def beat(node: NodeId = PEER, **fields: object) -> Beat:
    return beats.beat(node, **fields)


def roster(*, edge: bool = False) -> Roster:
    return Roster(TIMINGS, me=ME, nodes=(ME, PEER, OTHER), edge=edge, now_ms=0)


def member(of: Roster, node: NodeId = PEER) -> Member:
    return next(each for each in of.members() if each.node == node)


def state(of: Roster, node: NodeId = PEER) -> MemberState:
    return member(of, node).state


def tick_until(of: Roster, now_ms: int, *, since_ms: int) -> list[object]:
    return [a for ms in range(since_ms, now_ms + 1, 250) for a in of.handle(Tick(), ms)]


def digest_of(leader: Roster, *told: Told, **fields: object) -> Digest:
    return Digest(1, members=told, fingerprint=leader.fingerprint, **fields)


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


def test_the_next_tick_is_due_when_silence_matters() -> None:
    """Nothing is polled: an idle node sleeps until something can change."""
    watching = roster()
    watching.handle(Heard(beat()), 0)
    watching.handle(Tick(), 2_500)
    assert watching.next_ms() == 3_000
    watching.handle(Heard(beat(number=2)), 2_900)
    watching.handle(Tick(), 3_000)
    assert watching.next_ms() == 4_000, "at the latest once a second, to notice sleep"


def test_a_dead_member_that_beats_again_is_alive() -> None:
    watching = roster()
    watching.handle(Heard(beat()), 0)
    tick_until(watching, 8_000, since_ms=0)
    assert state(watching) is DEAD
    watching.handle(Heard(beat(number=2)), 8_100)
    assert state(watching) is ALIVE


def test_a_suspect_that_came_back_is_suspected_again_in_time() -> None:
    watching = roster()
    watching.handle(Heard(beat()), 0)
    tick_until(watching, 3_250, since_ms=0)
    assert state(watching) is SUSPECT
    watching.handle(Heard(beat(number=2)), 3_500)
    tick_until(watching, 6_500, since_ms=3_500)
    assert state(watching) is SUSPECT


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


def test_leaving_is_not_dying_and_a_node_may_come_back() -> None:
    watching = roster()
    watching.handle(Heard(beat(leaving=True)), 0)
    tick_until(watching, 20_000, since_ms=0)
    assert state(watching) is LEFT
    watching.handle(Heard(beat(incarnation=2)), 20_100)
    assert state(watching) is ALIVE
    tick_until(watching, 23_250, since_ms=20_250)
    assert state(watching) is SUSPECT


def test_patience_counts_in_the_senders_own_period() -> None:
    """In a large cluster beats are seldom; a node knows best how seldom its own are."""
    watching = roster()
    watching.handle(Heard(beat(period_ms=4_000)), 0)
    tick_until(watching, 11_750, since_ms=0)
    assert state(watching) is ALIVE
    tick_until(watching, 12_000, since_ms=12_000)
    assert state(watching) is SUSPECT
    tick_until(watching, 32_000, since_ms=12_250)
    assert state(watching) is DEAD


@pytest.mark.parametrize(("nodes", "expected"), [(3, 1_000), (250, 1_000), (1_000, 4_000)])
def test_a_voter_hears_a_bounded_number_of_beats_a_second(nodes: int, expected: int) -> None:
    assert beat_period_ms(1_000, nodes) == expected


def test_capabilities_stay_known_between_the_beats_that_carry_them() -> None:
    watching = roster()
    able = Capabilities(models=("llama3",), languages=("python",))
    watching.handle(Heard(beat(capabilities=able)), 0)
    watching.handle(Heard(beat(number=2)), 1_000)
    known = member(watching).beat
    assert known is not None
    assert known.capabilities == able


def test_two_voters_learn_the_time_there_and_back_from_beats_alone() -> None:
    here, there = roster(), Roster(TIMINGS, me=PEER, nodes=(ME, PEER), edge=False, now_ms=500)
    here.handle(Sent(beat(ME, number=1)), 1_000)
    assert here.sending(1, 1_000) == ()
    there.handle(Heard(beat(ME, number=1)), 7_000)
    there.handle(Sent(beat(PEER, number=1)), 7_400)
    echoes = there.sending(1, 7_400)
    assert echoes == (Echo(ME, 1, 1, 400),)
    here.handle(Heard(beat(PEER, number=1, echoes=echoes)), 1_430)
    assert member(here).rtt_ms == 30.0, "430 ms since it was sent, 400 of them kept there"
    here.sending(2, 2_000)
    here.handle(Sent(beat(ME, number=2)), 2_000)
    here.handle(Heard(beat(PEER, number=2, echoes=(Echo(ME, 1, 2, 0),))), 2_080)
    assert member(here).rtt_ms == 40.0, "smoothed"


def test_an_edges_time_is_what_it_measured_to_its_broker() -> None:
    watching = roster()
    watching.handle(Heard(beat(voter=False, rtt_ms=1.5)), 0)
    assert member(watching).rtt_ms == 1.5


def test_a_node_whose_counter_was_lost_counts_on_from_what_others_remember() -> None:
    """Or its beats would be dropped as old ones until their number has passed the old one."""
    restarted = roster()
    restarted.handle(Sent(beat(ME, incarnation=1)), 0)
    heard = restarted.handle(Heard(beat(echoes=(Echo(ME, 41, 7, 0),))), 10)
    assert Outlive(41) in heard
    edge = roster(edge=True)
    edge.handle(Sent(beat(ME, incarnation=1)), 0)
    told = Told(ME, ALIVE, 0, beat(ME, incarnation=41, number=7))
    assert edge.handle(PageHeard((told,)), 10) == [Outlive(41)]


def test_a_node_that_is_held_for_dead_refutes_it() -> None:
    edge = roster(edge=True)
    edge.handle(Sent(beat(ME)), 0)
    for wrong in (SUSPECT, DEAD, LEFT):
        assert edge.handle(PageHeard((Told(ME, wrong, 9_000, beat(ME)),)), 10) == [Refute()]
    assert state(edge, ME) is ALIVE


def test_a_goodbye_in_its_name_moves_no_living_node_and_is_outlived() -> None:
    """A second process of it, on a copied directory, ended; for the others its word is newer."""
    here = roster()
    here.handle(Sent(beat(ME, incarnation=3, number=9)), 0)
    assert here.handle(Heard(beat(ME, incarnation=4, leaving=True)), 10) == [Outlive(4)]
    assert here.handle(Heard(beat(ME, incarnation=3, number=10, leaving=True)), 20) == [Outlive(3)]
    assert (state(here, ME), member(here, ME).incarnation) == (ALIVE, 3)


def test_a_living_second_process_is_not_answered_and_an_old_goodbye_neither() -> None:
    """Two that outlive each other would do nothing else."""
    here = roster()
    here.handle(Sent(beat(ME, incarnation=3, number=9)), 0)
    assert here.handle(Heard(beat(ME, incarnation=4)), 10) == []
    assert here.handle(Heard(beat(ME, incarnation=2, number=99, leaving=True)), 20) == []
    here.handle(Sent(beat(ME, incarnation=3, number=10, leaving=True)), 30)
    assert here.handle(Heard(beat(ME, incarnation=3, number=10, leaving=True)), 40) == []
    assert state(here, ME) is LEFT


def test_a_later_number_of_the_same_start_is_outlived_too() -> None:
    """A copied directory counts the same starts."""
    here = roster()
    here.handle(Sent(beat(ME, incarnation=3, number=9)), 0)
    assert here.handle(Heard(beat(echoes=(Echo(ME, 3, 9, 0),))), 10) == [
        Changed(PEER, SUSPECT, ALIVE)
    ]
    assert Outlive(3) in here.handle(Heard(beat(number=2, echoes=(Echo(ME, 3, 11, 0),))), 20)
    edge = roster(edge=True)
    edge.handle(Sent(beat(ME, incarnation=3, number=9)), 0)
    told = Told(ME, LEFT, 0, beat(ME, incarnation=3, number=11, leaving=True))
    assert edge.handle(PageHeard((told,)), 10) == [Outlive(3)]


def test_an_edge_believes_the_digest() -> None:
    edge, leader = roster(edge=True), roster()
    told = Told(PEER, DEAD, 9_000, beat())
    assert edge.handle(DigestHeard(digest_of(leader, told)), 100)[0] == Changed(PEER, SUSPECT, DEAD)


def test_an_edge_whose_roster_does_not_fit_twice_asks_for_the_whole() -> None:
    """Once is no reason: a change and the digest may cross on the way."""
    edge, leader = roster(edge=True), roster()
    assert edge.handle(DigestHeard(digest_of(leader)), 0) == []
    leader.handle(Heard(beat()), 10)
    assert edge.handle(DigestHeard(digest_of(leader)), 1_000) == []
    assert edge.handle(DigestHeard(digest_of(leader)), 2_000) == [AskRoster()]
    edge.handle(PageHeard(tuple(leader.told_after(NodeId(""), 2_100))), 2_100)
    assert state(edge) is ALIVE
    assert edge.handle(DigestHeard(digest_of(leader)), 3_000) == []


def test_an_edge_that_starts_asks_at_once() -> None:
    edge, leader = roster(edge=True), roster()
    leader.handle(Heard(beat()), 10)
    assert edge.handle(DigestHeard(digest_of(leader)), 20) == [AskRoster()]


def test_what_is_still_to_be_told_is_waited_for() -> None:
    edge, leader = roster(edge=True), roster()
    edge.handle(DigestHeard(digest_of(leader)), 0)
    leader.handle(Heard(beat()), 10)
    for number in range(1, 5):
        assert edge.handle(DigestHeard(digest_of(leader, untold=1)), 1_000 * number) == []


def test_an_edge_without_digests_holds_everyone_for_suspect() -> None:
    """It cannot tell a dead peer from a dead line, and must not show green."""
    edge, leader = roster(edge=True), roster()
    edge.handle(Sent(beat(ME)), 0)
    edge.handle(DigestHeard(digest_of(leader, Told(PEER, ALIVE, 0, beat()))), 0)
    actions: list[object] = []
    for ms in range(0, 3_001, 250):
        edge.handle(Sent(beat(ME, number=2 + ms)), ms)
        actions += edge.handle(Tick(), ms)
    assert actions == [Changed(PEER, ALIVE, SUSPECT)]
    assert state(edge) is SUSPECT
    assert state(edge, ME) is ALIVE
    told_again = edge.handle(DigestHeard(digest_of(leader)), 4_000)
    assert Changed(PEER, SUSPECT, ALIVE) in told_again
    assert state(edge) is ALIVE


def test_the_leader_vouches_for_a_member_with_each_digest() -> None:
    """Nothing is told of a member that is well: its silence at an edge means nothing."""
    edge, leader = roster(edge=True), roster()
    edge.handle(DigestHeard(digest_of(leader, Told(PEER, ALIVE, 500, beat()))), 1_000)
    assert member(edge).heard_ms == 1_000
    edge.handle(DigestHeard(digest_of(leader)), 60_000)
    assert member(edge).heard_ms == 60_000


@pytest.mark.parametrize("edge", [False, True])
def test_whoever_takes_long_to_walk_the_roster_sees_it_as_it_was(edge: bool) -> None:  # noqa: FBT001
    """A large one is walked in steps; half of it from before and half from after is no roster."""
    of, leader = roster(edge=edge), roster()
    for node in (PEER, OTHER):
        told = Told(node, ALIVE, 100, beat(node))
        leader.handle(PageHeard((told,)), 1_000)
        of.handle(PageHeard((told,)), 1_000)
    of.handle(DigestHeard(digest_of(leader)), 1_200)
    before = of.members()
    walk = of.seen()
    seen = [next(walk)]
    of.handle(Heard(beat(PEER, number=2)), 1_300)
    of.handle(DigestHeard(digest_of(leader, Told(OTHER, DEAD, 9_000, beat(OTHER)))), 1_400)
    tick_until(of, 20_000, since_ms=1_500)
    of.handle(Enrolled((ME,), edge=not edge), 20_100)
    seen += walk
    assert sorted(seen, key=lambda one: one.node) == list(before)
    assert [one.node for one in of.seen()] == [ME]


def test_two_rosters_fit_when_they_agree_on_states_and_starts() -> None:
    one, two = roster(), roster()
    for each in (one, two):
        each.handle(Heard(beat(incarnation=3)), 10)
    assert one.fingerprint == two.fingerprint
    one.handle(Heard(beat(incarnation=3, number=2, sample=Sample(cpu_percent=50.0))), 20)
    assert one.fingerprint == two.fingerprint, "load is nothing to agree on"
    one.handle(Heard(beat(incarnation=4)), 30)
    assert one.fingerprint != two.fingerprint


def test_nodes_join_and_leave_at_run_time() -> None:
    watching, new = roster(), NodeId("new")
    watching.handle(Heard(beat()), 0)
    watching.handle(Enrolled((ME, PEER, new), edge=False), 100)
    assert [each.node for each in watching.members()] == [ME, new, PEER]
    assert state(watching) is ALIVE, "whoever stays, stays as it was"
    assert watching.handle(Heard(beat(new)), 200) == [Changed(new, SUSPECT, ALIVE)]
    assert watching.handle(Heard(beat(OTHER)), 200) == [], "revoked: not heard any more"
    same = Roster(TIMINGS, me=ME, nodes=(ME, PEER, new), edge=False, now_ms=0)
    same.handle(Heard(beat()), 0)
    same.handle(Heard(beat(new)), 0)
    assert watching.fingerprint == same.fingerprint


def test_an_edge_that_becomes_a_voter_judges_for_itself() -> None:
    node, leader = roster(edge=True), roster()
    node.handle(DigestHeard(digest_of(leader, Told(PEER, ALIVE, 0, beat()))), 0)
    node.handle(Enrolled((ME, PEER, OTHER), edge=False), 100)
    tick_until(node, 8_250, since_ms=250)
    assert state(node) is DEAD
