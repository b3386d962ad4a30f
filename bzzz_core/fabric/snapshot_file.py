"""One stream in one file, as `docs/formats/snapshot.md` describes it.

A file is complete or it is refused: it ends with the hash of everything before, and it appears
under its name only once all of it is on disk. It holds what the stream held, so it is 0600.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import msgspec

from bzzz_core.errors import IntegrityError, RequestInvalid
from bzzz_core.trust.private_files import sync_directory

MAGIC: Final = b"BZZZ SNAPSHOT 1\n"
SUFFIX: Final = ".snapshot"
HEADER_BYTES_MAX: Final = 1_000_000
CHUNK_BYTES_MAX: Final = 1_048_576
_LENGTH_BYTES: Final = 4
_HASH_BYTES: Final = 32


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a snapshot says about itself before the first chunk."""

    cluster_id: Annotated[str, msgspec.Meta(max_length=64)]
    taken_at: Annotated[str, msgspec.Meta(max_length=40)]
    stream: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
    config: dict[str, Any]
    """The stream's configuration as the broker gave it."""
    state: dict[str, Any]
    """Its counters as the broker gave them; restoring wants them back."""

    @property
    def messages(self) -> int:
        """Return how many messages it holds."""
        found = self.state.get("messages", 0)
        return found if isinstance(found, int) else 0


class Writer:
    """Takes header and chunks of one snapshot in order."""

    def __init__(self, file: BinaryIO) -> None:
        """Begin the file."""
        self._file = file
        self._sha = hashlib.sha256()
        self._write(MAGIC)

    def header(self, header: Header) -> None:
        """Write the header; first."""
        self._framed(msgspec.json.encode(header))

    def chunk(self, data: bytes) -> None:
        """Write one chunk as it came."""
        if not 0 < len(data) <= CHUNK_BYTES_MAX:
            raise IntegrityError(f"a chunk of {len(data)} bytes is none of a snapshot")
        self._framed(data)

    def end(self) -> str:
        """Write the end and return the file's hash in hexadecimal."""
        self._write(b"\0" * _LENGTH_BYTES)
        self._file.write(self._sha.digest())
        return self._sha.hexdigest()

    def _framed(self, data: bytes) -> None:
        self._write(len(data).to_bytes(_LENGTH_BYTES, "big"))
        self._write(data)

    def _write(self, data: bytes) -> None:
        self._sha.update(data)
        self._file.write(data)


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """Write a snapshot; it has its name once the block has ended well, and is durable then.

    Raises:
        RequestInvalid: There is a file of this name.
    """
    if path.exists():
        raise RequestInvalid(f"{path} exists; a snapshot never takes the place of another")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
            yield Writer(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def check(path: Path) -> Header:
    """Read a snapshot through, and return its header if every byte is as it was written.

    Raises:
        IntegrityError: It is damaged, cut short, or no snapshot.
    """
    for part in _parts(path, checked=True):
        if isinstance(part, Header):
            header = part
    return header


def chunks(path: Path) -> Iterator[bytes]:
    """Yield the chunks of a snapshot that `check` has passed."""
    for part in _parts(path, checked=False):
        if isinstance(part, bytes):
            yield part


def _parts(path: Path, *, checked: bool) -> Iterator[Header | bytes]:
    sha = hashlib.sha256()
    try:
        with path.open("rb") as file:
            begins = file.read(len(MAGIC))
            if not (begins and MAGIC.startswith(begins)):
                raise IntegrityError(f"{path} is no snapshot of BZZZ, or of a newer release")
            sha.update(begins)
            yield _header(_exactly(file, _length(file, sha, HEADER_BYTES_MAX), sha), path)
            while size := _length(file, sha, CHUNK_BYTES_MAX):
                yield _exactly(file, size, sha)
            if checked and (file.read(_HASH_BYTES + 1) != sha.digest()):
                raise IntegrityError(f"{path} is damaged: its hash is another")
    except OSError as exc:
        raise IntegrityError(f"{path}: {exc.strerror}") from exc
    except EOFError as exc:
        raise IntegrityError(f"{path} is damaged: {exc}") from exc


def _header(data: bytes, path: Path) -> Header:
    try:
        return msgspec.json.decode(data, type=Header)
    except (ValueError, RecursionError) as exc:
        raise IntegrityError(f"{path} is damaged: {exc}") from exc


def _length(file: BinaryIO, sha: hashlib._Hash, most: int) -> int:
    size = int.from_bytes(_exactly(file, _LENGTH_BYTES, sha), "big")
    if size > most:
        raise EOFError("a length in it is too large")
    return size


def _exactly(file: BinaryIO, size: int, sha: hashlib._Hash) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise EOFError("it ends too early")
    sha.update(data)
    return data
