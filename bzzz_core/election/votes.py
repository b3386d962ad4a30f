"""The vote on disk: one small file, replaced as a whole.

    <data>/votes/vote = msgpack [wire, vote as msgpack, SHA-256 of it]

The folder is made together with an empty vote when the node starts for the first time, and by
nothing else. So a folder without a readable vote means that a vote was lost, and the voter abstains
(`memory`); whoever removes the whole folder says that this node never voted.

Rules: `save` returns when file and directory are on the disk; a torn or foreign file reads as lost,
never as a vote.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Final

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

    def __init__(self, folder: Path) -> None:
        """Take the folder, which nobody else makes; its parent exists."""
        self._folder = folder
        self._path = folder / "vote"

    def load(self) -> Vote | None:
        """Return the last vote, an empty one on the first start; None if it was lost.

        Raises:
            OSError: The first start could not be noted.
        """
        if not self._folder.exists():
            self._begin()
        try:
            return _decode(private_files.read(self._path))
        except TrustError:
            return None

    def save(self, vote: Vote) -> None:
        """Make `vote` durable before returning.

        Raises:
            OSError: It is not durable.
        """
        private_files.replace(self._path, _encode(vote))

    def _begin(self) -> None:
        """Make folder and empty vote appear in one step: a crash must not look like a loss."""
        fresh = self._folder.with_name(f".{self._folder.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        private_files.create(fresh / self._path.name, _encode(_EMPTY))
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
