"""The vote file: durable, whole, and never mistaken."""

import os
import shutil
from pathlib import Path

import msgspec
import pytest

from bzzz_core.election.votes import FileVoteStore
from bzzz_core.model import NodeId, Revision, StreamId, Term, Vote

NODE = NodeId("n")
VOTE = Vote(Term(3), NodeId("a"), Revision(7), StreamId("s"))


def store_in(folder: Path, node: NodeId = NODE) -> FileVoteStore:
    return FileVoteStore(folder, marker=folder.parent / "secrets" / "voted", node=node)


@pytest.fixture(autouse=True)
def secrets(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    return folder


def test_the_first_start_returns_an_empty_vote(tmp_path: Path) -> None:
    """Never voted is not the same as forgotten."""
    for _ in range(2):
        vote = store_in(tmp_path / "election").load()
        assert vote is not None
        assert (vote.term, vote.candidate) == (0, "")


def test_a_saved_vote_is_loaded_by_the_next_start(tmp_path: Path) -> None:
    """And takes the place of the older one."""
    store = store_in(tmp_path / "election")
    store.load()
    store.save(msgspec.structs.replace(VOTE, term=Term(2)))
    store.save(VOTE)
    assert store_in(tmp_path / "election").load() == VOTE
    assert [path.name for path in (tmp_path / "election").iterdir()] == ["vote"]
    assert (tmp_path / "election" / "vote").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("length", range(0, 60, 7))
def test_a_torn_file_reads_as_lost(tmp_path: Path, length: int) -> None:
    """Half a vote is no vote."""
    store = store_in(tmp_path / "election")
    store.load()
    store.save(VOTE)
    path = tmp_path / "election" / "vote"
    path.write_bytes(path.read_bytes()[:length])
    assert store.load() is None


def test_a_changed_or_foreign_file_reads_as_lost(tmp_path: Path) -> None:
    """The checksum covers every byte of the vote."""
    store = store_in(tmp_path / "election")
    store.load()
    store.save(VOTE)
    path = tmp_path / "election" / "vote"
    wire, body, digest = msgspec.msgpack.decode(path.read_bytes())
    for other in ([wire, body[:-1] + b"t", digest], [2, body, digest], ["x"]):
        path.write_bytes(msgspec.msgpack.encode(other))
        assert store.load() is None


def test_a_missing_file_in_its_folder_reads_as_lost(tmp_path: Path) -> None:
    """The folder says that there was one."""
    store = store_in(tmp_path / "election")
    store.load()
    (tmp_path / "election" / "vote").unlink()
    assert store.load() is None


def test_a_start_that_died_half_way_is_still_the_first(tmp_path: Path) -> None:
    """Folder and file appear in one step."""
    (tmp_path / ".election.new").mkdir()
    (tmp_path / ".election.new" / "vote").write_bytes(b"half")
    vote = store_in(tmp_path / "election").load()
    assert vote is not None
    assert vote.term == 0


def test_a_vote_that_is_not_durable_is_an_error(tmp_path: Path) -> None:
    """Its ballot must not leave."""
    store = store_in(tmp_path / "election")
    store.load()
    os.unlink(tmp_path / "election" / "vote")  # noqa: PTH108  beside rmdir
    (tmp_path / "election").rmdir()
    with pytest.raises(OSError, match="No such file"):
        store.save(VOTE)


def test_the_file_never_goes_back_to_an_earlier_term(tmp_path: Path) -> None:
    """A thread of a service that ended may save late; its ballot never left."""
    store = store_in(tmp_path / "votes")
    store.load()
    seventh, sixth = (Vote(Term(term), NodeId("a"), Revision(1), StreamId("s")) for term in (7, 6))
    store.save(seventh)
    with pytest.raises(OSError, match="later term 7"):
        store.save(sixth)
    assert store.load() == seventh


def test_a_term_has_one_vote_whoever_saves_it(tmp_path: Path) -> None:
    """Of two processes on one file, each as it found it, one must not let its ballot leave."""
    first, second = store_in(tmp_path / "votes"), store_in(tmp_path / "votes")
    first.load()
    second.load()
    first.save(VOTE)
    for other in (
        msgspec.structs.replace(VOTE, candidate=NodeId("b")),
        msgspec.structs.replace(VOTE, candidate=NodeId("")),
        msgspec.structs.replace(VOTE, previous=Revision(8)),
    ):
        with pytest.raises(OSError, match="another vote of term 3"):
            second.save(other)
    second.save(VOTE)
    assert first.load() == VOTE


def test_a_voter_that_lost_all_its_data_does_not_begin_afresh(tmp_path: Path) -> None:
    """Its ballot is still about; the marker beside its key says so, start after start."""
    store = store_in(tmp_path / "votes")
    store.load()
    store.save(VOTE)
    shutil.rmtree(tmp_path / "votes")
    for _ in range(2):
        assert store_in(tmp_path / "votes").load() is None
    again = store_in(tmp_path / "votes")
    later = msgspec.structs.replace(VOTE, term=Term(4), candidate=NodeId(""))
    again.save(later)
    assert store_in(tmp_path / "votes").load() == later, "the abstention is over"


def test_who_never_voted_or_has_another_key_begins_afresh(tmp_path: Path) -> None:
    store = store_in(tmp_path / "votes")
    store.load()
    shutil.rmtree(tmp_path / "votes")
    assert store_in(tmp_path / "votes").load() is not None, "it never voted"
    store.save(VOTE)
    shutil.rmtree(tmp_path / "votes")
    other = store_in(tmp_path / "votes", NodeId("m"))
    assert other.load() is not None
    other.save(VOTE)
    shutil.rmtree(tmp_path / "votes")
    assert other.load() is None, "its own mark took the place of the other one's"


def test_no_vote_is_saved_without_the_marker(tmp_path: Path, secrets: Path) -> None:
    """Nor is a marker that cannot be read taken for none."""
    store = store_in(tmp_path / "votes")
    empty = store.load()
    secrets.rmdir()
    with pytest.raises(OSError, match="No such file"):
        store.save(VOTE)
    assert store.load() == empty
    (secrets / "voted").mkdir(parents=True)
    shutil.rmtree(tmp_path / "votes")
    assert store.load() is None
