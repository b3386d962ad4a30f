"""A host whose connection may break: it is opened anew, and the work goes on.

    a command       fails with `LinkLost`; what it did is not known, so whoever asked looks again
    an upload       goes on where it broke off
    a unit          is found again by its name (`transient.py`)

Rules: a refused login, a changed host key and a refused sudo password end the host's run at once; a
host that is away is asked again for `RECONNECT_S_MAX`, at growing intervals with jitter. A command
that runs for long says so every few seconds, with the age of its last output. While the host is
leased, nothing is done there unless the lease was seen to be ours on this very connection, a short
time ago: another run may have taken the host while we could not reach it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

from bzzz_core.deploy.job import Job
from bzzz_core.deploy.lease import Leasable
from bzzz_core.deploy.remote import Completed, Progress, Runs
from bzzz_core.deploy.ssh.session import SshHost
from bzzz_core.deploy.transient import run_job
from bzzz_core.errors import BzzzError, HostUnreachable, LeaseLost, LinkLost
from bzzz_core.ports import Clock

RECONNECT_S_MAX: Final = 150
PAUSES_MS: Final = (300, 1_000, 2_000, 4_000, 8_000)
TELL_MS: Final = 5_000
UPLOAD_TRIES_MAX: Final = 8
VOUCHED_MS_MAX: Final = 30_000
"""How old the last look at the lease may be; much less than what makes a lease stale."""
Connect = Callable[[], Awaitable[SshHost]]
"""Returns the open session of a host, opening another if it is gone."""


class Witness(Protocol):
    """Who is told what goes on at a host."""

    def runs(self, what: str, elapsed_ms: int, quiet_ms: int, last: str) -> None:
        """Note that something takes long: since when, how long it was silent, its last line."""
        ...

    def ended(self, what: str, elapsed_ms: int, outcome: Completed | BzzzError) -> None:
        """Note how a command ended."""
        ...


class SteadyHost:
    """A `RemoteHost` that outlives its connections."""

    def __init__(
        self,
        name: str,
        *,
        connect: Connect,
        run_id: str,
        clock: Clock,
        jitter: Callable[[], float],
        witness: Witness,
        patience_s: int = RECONNECT_S_MAX,
    ) -> None:
        """Take how to connect; nothing is opened yet.

        Args:
            name: What the operator calls the host.
            connect: Opens a session, or returns the open one.
            run_id: Names the units of this run.
            clock: For durations and pauses.
            jitter: A number from 0 to 1, anew each time.
            witness: Is told everything.
            patience_s: How long a host that is away is asked again.
        """
        self._name = name
        self._connect = connect
        self._run_id = run_id
        self._clock = clock
        self._jitter = jitter
        self._witness = witness
        self._patience_ms = patience_s * 1_000
        self._opening = asyncio.Lock()
        self._barred: BzzzError | None = None
        self._given_up = False
        self._guard: Callable[[Runs], Awaitable[None]] | None = None
        self._vouched: tuple[SshHost, int] | None = None
        """The session on which the lease was last seen to be ours, and when."""

    @property
    def name(self) -> str:
        """Return what the operator calls the host."""
        return self._name

    @property
    def quiet(self) -> Leasable:
        """Return the same host for commands of which nobody is told (`RemoteHost.quiet`)."""
        return _Quiet(self)

    def guard(self, check: Callable[[Runs], Awaitable[None]] | None) -> None:
        """Take what has to succeed on a new session before it is used; `Leasable.guard`."""
        self._guard = check
        self._vouched = None

    def bar(self, reason: BzzzError) -> None:
        """Let nothing further be done there; every attempt is this failure."""
        self._barred = reason

    async def session(self) -> SshHost:
        """Return an open session; one that is gone is opened anew, for as long as is sensible.

        Raises:
            HostUnreachable: It did not come back in time.
            DeployError: Key, login or sudo are refused: nothing is tried twice.
            LeaseLost: Another run has taken the host meanwhile; it is barred from now on.
        """
        if self._barred is not None:
            raise self._barred
        # A host that was waited for in vain is asked once, so that nobody waits for it again.
        patience_ms = 0 if self._given_up else self._patience_ms
        deadline_ms = self._clock.now_ms() + patience_ms
        attempt = 0
        async with self._opening:
            while True:
                try:
                    host = await self._connect()
                    await self._vouch(host)
                except HostUnreachable as exc:
                    if self._clock.now_ms() >= deadline_ms:
                        self._given_up = True
                        raise HostUnreachable(str(exc)) from exc
                    pause_ms = PAUSES_MS[min(attempt, len(PAUSES_MS) - 1)]
                    attempt += 1
                    self._witness.runs("connect again", 0, 0, str(exc))
                    await self._clock.sleep_ms(round(pause_ms * (0.5 + self._jitter())))
                else:
                    self._given_up = False
                    return host

    async def _vouch(self, host: SshHost) -> None:
        """See to it that the lease is still ours."""
        if self._guard is None:
            return
        if self._vouched is not None:
            vouched, at_ms = self._vouched
            if vouched is host and self._clock.now_ms() - at_ms <= VOUCHED_MS_MAX:
                return
        try:
            await self._guard(host)
        except LeaseLost as exc:
            self.bar(exc)
            raise
        self._vouched = host, self._clock.now_ms()

    async def run(
        self,
        script: str,
        *arguments: str,
        what: str,
        root: bool = True,
        timeout_s: int = 60,
        check: bool = True,
    ) -> Completed:
        """Run a constant script once; the contract is `RemoteHost.run`."""

        async def once() -> Completed:
            host = await self.session()
            return await host.run(
                script, *arguments, what=what, root=root, timeout_s=timeout_s, check=check
            )

        return await self._told(what, once)

    async def run_unit(self, job: Job, *, check: bool = True) -> Completed:
        """Run a job in a unit; the contract is `RemoteHost.run_unit`."""
        begun_ms = told_ms = self._clock.now_ms()

        def tell(quiet_ms: int, last: str) -> None:
            nonlocal told_ms
            now_ms = self._clock.now_ms()
            if now_ms - told_ms >= TELL_MS:
                told_ms = now_ms
                self._witness.runs(job.what, now_ms - begun_ms, quiet_ms, last)

        done = await run_job(_Quiet(self), job, run_id=self._run_id, clock=self._clock, tell=tell)
        self._witness.ended(job.what, self._clock.now_ms() - begun_ms, done)
        return done.checked(self._name, job.what) if check else done

    @asynccontextmanager
    async def forwarded(self, port: int) -> AsyncIterator[int]:
        """Yield a way to a port of the host; it ends with the connection, and is asked for anew."""
        async with (await self.session()).forwarded(port) as local:
            yield local

    async def stage(self, content: bytes) -> str:
        """Put bytes into a new private file and return its path."""
        return await (await self.session()).stage(content)

    async def upload(self, local: Path, progress: Progress) -> str:
        """Put a local file into a private file; the contract is `RemoteHost.upload`."""
        what = f"upload {local.name}"
        begun_ms = self._clock.now_ms()
        for attempt in range(1, UPLOAD_TRIES_MAX + 1):
            try:
                path = await (await self.session()).upload(local, progress)
            except LinkLost as exc:
                self._witness.ended(what, self._clock.now_ms() - begun_ms, exc)
                if attempt == UPLOAD_TRIES_MAX:
                    raise
                continue
            self._witness.ended(what, self._clock.now_ms() - begun_ms, Completed(0, b"", b""))
            return path
        raise AssertionError("the loop returns or raises")

    async def _told(self, what: str, action: Callable[[], Awaitable[Completed]]) -> Completed:
        begun_ms = self._clock.now_ms()
        try:
            async with asyncio.TaskGroup() as group:
                ticking = group.create_task(self._tick(what, begun_ms))
                done = await _caught(action)
                ticking.cancel()
        finally:
            elapsed_ms = self._clock.now_ms() - begun_ms
        self._witness.ended(what, elapsed_ms, done)
        if isinstance(done, BzzzError):
            raise done
        return done

    async def _tick(self, what: str, begun_ms: int) -> None:
        while True:
            await self._clock.sleep_ms(TELL_MS)
            elapsed_ms = self._clock.now_ms() - begun_ms
            self._witness.runs(what, elapsed_ms, elapsed_ms, "")


class _Quiet:
    """The commands by which a unit is watched: too many to tell anybody of them."""

    def __init__(self, host: SteadyHost) -> None:
        self._host = host

    @property
    def name(self) -> str:
        return self._host.name

    def guard(self, check: Callable[[Runs], Awaitable[None]] | None) -> None:
        self._host.guard(check)

    async def run(
        self, script: str, *arguments: str, what: str, timeout_s: int = 60, check: bool = True
    ) -> Completed:
        host = await self._host.session()
        return await host.run(script, *arguments, what=what, timeout_s=timeout_s, check=check)


async def _caught(action: Callable[[], Awaitable[Completed]]) -> Completed | BzzzError:
    """Return what was raised: a task group would wrap it."""
    try:
        return await action()
    except BzzzError as exc:
        return exc
