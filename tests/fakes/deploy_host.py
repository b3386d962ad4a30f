"""A host that notes what it is told to do, and fails where a test says so."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from bzzz_core.deploy.job import Job
from bzzz_core.deploy.remote import Completed, Progress
from bzzz_core.errors import CommandFailed, LinkLost
from bzzz_core.trust.keys import node_id_of

Answer = Callable[[str], bytes | None]
"""What a command prints, by its description; None: the usual."""


class FakeHost:
    """A `RemoteHost` without a machine."""

    def __init__(
        self, name: str, *, number: int, log: list[str], answer: Answer | None = None
    ) -> None:
        """Take a list in which all hosts note their commands in order."""
        self._name = name
        self._number = number
        self._log = log
        self._answer = answer or (lambda _what: None)
        self.ports: dict[int, int] = {}
        """Port of the host -> port of this machine."""
        self.failing = ""
        """A command whose description holds this fails."""
        self.mended_by = "\0"
        """After a command whose description holds this, none fails any more."""
        self.losing: dict[str, int] = {}
        """Part of a description -> how often the link is lost under such a command."""
        self.staged: list[bytes] = []
        """What was put on the host, in order."""
        self.on: dict[str, Callable[[], object]] = {}
        """Part of a description -> what happens when such a command is run; it may take time."""
        self.limits_s: dict[str, int] = {}
        """Description -> how long such a command had."""

    @property
    def name(self) -> str:
        """Return the host's name."""
        return self._name

    @property
    def quiet(self) -> FakeHost:
        """Return the host itself."""
        return self

    async def run(
        self,
        script: str,
        *arguments: str,
        what: str,
        root: bool = True,
        timeout_s: int = 60,
        check: bool = True,
    ) -> Completed:
        """Note the command and answer it."""
        del script, arguments, root
        self.limits_s[what] = timeout_s
        self._log.append(f"{self._name}: {what}")
        if self.mended_by in what:
            self.failing = ""
        failing = bool(self.failing) and self.failing in what
        for part, act in self.on.items():
            if part in what and isinstance(done := act(), Awaitable):
                await done
        for part, times in self.losing.items():
            if part in what and times:
                self.losing[part] -= 1
                raise LinkLost(f"{self._name}: connection lost while: {what}")
        if failing:
            if check:
                raise CommandFailed(f"{self._name}: {what}: told to fail")
            return Completed(1, b"", b"told to fail")
        said = self._answer(what)
        if said is None and "keys" in what:
            said = self._enrolment()
        return Completed(0, said or b"", b"")

    async def run_unit(self, job: Job, *, check: bool = True) -> Completed:
        """Note the command and answer it; that it runs in a unit makes no difference here."""
        return await self.run(
            job.script, *job.arguments, what=job.what, timeout_s=job.timeout_s, check=check
        )

    @asynccontextmanager
    async def forwarded(self, port: int) -> AsyncIterator[int]:
        """Lead to a port of this machine: the one that a test set."""
        self._log.append(f"{self._name}: forward {port}")
        yield self.ports.get(port, 1)

    async def stage(self, content: bytes) -> str:
        """Take a file."""
        self.staged.append(content)
        return "/var/tmp/staged"  # noqa: S108  on the pretended host

    async def upload(self, local: Path, progress: Progress) -> str:
        """Take a large file."""
        progress(1, 1)
        self._log.append(f"{self._name}: upload {local.name}")
        return "/var/tmp/uploaded"  # noqa: S108  on the pretended host

    def _enrolment(self) -> bytes:
        key = bytes([self._number]) * 32
        return msgspec.json.encode(
            {
                "node_id": node_id_of(key),
                "public_key": base64.b64encode(key).decode(),
                "node_csr": "node request",
                "route_csr": "route request",
            }
        )
