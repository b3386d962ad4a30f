"""Two ways to write files of the login: by SFTP, and by a command where SFTP cannot be had.

sshd starts its SFTP server through the login's shell. What the shell's start files print then comes
before the protocol and breaks it, and some hosts have no SFTP at all. A command's input is not
spoiled by what others print, so there the bytes go into `cat`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Protocol

import asyncssh

BLOCK_BYTES: Final = 128 * 1024
Write = Callable[[bytes, int], Awaitable[None]]
"""Called with bytes and where in the file they belong; in order, without gaps."""
Feed = Callable[[str, str, int, bytes], Awaitable[None]]
"""Runs a script with a path and a size as its arguments, and bytes as its input."""
_PRIVATE: Final = 0o600
_APPEND: Final = """
set -eu
umask 077
[ ! -L "$1" ]
if [ "$2" -eq 0 ]; then rm -f -- "$1"; fi
[ "$(stat -c %s -- "$1" 2>/dev/null || echo 0)" -le "$2" ] || truncate -s "$2" -- "$1"
cat >>"$1"
"""


class Files(Protocol):
    """A way to write files."""

    def writing(self, path: str, *, at: int) -> AbstractAsyncContextManager[Write]:
        """Open a file 0600 to write from `at` on; at 0 it is made anew."""
        ...

    def close(self) -> None:
        """End what is open."""
        ...


class SftpFiles:
    """Files by SFTP."""

    def __init__(self, client: asyncssh.SFTPClient) -> None:
        """Take an open client."""
        self._client = client

    @asynccontextmanager
    async def writing(self, path: str, *, at: int) -> AsyncIterator[Write]:
        """Open a file; see `Files`."""
        flags = asyncssh.FXF_WRITE | asyncssh.FXF_CREAT | (0 if at else asyncssh.FXF_TRUNC)
        attributes = asyncssh.SFTPAttrs(permissions=_PRIVATE)
        async with self._client.open(
            path, flags, attributes, encoding=None, block_size=BLOCK_BYTES
        ) as file:

            async def write(content: bytes, where: int) -> None:
                await file.write(content, where)

            yield write

    def close(self) -> None:
        """End SFTP."""
        self._client.exit()


class CommandFiles:
    """Files by a command that reads its input."""

    def __init__(self, feed: Feed) -> None:
        """Take how to run such a command."""
        self._feed = feed

    @asynccontextmanager
    async def writing(self, path: str, *, at: int) -> AsyncIterator[Write]:
        """Open a file; see `Files`."""
        if at == 0:
            await self._feed(_APPEND, path, 0, b"")

        async def write(content: bytes, where: int) -> None:
            await self._feed(_APPEND, path, where, content)

        yield write

    def close(self) -> None:
        """Nothing is open."""
