"""Files of one session that no one else can read, on their way to their places.

They lie in a directory 0700 of the login below /var/tmp, made anew for each session and removed at
its end; what a killed session left is removed by the next one. Root copies them to their places
from there. A session that follows a lost one takes over its directory, so that an upload goes on
where it broke off (`upload.py`).
"""

from __future__ import annotations

import asyncio
import errno
import secrets
from pathlib import Path
from typing import Final

import asyncssh

from bzzz_core.deploy.remote import Progress, printable
from bzzz_core.deploy.ssh import upload
from bzzz_core.deploy.ssh.files import CommandFiles, Feed, Files, SftpFiles
from bzzz_core.deploy.ssh.staging import MAKE_STAGE, STILL_OURS, stage_of
from bzzz_core.errors import CommandFailed, HostUnreachable, LinkLost

_SFTP_START_S_MAX: Final = 10


class StagedFiles:
    """The staged files of one connection."""

    def __init__(
        self, name: str, connection: asyncssh.SSHClientConnection, run: upload.Run, feed: Feed
    ) -> None:
        """Take the connection, and how commands are run.

        Args:
            name: What the operator calls the host.
            connection: For SFTP.
            run: Runs a command, as `RemoteHost.run`.
            feed: Runs one that reads a file's bytes, where there is no SFTP.
        """
        self._name = name
        self._connection = connection
        self._run = run
        self._feed = feed
        self._files: Files | None = None
        self.directory: str | None = None
        """Where they are on the host, if there are any."""

    async def put(self, content: bytes) -> str:
        """Put bytes into a new file 0600 and return its path."""
        path = f"{await self.made()}/{secrets.token_hex(8)}"
        try:
            async with (await self._opened()).writing(path, at=0) as write:
                await write(content, 0)
        except (asyncssh.Error, OSError) as exc:
            raise await self._explained(path, exc) from exc
        return path

    async def upload(self, local: Path, progress: Progress) -> str:
        """Put a local file into a file of ours, go on with what is there, and return its path."""
        directory = await self.made()
        path = f"{directory}/{local.name}"
        try:
            sha256 = await asyncio.to_thread(upload.digest, local)
            path = f"{directory}/{sha256[:32]}"
            await upload.send(
                await self._opened(), self._run, local, path, sha256=sha256, progress=progress
            )
        except (asyncssh.Error, OSError) as exc:
            raise await self._explained(path, exc) from exc
        return path

    async def made(self) -> str:
        """Return the directory, which is made when it is first needed."""
        if self.directory is None:
            done = await self._run(MAKE_STAGE, what="make a private directory", root=False)
            self.directory = stage_of(self._name, done.text)
        return self.directory

    async def take_over(self, directory: str | None) -> None:
        """Go on with the files of a session with this host that was lost, if they are ours."""
        if directory is None or self.directory is not None:
            return
        what = "look for staged files"
        done = await self._run(STILL_OURS, directory, what=what, root=False, check=False)
        self.directory = directory if done.status == 0 else None

    async def sweep(self) -> None:
        """Remove the staged files. A host that is gone keeps them until the next session."""
        if self._files is not None:
            self._files.close()
        if self.directory is None or self._connection.is_closed():
            return
        try:
            await self._run(
                'rm -rf -- "$1"',
                self.directory,
                what="clean up",
                root=False,
                timeout_s=15,
                check=False,
            )
        except (CommandFailed, HostUnreachable):
            return

    async def _opened(self) -> Files:
        """Return how files are written: by SFTP, or by commands where that does not start."""
        if self._files is None:
            try:
                async with asyncio.timeout(_SFTP_START_S_MAX):
                    self._files = SftpFiles(await self._connection.start_sftp_client())
            except (asyncssh.Error, OSError, TimeoutError):
                if self._connection.is_closed():
                    raise
                self._files = CommandFiles(self._feed)
        return self._files

    async def _explained(self, path: str, exc: Exception) -> Exception:
        """Name the cause of a failed write: SFTP calls a full disk just "Failure"."""
        if self._connection.is_closed() or isinstance(exc, asyncssh.DisconnectError):
            return LinkLost(f"{self._name}: connection lost during an upload: {exc}")
        if isinstance(exc, asyncssh.SFTPNoConnection | asyncssh.SFTPConnectionLost):
            self._files = None
            return LinkLost(f"{self._name}: SFTP ended during an upload: {exc}")
        if isinstance(exc, OSError) and exc.errno == errno.ENOENT:
            return CommandFailed(f"{self._name}: {exc.filename}: {exc.strerror}")
        done = await self._run(
            'rm -f -- "$1"; df -Pk /var/tmp | tail -n 1',
            path,
            what="look for free space",
            root=False,
            check=False,
        )
        return CommandFailed(
            f"{self._name}: upload to /var/tmp failed: {printable(str(exc))};"
            f" file system there: {printable(done.text)}"
        )
