"""Each leadership of a node has a lane of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.errors import Deposed, RevisionConflict
from bzzz_core.fabric.batch import decode_batch
from bzzz_core.leading import LeadersLog
from bzzz_core.model import FencingToken, Revision
from bzzz_core.ports import Record
from tests.fakes.scripted_records import ScriptedRecords

Result = TypeVar("Result")


def token(records: ScriptedRecords, sequence: int) -> FencingToken:
    return FencingToken(records.stream, Revision(sequence))


def run(records: ScriptedRecords, work: Callable[[LeadersLog], Awaitable[Result]]) -> Result:
    async def main() -> Result:
        log = LeadersLog(records, clock=SystemClock())
        async with asyncio.TaskGroup() as group:
            running = group.create_task(log.run())
            try:
                return await work(log)
            finally:
                running.cancel()

    return asyncio.run(main())


def test_entries_are_written_in_order_under_the_token() -> None:
    records = ScriptedRecords()

    async def work(log: LeadersLog) -> None:
        await log.append(token(records, 1), b"one")
        await log.append(token(records, 1), b"two")

    run(records, work)
    assert [decode_batch(content).entries for content, _, _ in records.asked] == [
        (b"one",),
        (b"two",),
    ]
    assert {(guard.key, guard.revision) for _, guard, _ in records.asked} == {("_term", 1)}


def test_a_deposed_leadership_says_so_and_the_next_one_writes() -> None:
    """The lane of the old token is over; a new token starts a new one."""
    records = ScriptedRecords(faults=[RevisionConflict("moved on")])

    async def work(log: LeadersLog) -> Revision:
        with pytest.raises(Deposed):
            await log.append(token(records, 1), b"late")
        records.held["_term"] = Record("_term", b"", Revision(7))
        return await log.append(token(records, 7), b"new")

    assert run(records, work)
    assert [guard.revision for _, guard, _ in records.asked] == [1, 7]


def test_the_same_process_can_lead_again() -> None:
    records = ScriptedRecords()

    async def work(log: LeadersLog) -> tuple[Revision, Revision]:
        first = await log.append(token(records, 1), b"first")
        records.held["_term"] = Record("_term", b"", Revision(7))
        second = await log.append(token(records, 7), b"second")
        return first, second

    first, second = run(records, work)
    assert second > first
    assert [guard.revision for _, guard, _ in records.asked] == [1, 7]
