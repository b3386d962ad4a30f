"""One host with an open connection: commands, and files that no one else can read.

Everything is bytes: decoding by the library would lose output *and* exit status of a command that
prints no UTF-8, and close the connection with it. A command without an exit status has failed.

Files go by way of a private directory of the login; see `staged.py`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import asyncssh

from bzzz_core.clock import utc_instant
from bzzz_core.config.secrets import Secret
from bzzz_core.deploy.facts.sections import number
from bzzz_core.deploy.remote import (
    Completed,
    Progress,
    Sudo,
    after_mark,
    command_line,
    printable,
)
from bzzz_core.deploy.ssh import refusal
from bzzz_core.deploy.ssh.connect import opened
from bzzz_core.deploy.ssh.greeting import GREET, Greeting, skew_ms
from bzzz_core.deploy.ssh.host_keys import KnownHosts
from bzzz_core.deploy.ssh.login import Login, Pace
from bzzz_core.deploy.ssh.staged import StagedFiles
from bzzz_core.errors import AuthenticationFailed, CommandFailed, HostUnreachable, LinkLost

STDOUT_BYTES_MAX: Final = 4_000_000
STDERR_BYTES_MAX: Final = 64_000
CHANNELS_MAX: Final = 6
"""sshd allows 10 sessions a connection by default; SFTP and forwarding need some."""
_GRACE_S: Final = 20
_FEED_S_MAX: Final = 120
CHANNEL_TRIES_MAX: Final = 4
LOOPBACK: Final = "127.0.0.1"
_TIMED_OUT: Final = (124, 137)


@asynccontextmanager
async def session(
    login: Login, known_hosts: KnownHosts, pace: Pace | None = None
) -> AsyncIterator[SshHost]:
    """Connect, find out how to become root, and clean up on the way out.

    Raises:
        DeployError: As `connect`; or sudo refused the one password it was given.
    """
    async with opened(login, known_hosts, pace or Pace()) as connection:
        host = SshHost(login, connection)
        await host.greet()
        try:
            yield host
        finally:
            await host.sweep()


class SshHost:
    """A `RemoteHost` over one SSH connection."""

    def __init__(self, login: Login, connection: asyncssh.SSHClientConnection) -> None:
        """Take an open connection; use `session`."""
        self._login = login
        self._connection = connection
        self._channels = asyncio.Semaphore(CHANNELS_MAX)
        self._mark = f"bzzz-{secrets.token_hex(12)}"
        self._staged = StagedFiles(login.name, connection, self.run, self._feed)
        self._greeting: Greeting | None = None

    @property
    def name(self) -> str:
        """Return what the operator calls the host."""
        return self._login.name

    @property
    def quiet(self) -> SshHost:
        """Return the host itself: a session writes no log."""
        return self

    @property
    def user(self) -> str:
        """Return whom we logged in as."""
        return self._login.user

    @property
    def greeting(self) -> Greeting:
        """Return what the host said first."""
        assert self._greeting is not None, "greet first"
        return self._greeting

    @property
    def alive(self) -> bool:
        """Return whether the connection stands, as far as this side knows."""
        return not self._connection.is_closed()

    async def greet(self) -> None:
        """Learn who we are there, how to become root, and the difference of the clocks.

        Raises:
            AuthenticationFailed: sudo refused the password; it is not tried again.
        """
        before = utc_instant()
        done = await self.run(GREET, what="first command", root=False, timeout_s=15, check=False)
        after = utc_instant()
        if done.status != 0:
            raise CommandFailed(
                f"{self.name}: the login shell of {self._login.user} runs no commands (status"
                f" {done.status}: {done.complaint or 'nothing said'}); is it nologin?"
            )
        lines = done.text.splitlines()
        uid = number(lines[0]) if len(lines) > 1 else None
        if uid is None:
            raise CommandFailed(f"{self.name}: the login does not run POSIX sh: {done.text[:80]!r}")
        key = self._connection.get_server_host_key()
        self._greeting = Greeting(
            uid=uid,
            sudo=Sudo.ROOT if uid == 0 else await self._probe_sudo(),
            skew_ms=skew_ms(lines[1], before, after),
            round_trip_ms=round((after - before).total_seconds() * 1_000),
            host_key_sha256=key.get_fingerprint() if key else "",
            through=lines[2].removeprefix("through=")[:200] if len(lines) > 2 else "",  # noqa: PLR2004
        )

    async def run(
        self,
        script: str,
        *arguments: str,
        what: str,
        root: bool = True,
        timeout_s: int = 60,
        check: bool = True,
    ) -> Completed:
        """Run a constant script and return how it ended; the contract is `RemoteHost.run`."""
        sudo = self.greeting.sudo if root else Sudo.ROOT
        if sudo is Sudo.REFUSED:
            raise AuthenticationFailed(f"{self.name}: {what} needs root, and sudo refuses it")
        return await self._run(
            script, arguments, what=what, sudo=sudo, timeout_s=timeout_s, check=check
        )

    async def tell(
        self, script: str, *arguments: str, content: Secret, what: str, timeout_s: int
    ) -> Completed:
        """Run a constant script as the login; the contract is `ai_check.Asks.tell`."""
        sudo, check = Sudo.ROOT, True
        return await self._run(
            script,
            arguments,
            what=what,
            sudo=sudo,
            timeout_s=timeout_s,
            check=check,
            content=content,
        )

    @asynccontextmanager
    async def forwarded(self, port: int) -> AsyncIterator[int]:
        """Yield a local port that leads to a port of the host's loopback."""
        connection = self._connection
        try:
            listener = await connection.forward_local_port(LOOPBACK, 0, LOOPBACK, port)
        except (asyncssh.Error, OSError) as exc:
            raise HostUnreachable(f"{self.name}: no forwarding: {exc}") from exc
        try:
            yield listener.get_port()
        finally:
            listener.close()

    async def stage(self, content: bytes) -> str:
        """Put bytes into a new file 0600 and return its path."""
        return await self._staged.put(content)

    async def upload(self, local: Path, progress: Progress) -> str:
        """Put a local file into a file of ours, go on with what is there, and return its path."""
        return await self._staged.upload(local, progress)

    @property
    def stage_directory(self) -> str | None:
        """Return where staged files are on the host, if there are any."""
        return self._staged.directory

    async def take_over(self, stage_directory: str | None) -> None:
        """Go on with the files of a session with this host that was lost, if they are ours."""
        await self._staged.take_over(stage_directory)

    async def sweep(self) -> None:
        """Remove the staged files. A host that is gone keeps them until the next session."""
        await self._staged.sweep()

    async def _run(
        self,
        script: str,
        arguments: tuple[str, ...],
        *,
        what: str,
        sudo: Sudo,
        timeout_s: int,
        check: bool,
        content: Secret | None = None,
    ) -> Completed:
        secret = self._login.sudo_password if sudo is Sudo.PASSWORD else content
        given = None if secret is None else secret.reveal().encode() + b"\n"
        reads, mark = content is not None, self._mark
        line = command_line(
            script, *arguments, mark=mark, timeout_s=timeout_s, sudo=sudo, reads=reads
        )
        try:
            async with self._channels, asyncio.timeout(timeout_s + _GRACE_S):
                raw = await self._execute(line, given)
        except TimeoutError as exc:
            raise CommandFailed(f"{self.name}: {what}: no end after {timeout_s} s") from exc
        except asyncssh.ChannelOpenError as exc:
            if not self._connection.is_closed() and "closed" not in exc.reason:
                raise CommandFailed(
                    f"{self.name}: {what}: the host opens no further session on this connection"
                    f" ({printable(exc.reason)}); MaxSessions in its sshd_config is too small"
                ) from exc
            raise LinkLost(f"{self.name}: connection lost before: {what}") from exc
        except (asyncssh.Error, OSError) as exc:
            raise LinkLost(f"{self.name}: connection lost while: {what}; {exc}") from exc
        done, ran = raw
        if done.status in _TIMED_OUT:
            raise CommandFailed(f"{self.name}: {what}: took longer than {timeout_s} s")
        if not ran and done.status == 0:
            raise CommandFailed(
                f"{self.name}: {what}: the login shell ended before the command; look for `exit`"
                " in its start files"
            )
        return done.checked(self.name, what) if check else done

    async def _execute(self, line: str, given: bytes | None) -> tuple[Completed, bool]:
        """Run one line with an input; return how it ended and whether our script was reached."""
        stdin = asyncssh.DEVNULL if given is None else asyncssh.PIPE
        process = await self._open_process(line, stdin)
        try:
            if given is not None:
                process.stdin.write(given)
                process.stdin.write_eof()
            # No TaskGroup: it would wrap a lost connection in a group of errors.
            (stdout, truncated), (stderr, _) = await asyncio.gather(
                _drain(process.stdout, STDOUT_BYTES_MAX), _drain(process.stderr, STDERR_BYTES_MAX)
            )
            await process.wait_closed()
        finally:
            # Cancelled or not: what still runs there ends at its own limit at the latest.
            process.close()
        if process.exit_status is None:
            if self._connection.is_closed():
                raise ConnectionResetError("it ended without a status")
            signal = process.exit_signal[0] if process.exit_signal else "none"
            raise CommandFailed(
                f"{self.name}: the command ended without a status (signal {signal})"
            )
        printed = after_mark(stdout, self._mark)
        return (
            Completed(process.exit_status, printed or b"", stderr, truncated),
            printed is not None,
        )

    async def _open_process(self, line: str, stdin: int) -> asyncssh.SSHClientProcess[bytes]:
        """Start a process; a host that has no room for another session is asked again."""
        for attempt in range(1, CHANNEL_TRIES_MAX + 1):
            try:
                return await self._connection.create_process(line, encoding=None, stdin=stdin)
            except asyncssh.ChannelOpenError:
                if attempt == CHANNEL_TRIES_MAX or self._connection.is_closed():
                    raise
                await asyncio.sleep(0.2 * attempt + secrets.randbelow(200) / 1_000)
        raise AssertionError("the loop returns or raises")

    async def _probe_sudo(self) -> Sudo:
        free = await self._run(
            "true", (), what="ask sudo", sudo=Sudo.FREE, timeout_s=15, check=False
        )
        if free.status == 0:
            return Sudo.FREE
        refusal.check_terminal(free, self.name, self._login.user)
        if self._login.sudo_password is None:
            return Sudo.REFUSED
        # sudo itself says no more than "a password is required", so this one try has to tell.
        tried = await self._run(
            "true", (), what="try sudo", sudo=Sudo.PASSWORD, timeout_s=20, check=False
        )
        if tried.status != 0:
            raise AuthenticationFailed(
                f"{self.name}: sudo refused the password of {self._login.user}, or the user may not"
                " use sudo; it was tried once and will not be tried again"
            )
        return Sudo.PASSWORD

    async def _feed(self, script: str, path: str, size: int, content: bytes) -> None:
        """Run a script as the login that reads bytes from its input."""
        line = command_line(
            script, path, str(size), mark=self._mark, timeout_s=_FEED_S_MAX, sudo=None, reads=True
        )
        async with self._channels:
            done, ran = await self._execute(line, content)
        if not ran:
            raise CommandFailed(f"{self.name}: the login shell ended before the upload")
        done.checked(self.name, "write a file")


async def _drain(reader: asyncssh.SSHReader[bytes], limit: int) -> tuple[bytes, bool]:
    """Read to the end, keep the first `limit` bytes, and say whether there was more."""
    kept = bytearray()
    truncated = False
    while chunk := await reader.read(65_536):
        room = limit - len(kept)
        kept += chunk[:room]
        truncated = truncated or len(chunk) > room
    return bytes(kept), truncated
