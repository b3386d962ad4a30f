"""The broker's unit: runs a broker while this node votes, follows who belongs to the cluster.

A process of its own on hosts (`bzzz-agent fabric run`), a task of the agent in a demo. It learns of
joins, revocations, promotions and renewed certificates from files alone (the registry's cache,
the secrets directory): it looks at them every 250 ms, by their time and size, and reads the
membership anew only when one has changed, or at `refresh` (SIGHUP). All else is as it was at the
unit's start, for as long as the unit runs. What it could not do it tries again, and says so in the
log and in a note that `fabric status` shows.

- no voter, or a voter whose route certificate has not come yet: no broker, it waits;
- a voter: the broker runs, and every change is reloaded without a restart;
- a voter no more: the broker sends its clients away, ends, and its store is set aside. That this
  loses nothing is the steward's part, which moves the streams first (`bzzz_core.growth`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final

from bzzz_core.config.schema import AgentConfig
from bzzz_core.errors import BzzzError, NotEnrolled
from bzzz_core.fabric import store
from bzzz_core.fabric.problem import ProblemNote
from bzzz_core.fabric.server import BrokerServer
from bzzz_core.ports import Clock
from bzzz_core.telemetry import logs
from bzzz_core.trust.secrets_directory import SecretsDirectory

LOOK_MS: Final = 250
_AGAIN_MS: Final = 5_000
"""A change that could not be taken is tried again after this (a full disk, half a certificate)."""

Stamp = tuple[tuple[int, int, int] | None, ...]


class UnitState(StrEnum):
    """What the unit does now."""

    NO_VOTER = "no voter"
    NO_CERTIFICATE = "waiting for the route certificate"
    RUNNING = "running"


class BrokerUnit:
    """Runs a `BrokerServer` whenever this node is to have one."""

    def __init__(
        self, load: Callable[[], AgentConfig], *, followed: tuple[Path, ...], clock: Clock
    ) -> None:
        """Look at nothing yet.

        Args:
            load: Returns the node's configuration with the registry, read anew, laid over it. Only
                the first one counts as a whole; of later ones, who belongs to the cluster.
            followed: Files whose change asks for a new look, beside the certificates.
            clock: For the looks.
        """
        self._load = load
        self._followed = followed
        self._clock = clock
        self._log = logs.get("broker")
        self._refresh = asyncio.Event()
        self._config: AgentConfig | None = None
        self._server: BrokerServer | None = None
        self._problem = self._said = ""
        self._watched: tuple[str, ...] = ()
        self.state = UnitState.NO_VOTER

    @property
    def server(self) -> BrokerServer | None:
        """Return the running broker's supervisor, if there is one."""
        return self._server

    def refresh(self) -> None:
        """Read the configuration anew at the next look, whatever the files' times say."""
        self._refresh.set()

    async def run(self) -> None:
        """Follow until cancelled.

        Raises:
            ConfigError: The node's own configuration cannot be, at the start.
            BrokerError: The broker cannot be run, and trying again would not help.
        """
        self._config = self._load()
        self._note = ProblemNote(Path(self._config.resources.paths.data))
        self._note.write("")
        stamp, retry_at_ms = self._stamp(), 0
        async with asyncio.TaskGroup() as group:
            if not await self._take(group):
                retry_at_ms = self._clock.now_ms() + _AGAIN_MS
            while True:
                self._say()
                await self._wait()
                now_ms, seen = self._clock.now_ms(), self._stamp()
                due = self._refresh.is_set() or (retry_at_ms and now_ms >= retry_at_ms)
                if seen == stamp and not due:
                    continue
                self._refresh.clear()
                stamp = seen
                retry_at_ms = 0 if await self._take(group) else now_ms + _AGAIN_MS

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_MS / 1000):
                await self._refresh.wait()

    async def _take(self, group: asyncio.TaskGroup) -> bool:
        """Take what the files say now; return whether that is done with."""
        try:
            await self._take_now(group)
        except (BzzzError, OSError) as exc:
            problem = f"a change has not reached the broker yet: {exc}"
            if problem != self._problem:
                self._log.warning("the broker did not take a change", reason=str(exc))
            self._problem = problem
            return False
        self._problem = ""
        return True

    async def _take_now(self, group: asyncio.TaskGroup) -> None:
        assert self._config is not None, "run reads it first"
        try:
            nodes = self._load().cluster.nodes
        except NotEnrolled as exc:
            if self.state is UnitState.RUNNING:
                self._log.warning("this node is not in the cluster any more", reason=str(exc))
            await self._stand_down()
            return
        self._config = self._config.with_nodes(nodes)
        await self._follow(group)

    def _say(self) -> None:
        """Leave a note of what is in the way, as far as it is news."""
        problem = self._problem or (self._server.problem if self._server else "")
        if problem != self._said:
            self._note.write(problem)
        self._said = problem

    async def _follow(self, group: asyncio.TaskGroup) -> None:
        """Start, reload or end the broker so that it fits the present configuration."""
        config = self._config
        assert config is not None, "run reads it first"
        if not config.me.voter:
            await self._stand_down()
        elif self._server is not None:
            await self._server.reload(config.cluster.nodes)
        elif not SecretsDirectory(Path(config.security.directory)).route_certificate.exists():
            self._enter(UnitState.NO_CERTIFICATE)
        else:
            self._server = BrokerServer(config, clock=self._clock)
            group.create_task(self._serve(self._server), name="broker")
            self._enter(UnitState.RUNNING)

    async def _serve(self, server: BrokerServer) -> None:
        try:
            await server.run_supervised()
        finally:
            self._server = None

    async def _stand_down(self) -> None:
        config = self._config
        assert config is not None, "run reads it first"
        if self._server is not None:
            await self._server.leave()
            # A new term of office starts from nothing, so the old one has to be over.
            while self._server is not None:
                self._say()
                await self._clock.sleep_ms(LOOK_MS)
        else:
            directory = Path(config.resources.paths.data) / "broker"
            if (directory / "server-name").exists():
                with store.held(directory):
                    kept = store.set_aside(directory)
                self._log.info("a former voter's store was set aside", kept=str(kept))
        self._enter(UnitState.NO_VOTER)

    def _enter(self, state: UnitState) -> None:
        if state is not self.state:
            self._log.info("broker's unit", state=str(state))
        self.state = state

    def _stamp(self) -> Stamp:
        if not self._watched:
            assert self._config is not None, "run reads it first"
            secrets = SecretsDirectory(Path(self._config.security.directory))
            paths = (
                *self._followed,
                secrets.node_certificate,
                secrets.node_ca,
                secrets.route_certificate,
                secrets.fabric_ca,
                secrets.system_certificate,
            )
            self._watched = tuple(str(path) for path in paths)
        return tuple(_stamp_of(path) for path in self._watched)


def _stamp_of(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  two dozen a second: half the cost of Path.stat
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
