"""All voters count a majority in the same set, or take no part."""

import asyncio

import msgspec
import pytest

from bzzz_core.election.voters import RECORD_BYTES_MAX, VOTERS_KEY, agree
from bzzz_core.errors import ConfigError, ConsistencyError
from bzzz_core.model import Revision, Voter, VoterSet
from bzzz_core.ports import Record
from bzzz_core.trust.keys import IdentityKey
from tests.fakes.scripted_records import ScriptedRecords


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


def test_other_voters_are_refused_with_their_names() -> None:
    """A node told of another set would count another majority."""
    with pytest.raises(ConfigError, match="voters are n, n, n"):
        asyncio.run(agree(holding(msgspec.msgpack.encode(voter_set())), MINE))


@pytest.mark.parametrize("content", [b"", b"\xff", b"\xa1\xff", b"x" * (RECORD_BYTES_MAX + 1)])
def test_a_damaged_record_is_an_error_of_ours(content: bytes) -> None:
    with pytest.raises(ConsistencyError):
        asyncio.run(agree(holding(content), MINE))
