"""Proofs of misbehaviour on disk, so that a restart frees nobody.

    <data>/quarantine = msgpack {convictions, pardons}

A missing or damaged file means that nothing is known: the proofs come up again where they matter,
for the other voters keep theirs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from bzzz_core.election.quarantine import Conviction
from bzzz_core.errors import TrustError
from bzzz_core.trust import private_files


class Proofs(msgspec.Struct, frozen=True):
    """What outlives a restart."""

    convictions: Annotated[tuple[Conviction, ...], msgspec.Meta(max_length=64)] = ()
    pardons: Annotated[tuple[str, ...], msgspec.Meta(max_length=64)] = ()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Proofs)


class FileProofs:
    """Keeps them in one private file, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        """Take the path; its directory exists."""
        self._path = path

    def load(self) -> Proofs:
        """Return what is kept."""
        try:
            return _decoder.decode(private_files.read(self._path))
        except (TrustError, ValueError, RecursionError):
            return Proofs()

    def save(self, proofs: Proofs) -> None:
        """Make them durable before returning.

        Raises:
            OSError: They are not.
        """
        private_files.replace(self._path, _encoder.encode(proofs))
