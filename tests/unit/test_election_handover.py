"""What is handed over is what is taken over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import msgspec
import pytest

from bzzz_core.election.handover import take_over, take_stock
from bzzz_core.election.messages import Stock
from bzzz_core.election.opening import OfficeOver, Opening, VotersMoved
from bzzz_core.errors import Deposed, IntegrityError, QuorumUnavailable
from bzzz_core.model import FencingToken, Revision, StreamId
from bzzz_core.ports import Record
from tests.fakes.scripted_records import JumpingClock, ScriptedRecords

TOKEN = FencingToken(StreamId("scripted"), Revision(1))
Result = TypeVar("Result")


def run(work: Awaitable[Result]) -> Result:
    async def wait() -> Result:
        return await work

    return asyncio.run(wait())


def holding(**values: tuple[int, bytes]) -> ScriptedRecords:
    records = ScriptedRecords()
    for key, (revision, value) in values.items():
        records.held[key] = Record(key, value, Revision(revision))
    return records


LEFT = holding(log=(7, b"last"), _nodes=(3, b"nodes"))


def test_the_stock_names_what_was_ever_written() -> None:
    stock = run(take_stock(LEFT))
    assert [(entry.key, entry.revision) for entry in stock.entries] == [("_nodes", 3), ("log", 7)]
    assert stock == run(take_stock(LEFT))


def test_the_same_and_anything_newer_is_taken_over() -> None:
    """A late write of the leader before is in the one log."""
    left = run(take_stock(LEFT))
    assert run(take_over(LEFT, left)) == left
    newer = holding(log=(9, b"later"), _nodes=(3, b"nodes"))
    assert run(take_over(newer, left)).entries[1].revision == 9


@pytest.mark.parametrize(
    "records", [holding(log=(7, b"last")), holding(log=(6, b"x"), _nodes=(3, b"nodes"))]
)
def test_a_server_that_is_behind_is_asked_again(records: ScriptedRecords) -> None:
    with pytest.raises(QuorumUnavailable, match="not yet at"):
        run(take_over(records, run(take_stock(LEFT))))


def test_another_value_at_the_same_revision_is_not_taken_over() -> None:
    changed = holding(log=(7, b"another"), _nodes=(3, b"nodes"))
    with pytest.raises(IntegrityError, match="log at 7"):
        run(take_over(changed, run(take_stock(LEFT))))


class Bench:
    """An opening whose steps fail as they are told to."""

    def __init__(self, records: ScriptedRecords = LEFT) -> None:
        self.clock = JumpingClock()
        self.steps: list[str] = []
        self.delays: list[str] = []
        self.confirmations: list[bool | None] = [True]
        self.faults: list[Exception] = []
        self.leads = True
        self.opening = Opening(
            records=records,
            clock=self.clock,
            leads=lambda _: self.leads,
            first_write=self.first_write,
            confirm_voters=self.confirm,
            before_serving=(self.catch_up, self.look_around),
            delayed=self.delays.append,
        )

    async def first_write(self, token: FencingToken, _story: bytes) -> Revision:
        assert token == TOKEN
        self.steps.append("write")
        if self.faults:
            raise self.faults.pop(0)
        return Revision(8)

    async def confirm(self) -> bool | None:
        self.steps.append("confirm")
        return self.confirmations.pop(0)

    async def catch_up(self, token: FencingToken) -> None:
        assert token == TOKEN
        self.steps.append("catch up")

    async def look_around(self, _token: FencingToken) -> None:
        self.steps.append("look around")

    def run(self, left: Stock | None = None) -> Revision:
        return run(self.opening.run(TOKEN, b"story", left))


def test_an_office_is_opened_in_order() -> None:
    bench = Bench()
    assert bench.run(run(take_stock(LEFT))) == 8
    assert bench.steps == ["write", "confirm", "catch up", "look around"]
    assert bench.delays == []


def test_steps_are_tried_again_while_that_may_help() -> None:
    bench = Bench()
    bench.faults = [QuorumUnavailable("told so")] * 2
    bench.confirmations = [None, None, True]
    assert bench.run() == 8
    assert len(bench.delays) == 4


def test_a_leader_of_old_voters_does_not_serve() -> None:
    bench = Bench()
    bench.confirmations = [False]
    with pytest.raises(VotersMoved):
        bench.run()
    assert "catch up" not in bench.steps


def test_what_cannot_help_and_what_is_over_is_not_tried_again() -> None:
    bench = Bench()
    bench.faults = [Deposed("told so")]
    with pytest.raises(Deposed):
        bench.run()
    bench = Bench()
    bench.leads = False
    bench.faults = [QuorumUnavailable("told so")]
    with pytest.raises(OfficeOver):
        bench.run()
    with pytest.raises(IntegrityError):
        Bench(holding(log=(7, b"x"), _nodes=(3, b"nodes"))).run(run(take_stock(LEFT)))


def test_a_stock_of_another_form_is_another_stock() -> None:
    stock = run(take_stock(LEFT))
    assert stock.digest() != msgspec.structs.replace(stock, entries=()).digest()
