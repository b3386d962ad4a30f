"""What a digest tells: what is new, soon, and within its number of bytes."""

from bzzz_core.config.sections import RosterTimings
from bzzz_core.membership.beat import Capabilities, size_of
from bzzz_core.membership.events import Heard, Tick
from bzzz_core.membership.machine import Roster
from bzzz_core.membership.telling import LOAD_BYTES_MAX, URGENT_BYTES_MAX
from bzzz_core.model import MemberState, NodeId, Sample
from tests.fakes.beats import beat

ME, PEER = NodeId("me"), NodeId("peer")
TIMINGS = RosterTimings(beat_ms=1_000, suspect_ms=3_000, dead_ms=8_000)
QUIET_MS = 1_000_000
"""Long after the last change of state."""
IDLE = Sample(cpu_percent=10.0, memory_used_bytes=50, memory_total_bytes=100)
BUSY = Sample(cpu_percent=15.0, memory_used_bytes=50, memory_total_bytes=100)


def leading(count: int = 1) -> tuple[Roster, list[NodeId]]:
    """Return a roster of living members whose leader begins long after they came."""
    nodes = [NodeId(f"peer-{number:04}") for number in range(count)]
    roster = Roster(TIMINGS, me=ME, nodes=tuple(nodes), edge=False, now_ms=0)
    for node in nodes:
        roster.handle(Heard(beat(node, sample=IDLE, capabilities=Capabilities())), 0)
    roster.handle(Tick(), QUIET_MS)
    roster.lead(QUIET_MS)
    return roster, nodes


def test_an_idle_cluster_tells_nothing() -> None:
    """Traffic to edges grows with change, not with the number of nodes."""
    roster, (peer,) = leading()
    for number in range(2, 20):
        roster.handle(Heard(beat(peer, number=number, sample=IDLE)), QUIET_MS + number * 1_000)
        assert roster.tell(
            QUIET_MS,
        ) == ((), 0)


def test_load_is_told_when_it_moved_by_a_step() -> None:
    roster, (peer,) = leading()
    roster.handle(Heard(beat(peer, number=2, sample=BUSY)), QUIET_MS)
    told, untold = roster.tell(QUIET_MS + 10)
    assert [(one.node, one.heard_ms_ago) for one in told] == [(peer, 10)]
    assert untold == 0
    assert roster.tell(QUIET_MS + 20) == ((), 0)


def test_a_change_of_state_is_told() -> None:
    roster, (peer,) = leading()
    for ms in range(QUIET_MS, QUIET_MS + 9_000, 500):
        roster.handle(Tick(), ms)
    told, _ = roster.tell(QUIET_MS + 9_000)
    assert [(one.node, one.state) for one in told] == [(peer, MemberState.DEAD)]


def test_a_new_start_and_new_capabilities_are_told() -> None:
    roster, (peer,) = leading()
    roster.handle(Heard(beat(peer, incarnation=2, sample=IDLE)), QUIET_MS)
    assert [one.beat.incarnation for one in roster.tell(QUIET_MS)[0] if one.beat] == [2]
    able = Capabilities(models=("llama3",))
    roster.handle(Heard(beat(peer, incarnation=2, number=2, capabilities=able)), QUIET_MS)
    assert [one.beat.capabilities for one in roster.tell(QUIET_MS)[0] if one.beat] == [able]


def test_capabilities_are_not_told_with_every_load() -> None:
    roster, (peer,) = leading()
    roster.handle(Heard(beat(peer, number=2, sample=BUSY)), QUIET_MS)
    ((told,), _) = roster.tell(QUIET_MS)
    assert told.beat is not None
    assert told.beat.capabilities is None


def test_a_digest_stays_small_however_busy_the_cluster_is() -> None:
    """Each edge reads every digest: what it costs must not grow with the nodes."""
    roster, nodes = leading(500)
    for node in nodes:
        roster.handle(Heard(beat(node, number=2, sample=BUSY)), QUIET_MS)
    seen: list[NodeId] = []
    for _ in range(100):
        told, untold = roster.tell(QUIET_MS)
        assert untold == 0, "load may wait; nobody asks for the roster because of it"
        assert sum(map(size_of, told)) <= LOAD_BYTES_MAX
        seen += [one.node for one in told]
    assert seen == nodes, "everybody is told of in the end, longest waiting first"


def test_a_mass_restart_is_told_in_pieces_and_says_so() -> None:
    roster, nodes = leading(1_000)
    for node in nodes:
        roster.handle(Heard(beat(node, incarnation=2)), QUIET_MS)
    told, untold = roster.tell(QUIET_MS)
    assert sum(map(size_of, told)) <= URGENT_BYTES_MAX
    assert len(told) + untold == len(nodes)
    rounds = 1
    while untold:
        told, untold = roster.tell(QUIET_MS)
        rounds += 1
    assert rounds < 10


def test_a_new_leader_tells_again_what_changed_lately() -> None:
    """The leader before may have died before it told."""
    nodes = (ME, PEER, NodeId("old"))
    roster = Roster(TIMINGS, me=ME, nodes=nodes, edge=False, now_ms=0)
    roster.handle(Heard(beat(NodeId("old"))), 0)
    roster.handle(Tick(), QUIET_MS)
    roster.handle(Heard(beat(PEER)), QUIET_MS)
    roster.handle(Heard(beat(NodeId("old"), number=2)), QUIET_MS)
    roster.lead(QUIET_MS + 1_000)
    told, _ = roster.tell(QUIET_MS + 1_000)
    assert {one.node for one in told} == {PEER, ME}, "ME was never heard here: not alive"
    assert next(one for one in told if one.node == ME).beat is None


def test_a_node_that_leads_no_more_keeps_no_news() -> None:
    roster, (peer,) = leading()
    roster.news.end()
    roster.handle(Heard(beat(peer, incarnation=9)), QUIET_MS)
    assert roster.tell(QUIET_MS) == ((), 0)
