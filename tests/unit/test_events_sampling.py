"""Looking at a large cluster costs what changed in it, goes in steps, and tells true ages."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from bzzz_core.api.documents import MemberStatus, Status
from bzzz_core.api.event_documents import MEMBERS
from bzzz_core.api.events.board import Board
from bzzz_core.api.events.sampling import STEP, Sight, StatusSampler
from bzzz_core.model import MemberState, NodeId
from tests.fakes import statuses


class Cluster:
    """Members of which a test says what changed, and how often a document was made of one."""

    def __init__(self, count: int) -> None:
        self.board = Board(changed=lambda: None)
        self.sampler = StatusSampler(self.board)
        self.now_ms = 0
        self.members = {
            statuses.node_id(number): statuses.member(number) for number in range(count)
        }
        self.heard_ms: dict[str, int] = dict.fromkeys(self.members, 0)
        self.made: list[str] = []

    def sight(self) -> Sight:
        """Return the cluster as it is now; a member's mark is its document without its age."""
        now_ms, heard_ms = self.now_ms, dict(self.heard_ms)

        def document(member: MemberStatus) -> MemberStatus:
            self.made.append(member.node_id)
            age_ms = now_ms - heard_ms[member.node_id]
            return msgspec.structs.replace(member, heard_ms_ago=age_ms)

        seen = [(member.node_id, member, member) for member in self.members.values()]
        return Sight(head=self.head(), members=seen, document=document)

    def head(self) -> Status:
        """Return the rest of the status."""
        whole = statuses.status((statuses.member(1),))
        return msgspec.structs.replace(whole, members=(), uptime_s=self.now_ms // 1_000)

    def change(self, number: int, **values: object) -> NodeId:
        """Let a member be heard with other values."""
        node = statuses.node_id(number)
        self.members[node] = msgspec.structs.replace(self.members[node], **values)
        self.heard_ms[node] = self.now_ms
        return node

    def look(self) -> int:
        """Look in one go; return in how many steps."""
        self.made.clear()
        return steps(self.sampler.look(self.sight()))

    def told(self, node: str) -> MemberStatus:
        """Return a member's document as the board has it."""
        found = self.board.everything([MEMBERS])[MEMBERS][node]
        assert isinstance(found, MemberStatus)
        return found


def steps(some: Iterator[None]) -> int:
    return sum(1 for _ in some)


def test_documents_are_made_of_those_alone_that_changed() -> None:
    cluster = Cluster(1_000)
    cluster.look()
    assert len(cluster.made) == 1_000
    cluster.now_ms = 60_000
    cluster.look()
    assert cluster.made == []
    node = cluster.change(7, cpu_percent=77.0)
    before = cluster.board.revision
    cluster.look()
    assert cluster.made == [node]
    difference = cluster.board.since(before, [MEMBERS])
    assert difference is not None
    assert list(difference.changed[MEMBERS]) == [node]


def test_what_changed_by_less_than_is_shown_is_kept_and_nobody_told() -> None:
    cluster = Cluster(3)
    cluster.look()
    before = cluster.board.revision
    cluster.now_ms = 1_000
    node = cluster.change(1, cpu_percent=12.1)
    cluster.look()
    assert cluster.board.revision == before
    assert cluster.told(node).cpu_percent == 12.1


def test_a_large_look_goes_in_steps_of_bounded_work() -> None:
    cluster = Cluster(10_000)
    assert cluster.look() >= 10_000 * 10 // STEP, "making costs more than walking past"
    assert cluster.look() == 10_000 // STEP


def test_nobody_sees_half_of_a_look() -> None:
    cluster = Cluster(10_000)
    cluster.look()
    before = cluster.board.revision
    nodes = {cluster.change(number, state=MemberState.DEAD) for number in range(0, 10_000, 2)}
    revisions = [cluster.board.revision for _ in cluster.sampler.look(cluster.sight())]
    assert set(revisions) == {before}
    difference = cluster.board.since(before, [MEMBERS])
    assert difference is not None
    assert set(difference.changed[MEMBERS]) == nodes


def test_a_look_that_is_broken_off_leaves_everything_to_the_next_one() -> None:
    cluster = Cluster(2 * STEP)
    cluster.look()
    node = cluster.change(1, state=MemberState.DEAD)
    broken = cluster.sampler.look(cluster.sight())
    next(broken)
    broken.close()  # type: ignore[attr-defined]
    assert cluster.told(node).state is MemberState.ALIVE
    cluster.look()
    assert cluster.told(node).state is MemberState.DEAD


def test_whoever_goes_and_comes_is_told_so_without_a_look_at_the_others() -> None:
    cluster = Cluster(100)
    cluster.look()
    node = statuses.node_id(5)
    member = cluster.members.pop(node)
    cluster.look()
    assert node not in cluster.board.keys(MEMBERS)
    assert cluster.made == []
    cluster.members[node] = member
    cluster.look()
    assert cluster.made == [node]
    assert len(cluster.board.keys(MEMBERS)) == 100


def test_one_goes_and_another_comes_at_once() -> None:
    cluster = Cluster(3)
    cluster.look()
    del cluster.members[statuses.node_id(1)]
    cluster.members[statuses.node_id(9)] = statuses.member(9)
    cluster.heard_ms[statuses.node_id(9)] = 0
    cluster.look()
    assert cluster.board.keys(MEMBERS) == {statuses.node_id(n) for n in (0, 2, 9)}


@pytest.mark.parametrize("changed", [False, True])
def test_an_old_document_is_made_anew_when_it_is_told(changed: bool) -> None:  # noqa: FBT001
    """Whoever was heard a minute ago must not be told as heard just now."""
    cluster = Cluster(5)
    cluster.look()
    cluster.now_ms = 60_000
    node = cluster.change(1, cpu_percent=99.0) if changed else statuses.node_id(1)
    cluster.look()
    cluster.made.clear()
    steps(cluster.sampler.freshen(cluster.board.due(MEMBERS, None)))
    assert cluster.told(node).heard_ms_ago == (0 if changed else 60_000)
    assert cluster.told(statuses.node_id(2)).heard_ms_ago == 60_000
    assert sorted(cluster.made) == sorted(n for n in cluster.members if n != node or not changed)
    cluster.made.clear()
    steps(cluster.sampler.freshen(cluster.board.due(MEMBERS, None)))
    assert cluster.made == [], "they are of the last look"


def test_making_many_anew_goes_in_steps_too_and_changes_no_revision() -> None:
    cluster = Cluster(1_000)
    cluster.look()
    cluster.look()
    before = cluster.board.revision
    assert steps(cluster.sampler.freshen(cluster.board.due(MEMBERS, None))) >= 10_000 // STEP
    assert cluster.board.revision == before


def test_what_is_due_is_what_differs_or_everything_if_that_is_not_known() -> None:
    cluster = Cluster(4)
    cluster.look()
    stood = cluster.board.revision
    node = cluster.change(3, state=MemberState.DEAD)
    cluster.look()
    board = cluster.board
    assert board.due(MEMBERS, stood) == (node,)
    assert board.due(MEMBERS, board.revision) == ()
    for unknown in (None, board.revision + 1):
        assert set(board.due(MEMBERS, unknown)) == set(cluster.members)
    assert board.due("nothing", None) == ()
    board.renew(MEMBERS, "nobody", statuses.member(9))
    assert "nobody" not in board.keys(MEMBERS)


def test_a_look_that_was_broken_off_vouches_for_nobody() -> None:
    """Its reader left; a member that is gone since then is gone with the next look."""
    cluster = Cluster(3 * STEP)
    cluster.look()
    broken = cluster.sampler.look(cluster.sight())
    next(broken)
    broken.close()
    gone = statuses.node_id(0)
    del cluster.members[gone]
    cluster.look()
    assert gone not in cluster.board.keys(MEMBERS)
