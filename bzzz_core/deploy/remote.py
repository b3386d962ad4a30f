"""What the engine needs from a host, and how a command is written down for it.

A command is a constant POSIX `sh` script with positional arguments. Every word is quoted, so that
no value is ever read as code, in a way that sh, bash, zsh and fish read alike: the login's shell is
the host's choice. The command line does five things before the script runs:

1. `sudo`, if the login is not root. A password goes to sudo's standard input and nowhere else, and
   `-k` makes sudo read it even if it remembers an earlier one.
2. `env` gives the script a fixed locale and PATH.
3. `timeout` ends it on the host even if this side is gone; it runs inside sudo, because only root
   may kill what root started.
4. `exec </dev/null` comes first in the script: had sudo not read the password, the payload would.
5. It prints a mark. Whatever a login file printed stands before the mark and is dropped; no mark
   means that the script never ran, whatever the exit status says.

Rules: no secret is ever an argument. Output is bytes and bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from bzzz_core.deploy.job import Job
from bzzz_core.errors import CommandFailed

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KILL_AFTER_S: Final = 5
TAIL_CHARACTERS: Final = 300
_PLAIN: Final = re.compile(r"[A-Za-z0-9+:,./_-]+")
_ESCAPED: Final = re.compile(r"['\\]")
Progress = Callable[[int, int], None]
"""Called with bytes sent and bytes in all."""


class Sudo(StrEnum):
    """How the login becomes root."""

    ROOT = "root"
    """It is root."""
    FREE = "free"
    """sudo asks for no password."""
    PASSWORD = "password"  # noqa: S105  the name of a mode
    REFUSED = "refused"
    """sudo is missing, or it wants a password that we were not given."""


@dataclass(frozen=True, slots=True)
class Completed:
    """How a remote command ended."""

    status: int
    stdout: bytes
    stderr: bytes
    truncated: bool = False
    """Standard output was longer than the limit; its beginning was kept."""

    @property
    def text(self) -> str:
        """Return standard output as text; bytes that are no UTF-8 are replaced."""
        return self.stdout.decode("utf-8", errors="replace").strip()

    @property
    def complaint(self) -> str:
        """Return the end of what the command said about its failure, fit for one line."""
        said = (self.stderr or self.stdout).decode("utf-8", errors="replace")
        return printable(said)[-TAIL_CHARACTERS:]

    def checked(self, host: str, what: str) -> Completed:
        """Return it, if the status is 0.

        Raises:
            CommandFailed: It is another one.
        """
        if self.status != 0:
            raise CommandFailed(f"{host}: {what}: status {self.status}: {self.complaint}")
        return self


class Runs(Protocol):
    """A host that runs commands and connects again by itself; part of `RemoteHost`."""

    @property
    def name(self) -> str:
        """Return what the operator calls the host."""
        ...

    async def run(
        self, script: str, *arguments: str, what: str, timeout_s: int = 60, check: bool = True
    ) -> Completed:
        """Run a constant script as root."""
        ...


class RemoteHost(Protocol):
    """One host with an open connection. `root` commands run as root by whatever means it has."""

    @property
    def name(self) -> str:
        """Return what the operator calls the host."""
        ...

    @property
    def quiet(self) -> Runs:
        """Return the same host for commands that no log may tell of: some print a secret."""
        ...

    async def run(
        self,
        script: str,
        *arguments: str,
        what: str,
        root: bool = True,
        timeout_s: int = 60,
        check: bool = True,
    ) -> Completed:
        """Run a constant script and return how it ended.

        Args:
            script: POSIX sh, without anything that varies.
            arguments: What varies: `$1`, `$2` ...
            what: What this does, in a few words, for messages.
            root: As root; otherwise as the login.
            timeout_s: When the host ends it.
            check: A status other than 0 is an error.

        Raises:
            CommandFailed: It failed, took too long, or ended without a status.
            HostUnreachable: The connection is gone.
        """
        ...

    async def run_unit(self, job: Job, *, check: bool = True) -> Completed:
        """Run a job as root in a systemd unit of its own, and watch it to its end.

        For what is long, or must not end half-way when the link is lost: unpacking, packages,
        pulls of models, starting services. The connection may break meanwhile and the host may
        reboot (then the script is started again: it must bear that). Its output is bounded.

        Args:
            job: The script, what varies, and when it is given up.
            check: A status other than 0 is an error.

        Raises:
            CommandFailed: It failed, took too long, was silent too long, or another run is at work.
            HostUnreachable: The host did not come back; the unit goes on there to its own end.
        """
        ...

    def forwarded(self, port: int) -> AbstractAsyncContextManager[int]:
        """Return a way to a port of the host's loopback: a port of our own, open for the block.

        Raises:
            HostUnreachable: The connection is gone, or the host's sshd forbids forwarding.
        """
        ...

    async def stage(self, content: bytes) -> str:
        """Put bytes into a new private file of the login and return its path.

        Raises:
            CommandFailed: The file could not be written.
        """
        ...

    async def upload(self, local: Path, progress: Progress) -> str:
        """Put a local file into a new private file of the login and return its path.

        What arrived is compared by its checksum. A lost link is no failure as long as the host
        comes back: the upload goes on where it broke off.

        Raises:
            CommandFailed: The file could not be written, or arrived damaged.
            HostUnreachable: The host did not come back.
        """
        ...


def command_line(
    script: str,
    *arguments: str,
    mark: str,
    timeout_s: int,
    sudo: Sudo | None,
    reads: bool = False,
) -> str:
    """Return the one line that a login shell runs; see the module's text.

    With `reads` the script has standard input, which then is no way for a password of sudo.
    """
    assert not (reads and sudo is Sudo.PASSWORD), "a payload and a password never share an input"
    become = {
        Sudo.FREE: ["sudo", "-n", "--"],
        Sudo.PASSWORD: ["sudo", "-k", "-S", "-p", "", "--"],
    }
    limit = ["timeout", "-k", str(KILL_AFTER_S), str(timeout_s)]
    shut = "" if reads else "exec </dev/null\n"
    body = f"{shut}printf '%s\\n' {_quoted(mark)}\n{script}"
    words = [
        *(become.get(sudo, []) if sudo else []),
        *("env", "LC_ALL=C", f"PATH={PATH}", *limit),
        *("sh", "-c", body, "bzzz", *arguments),
    ]
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    """Return a word that every login shell reads as it is.

    Between single quotes fish takes a backslash before a quote or another backslash for an escape;
    outside of them all shells do, and so both stand outside.
    """
    if _PLAIN.fullmatch(word):
        return word
    return "'" + _ESCAPED.sub(r"'\\\g<0>'", word) + "'"


def after_mark(stdout: bytes, mark: str) -> bytes | None:
    """Return what the script printed, without what came before it; None if it never ran."""
    _, found, rest = stdout.partition(mark.encode() + b"\n")
    return rest if found else None


def printable(text: str) -> str:
    """Return untrusted text on one line, without anything that could steer a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def visible(text: str) -> str:
    """Return untrusted text as it is, but for the numbers of what could steer a terminal."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )
