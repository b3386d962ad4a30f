"""The vote file: durable, whole, and never mistaken."""

import os
from pathlib import Path

import msgspec
import pytest

from bzzz_core.election.votes import FileVoteStore
from bzzz_core.model import NodeId, Revision, StreamId, Term, Vote

VOTE = Vote(Term(3), NodeId("a"), Revision(7), StreamId("s"))


def test_the_first_start_returns_an_empty_vote(tmp_path: Path) -> None:
    """Never voted is not the same as forgotten."""
    for _ in range(2):
        vote = FileVoteStore(tmp_path / "election").load()
        assert vote is not None
        assert (vote.term, vote.candidate) == (0, "")


def test_a_saved_vote_is_loaded_by_the_next_start(tmp_path: Path) -> None:
    """And takes the place of the older one."""
    store = FileVoteStore(tmp_path / "election")
    store.load()
    store.save(msgspec.structs.replace(VOTE, term=Term(2)))
    store.save(VOTE)
    assert FileVoteStore(tmp_path / "election").load() == VOTE
    assert [path.name for path in (tmp_path / "election").iterdir()] == ["vote"]
    assert (tmp_path / "election" / "vote").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("length", range(0, 60, 7))
def test_a_torn_file_reads_as_lost(tmp_path: Path, length: int) -> None:
    """Half a vote is no vote."""
    store = FileVoteStore(tmp_path / "election")
    store.load()
    store.save(VOTE)
    path = tmp_path / "election" / "vote"
    path.write_bytes(path.read_bytes()[:length])
    assert store.load() is None


def test_a_changed_or_foreign_file_reads_as_lost(tmp_path: Path) -> None:
    """The checksum covers every byte of the vote."""
    store = FileVoteStore(tmp_path / "election")
    store.load()
    store.save(VOTE)
    path = tmp_path / "election" / "vote"
    wire, body, digest = msgspec.msgpack.decode(path.read_bytes())
    for other in ([wire, body[:-1] + b"t", digest], [2, body, digest], ["x"]):
        path.write_bytes(msgspec.msgpack.encode(other))
        assert store.load() is None


def test_a_missing_file_in_its_folder_reads_as_lost(tmp_path: Path) -> None:
    """The folder says that there was one."""
    store = FileVoteStore(tmp_path / "election")
    store.load()
    (tmp_path / "election" / "vote").unlink()
    assert store.load() is None


def test_a_start_that_died_half_way_is_still_the_first(tmp_path: Path) -> None:
    """Folder and file appear in one step."""
    (tmp_path / ".election.new").mkdir()
    (tmp_path / ".election.new" / "vote").write_bytes(b"half")
    vote = FileVoteStore(tmp_path / "election").load()
    assert vote is not None
    assert vote.term == 0


def test_a_vote_that_is_not_durable_is_an_error(tmp_path: Path) -> None:
    """Its ballot must not leave."""
    store = FileVoteStore(tmp_path / "election")
    store.load()
    os.unlink(tmp_path / "election" / "vote")  # noqa: PTH108  beside rmdir
    (tmp_path / "election").rmdir()
    with pytest.raises(OSError, match="No such file"):
        store.save(VOTE)
