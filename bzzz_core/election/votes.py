"""The vote on disk: one small file, replaced as a whole.

    <data>/votes/vote       msgpack [wire, vote as msgpack, SHA-256 of it]
    <secrets>/voted         the id of the node that may have voted

The folder is made together with an empty vote when the node starts for the first time, the marker
before the first vote is saved. So a folder or a marker without a readable vote means that a vote
was lost, and the voter abstains (`memory`). The marker lies beside the key that signs ballots, for
the data may be lost as a whole (a disk replaced, a directory emptied to start afresh): whoever has
lost both is another node with another key. So a marker of another id says nothing.

An abstention ends by itself (`memory`); an operator who cannot wait moves the leadership
(`bzzz-agent leader transfer`). Who removes folder and marker says that this node never voted.

Rules: `save` returns when file and directory are on the disk; a torn or foreign file reads as lost,
never as a vote.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from threading import Lock
from typing import ClassVar, Final

import msgspec

from bzzz_core.errors import TrustError
from bzzz_core.model import NodeId, Revision, StreamId, Term, Vote
from bzzz_core.trust import private_files

_WIRE_VERSION: Final = 1
_EMPTY: Final = Vote(Term(0), NodeId(""), Revision(0), StreamId(""))


class _File(msgspec.Struct, frozen=True, array_like=True):
    wire: int
    vote: bytes
    sha256: bytes


_encoder = msgspec.msgpack.Encoder()
_files = msgspec.msgpack.Decoder(_File)
_votes = msgspec.msgpack.Decoder(Vote)


class FileVoteStore:
    """Satisfies `ports.VoteStore`."""

    _saving: ClassVar[Lock] = Lock()
    """One for all: a process has one vote file."""

    def __init__(self, folder: Path, *, marker: Path, node: NodeId) -> None:
        """Open nothing.

        Args:
            folder: Where the vote lies; nobody else makes it, and its parent exists.
            marker: Where it is noted that `node` may have voted, on no account below `folder`.
            node: Whose votes these are.
        """
        self._folder = folder
        self._path = folder / "vote"
        self._marker = marker
        self._mark = f"{node}\n".encode()

    def load(self) -> Vote | None:
        """Return the last vote, an empty one on the first start; None if it was lost.

        Raises:
            OSError: The first start could not be noted.
        """
        with self._saving:
            if not self._folder.exists():
                self._begin(None if self._marked() else _EMPTY)
            try:
                return _decode(private_files.read(self._path))
            except TrustError:
                return None

    def save(self, vote: Vote) -> None:
        """Make `vote` durable before returning.

        A service that ended may have left a thread behind that is still saving, so the file never
        goes back to an earlier term. And a term has one vote: whoever comes with a second one
        (another process on the same file) must not let its ballot leave.

        Raises:
            OSError: It is not durable.
        """
        with self._saving:
            try:
                known = _decode(private_files.read(self._path))
            except TrustError:
                known = None
            if known is not None and vote.term < known.term:
                raise OSError(f"{self._path} holds a vote of the later term {known.term}")
            if known is not None and vote.term == known.term and vote != known:
                raise OSError(f"{self._path} holds another vote of term {known.term}")
            if not self._marked():
                private_files.replace(self._marker, self._mark)
            private_files.replace(self._path, _encode(vote))

    def _marked(self) -> bool:
        """Return whether this node may have voted; a marker that cannot be read says so, too."""
        try:
            return self._marker.read_bytes() == self._mark
        except FileNotFoundError:
            return False
        except OSError:
            return True

    def _begin(self, vote: Vote | None) -> None:
        """Make folder and vote appear in one step: a crash must not look like a loss."""
        fresh = self._folder.with_name(f".{self._folder.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if vote is not None:
            private_files.create(fresh / self._path.name, _encode(vote))
        fresh.rename(self._folder)
        private_files.sync_directory(self._folder.parent)


def _encode(vote: Vote) -> bytes:
    body = _encoder.encode(vote)
    return _encoder.encode(_File(_WIRE_VERSION, body, hashlib.sha256(body).digest()))


def _decode(data: bytes) -> Vote | None:
    try:
        file = _files.decode(data)
        if file.wire != _WIRE_VERSION or hashlib.sha256(file.vote).digest() != file.sha256:
            return None
        return _votes.decode(file.vote)
    except (ValueError, RecursionError):
        return None
