"""An upload that goes on where a lost link broke it off.

The file is named by its checksum and written in whole segments, one after the other. Before
anything is added, what is there is compared by checksum; at the end the whole file is. A damaged
file is removed.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Final, Protocol

from bzzz_core.deploy.facts.sections import number
from bzzz_core.deploy.remote import Completed, Progress
from bzzz_core.deploy.ssh.files import Files
from bzzz_core.errors import CommandFailed

SEGMENT_BYTES: Final = 2 * 1024 * 1024
"""Complete on the host before the next one is sent: what an upload can go on from."""
_LOOK: Final = """
[ -f "$1" ] && [ ! -L "$1" ] || exit 0
wc -c <"$1"
head -c "$2" "$1" | sha256sum
"""


class Run(Protocol):
    """How commands are run on the host."""

    async def __call__(
        self,
        script: str,
        *arguments: str,
        what: str,
        root: bool = True,
        timeout_s: int = 60,
        check: bool = True,
    ) -> Completed:
        """Run a constant script."""
        ...


async def send(
    files: Files,
    run: Run,
    local: Path,
    path: str,
    *,
    sha256: str,
    progress: Progress,
) -> None:
    """Put a local file into a file of ours; go on with what is there.

    Raises:
        CommandFailed: It arrived damaged, and was removed.
        asyncssh.Error: The transfer failed.
        OSError: The same.
    """
    size = (await asyncio.to_thread(local.stat)).st_size
    sent = await _arrived(run, path, local, size)
    progress(sent, size)
    with local.open("rb") as source:
        source.seek(sent)
        async with files.writing(path, at=sent) as write:
            while segment := await asyncio.to_thread(source.read, SEGMENT_BYTES):
                await write(segment, sent)
                sent += len(segment)
                progress(sent, size)
    if await _look_at(run, path, size) != (size, sha256):
        await run('rm -f -- "$1"', path, what="remove a damaged upload", root=False, check=False)
        raise CommandFailed(f"the upload of {local.name} arrived damaged; it was removed")


def digest(local: Path, count: int | None = None) -> str:
    """Return the checksum of a file's first `count` bytes; None: of all."""
    sha = hashlib.sha256()
    left = local.stat().st_size if count is None else count
    with local.open("rb") as file:
        while left > 0 and (block := file.read(min(left, SEGMENT_BYTES))):
            sha.update(block)
            left -= len(block)
    return sha.hexdigest()


async def _arrived(run: Run, path: str, local: Path, size: int) -> int:
    """Return how much of an upload is there and right, in whole segments."""
    there, _ = await _look_at(run, path, 0)
    whole = min(there, size) // SEGMENT_BYTES * SEGMENT_BYTES
    if whole == 0:
        return 0
    expected = await asyncio.to_thread(digest, local, whole)
    _, sha256 = await _look_at(run, path, whole)
    return whole if sha256 == expected else 0


async def _look_at(run: Run, path: str, count: int) -> tuple[int, str]:
    """Return a staged file's size and the checksum of its first `count` bytes."""
    done = await run(_LOOK, path, str(count), what="compare the upload", root=False, check=False)
    size, _, sha256 = done.text.partition("\n")
    return number(size) or 0, sha256.partition(" ")[0]
