"""All voters count a majority in the same set, or take no part."""

import asyncio

import msgspec
import pytest

from bzzz_core.election.voters import (
    ASK_AGAIN_MS,
    RECORD_BYTES_MAX,
    VOTERS_KEY,
    VoterSetWatch,
    agree,
    encode,
    newer,
)
from bzzz_core.errors import ConsistencyError, RevisionConflict
from bzzz_core.model import Revision, Voter, VoterSet
from bzzz_core.ports import Record
from bzzz_core.trust.keys import IdentityKey
from tests.fakes.scripted_records import JumpingClock, ScriptedRecords


def voter_set() -> VoterSet:
    keys = [IdentityKey.generate() for _ in range(3)]
    return VoterSet(tuple(sorted(Voter(key.node_id, "n", key.public_key) for key in keys)))


MINE = voter_set()


def holding(content: bytes) -> ScriptedRecords:
    records = ScriptedRecords()
    records.held[VOTERS_KEY] = Record(VOTERS_KEY, content, Revision(1))
    return records


def test_the_first_voter_writes_the_set_and_the_second_finds_it() -> None:
    records = ScriptedRecords()
    assert asyncio.run(agree(records, MINE)) == MINE
    assert asyncio.run(agree(records, MINE)) == MINE
    assert len(records.asked) == 1
    _, guard, _ = records.asked[0]
    assert (guard.key, guard.revision) == (VOTERS_KEY, 0), "written only if nobody did"


def test_who_comes_second_in_a_race_takes_what_is_there() -> None:
    records = ScriptedRecords()
    content = msgspec.msgpack.encode(MINE)

    def somebody_else() -> None:
        records.held.setdefault(VOTERS_KEY, Record(VOTERS_KEY, content, Revision(9)))

    records.before_write = somebody_else
    assert asyncio.run(agree(records, MINE)) == MINE


def test_a_record_that_vanishes_is_an_error_of_ours() -> None:
    """A store that says "refused" and then "nothing there" has broken its promise."""
    records = ScriptedRecords([RevisionConflict("told so")])
    with pytest.raises(ConsistencyError, match="is not there now"):
        asyncio.run(agree(records, MINE))


def test_what_is_committed_is_right_whatever_was_configured() -> None:
    """A node that is not in it has no vote; one that is counts its majority there."""
    committed = voter_set()
    assert asyncio.run(agree(holding(msgspec.msgpack.encode(committed)), MINE)) == committed


def test_a_record_of_the_release_before_is_the_first_set() -> None:
    """It had no number."""
    old = {"voters": [{"node": "a", "name": "n", "public_key": bytes(32)}]}
    found = asyncio.run(agree(holding(msgspec.msgpack.encode(old)), MINE))
    assert (found.number, found.term, len(found.voters)) == (1, 0, 1)


def test_only_a_later_set_is_adopted() -> None:
    """An old read must not bring old voters back."""
    later = msgspec.structs.replace(voter_set(), number=2)
    assert asyncio.run(newer(holding(encode(later)), MINE)) == later
    assert asyncio.run(newer(holding(encode(MINE)), later)) == later
    assert asyncio.run(newer(ScriptedRecords(), MINE)) == MINE


class Watching:
    """A watch over records that may be changed."""

    def __init__(self, *, readable: bool = True) -> None:
        self.records = holding(encode(MINE))
        self.records.readable = readable
        self.clock = JumpingClock()
        self.reports: list[str] = []
        self.watch = VoterSetWatch(
            self.records, MINE, clock=self.clock, report=lambda what, _: self.reports.append(what)
        )

    def commit(self, voters: VoterSet) -> None:
        self.records.held[VOTERS_KEY] = Record(VOTERS_KEY, encode(voters), Revision(2))


def test_the_watch_tells_of_other_voters_and_not_of_other_numbers() -> None:
    """1 -> 3 -> 1 voters may have passed by while this node slept: the same set is the same set."""
    bench = Watching()
    assert asyncio.run(bench.watch.confirm()) is True
    same = msgspec.structs.replace(MINE, number=3)
    bench.commit(same)
    assert asyncio.run(bench.watch.confirm()) is True
    assert bench.watch.known == same
    other = msgspec.structs.replace(voter_set(), number=4)
    bench.commit(other)
    assert asyncio.run(bench.watch.confirm()) is False
    assert bench.watch.successor == other


def test_a_watch_that_cannot_read_knows_nothing() -> None:
    bench = Watching(readable=False)
    assert asyncio.run(bench.watch.confirm()) is None
    assert bench.reports == ["voters not read"]


def test_what_comes_in_cannot_make_the_watch_read_without_end() -> None:
    bench = Watching()
    assert bench.watch.is_due()
    assert not bench.watch.is_due()
    asyncio.run(bench.clock.sleep_ms(ASK_AGAIN_MS))
    assert bench.watch.is_due()


@pytest.mark.parametrize("content", [b"", b"\xff", b"\xa1\xff", b"x" * (RECORD_BYTES_MAX + 1)])
def test_a_damaged_record_is_an_error_of_ours(content: bytes) -> None:
    with pytest.raises(ConsistencyError):
        asyncio.run(agree(holding(content), MINE))
