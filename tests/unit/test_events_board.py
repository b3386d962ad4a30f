"""The board of the events: what differs since any revision, and when that is no longer known."""

from __future__ import annotations

import msgspec
import pytest

from bzzz_core.api.events.board import Board
from bzzz_core.api.events.sampling import StatusSampler, differs
from bzzz_core.model import Gpu, MemberState
from tests.fakes import statuses
from tests.fakes.sights import take


class Doc(msgspec.Struct, frozen=True):
    """Any document."""

    value: int


class Told:
    """Counts how often a board said that it changed."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def board(told: Told) -> Board:
    return Board(changed=told, gone_max=3)


def test_an_equal_document_is_no_change(board: Board, told: Told) -> None:
    assert board.put("alerts", "a", Doc(1))
    assert not board.put("alerts", "a", Doc(1))
    assert board.revision == told.times == 1


def test_with_the_same_sign_the_newest_document_is_kept_and_nobody_told(board: Board) -> None:
    board.put("status", "self", Doc(1), sign="same")
    board.put("status", "self", Doc(2), sign="same")
    assert board.revision == 1
    assert board.everything(["status"]) == {"status": {"self": Doc(2)}}


def test_a_difference_names_each_document_once_in_its_present_form(board: Board) -> None:
    for value in range(5):
        board.put("alerts", "a", Doc(value))
    board.put("alerts", "b", Doc(7))
    difference = board.since(1, ["alerts"])
    assert difference is not None
    assert difference.changed == {"alerts": {"a": Doc(4), "b": Doc(7)}}
    assert not board.since(6, ["alerts"])


def test_other_topics_are_not_told(board: Board) -> None:
    board.put("alerts", "a", Doc(1))
    board.remove("alerts", "a")
    difference = board.since(0, ["checks"])
    assert difference is not None
    assert not difference


def test_what_went_is_told_and_what_came_back_is_not(board: Board) -> None:
    board.replace("alerts", {"a": Doc(1), "b": Doc(2)})
    board.replace("alerts", {"c": Doc(3)})
    board.put("alerts", "a", Doc(9))
    difference = board.since(2, ["alerts"])
    assert difference is not None
    assert difference.gone == {"alerts": ("b",)}
    assert difference.changed == {"alerts": {"c": Doc(3), "a": Doc(9)}}


def test_whoever_missed_more_that_went_than_is_remembered_gets_everything(board: Board) -> None:
    for number in range(4):
        board.put("members", str(number), Doc(number))
    for number in range(4):
        board.remove("members", str(number))
    assert board.since(4, ["members"]) is None
    assert board.since(5, ["members"]) is not None


def test_a_revision_of_the_future_is_not_known(board: Board) -> None:
    assert board.since(1, ["members"]) is None


def test_an_empty_collection_is_told_as_empty(board: Board, told: Told) -> None:
    board.replace("alerts", {})
    assert board.everything(["alerts", "checks"]) == {"alerts": {}}
    assert told.times == 1


def test_many_changes_at_once_are_told_once(board: Board, told: Told) -> None:
    board.update("members", [(str(n), Doc(n), None) for n in range(100)])
    assert told.times == 1
    assert board.revision == 100


def test_time_passing_is_no_change_of_a_status() -> None:
    board = Board(changed=Told())
    sampler = StatusSampler(board)
    status = statuses.status()
    take(sampler, status)
    before = board.revision
    later = msgspec.structs.replace(
        status,
        at="2026-11-21T12:00:01.000Z",
        uptime_s=status.uptime_s + 1,
        members=tuple(
            msgspec.structs.replace(m, heard_ms_ago=900, uptime_s=m.uptime_s + 1)  # type: ignore[operator]
            for m in status.members
        ),
    )
    assert not take(sampler, later)
    assert board.revision == before
    held = board.everything(["status"])["status"]["self"]
    assert held.uptime_s == later.uptime_s  # type: ignore[attr-defined]


def test_a_member_that_goes_is_gone_from_the_board() -> None:
    board = Board(changed=Told())
    sampler = StatusSampler(board)
    status = statuses.status()
    take(sampler, status)
    take(sampler, msgspec.structs.replace(status, members=status.members[:2]))
    assert len(board.keys("members")) == 2
    assert take(sampler, status)
    assert len(board.keys("members")) == 3


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"cpu_percent": 12.4}, False),
        ({"cpu_percent": 12.6}, True),
        ({"memory_used_bytes": (2 << 30) + 1_000}, False),
        ({"memory_used_bytes": 3 << 30}, True),
        ({"load_1m": 0.41}, False),
        ({"load_1m": 0.5}, True),
        ({"heard_ms_ago": 2_900}, False),
        ({"heard_ms_ago": None}, True),
        ({"uptime_s": 99_999}, False),
        ({"uptime_s": 1}, True),
        ({"state": MemberState.SUSPECT}, True),
        ({"rtt_ms": 1.2}, False),
        ({"rtt_ms": 30.0}, True),
        ({"rtt_ms": None}, True),
        ({"gpus": (Gpu(name="g", utilization_percent=50.2),)}, False),
        ({"gpus": (Gpu(name="g", utilization_percent=51.2),)}, True),
        ({"models": ("m",)}, True),
    ],
)
def test_a_member_counts_as_changed_by_as_much_as_is_shown(
    change: dict[str, object], *, counts: bool
) -> None:
    told = msgspec.structs.replace(
        statuses.member(1),
        memory_used_bytes=2 << 30,
        rtt_ms=0.9,
        gpus=(Gpu(name="g", utilization_percent=50.0),),
    )
    assert differs(told, msgspec.structs.replace(told, **change)) is counts


def test_small_steps_add_up_to_a_change() -> None:
    """What is compared is what was last told, not what was last seen."""
    board = Board(changed=Told())
    sampler = StatusSampler(board)
    rises = []
    for tenth in range(12):
        member = statuses.member(1, cpu=12.0 + tenth / 10)
        rises.append(take(sampler, statuses.status((member,), leader=1)))
    assert rises == [True, *[False] * 5, True, *[False] * 5]
