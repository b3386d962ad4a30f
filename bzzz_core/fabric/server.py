"""Runs the node's nats-server as a child process: found, start, watch, reload, leave, stop.

`run_supervised` owns the process and all that belongs to its life: the witness that makes a lone
broker a cluster, the companion with which it starts again, the watch over its health. It returns
once the broker has left in order, by cancellation (then the broker is asked to end, and after a
while made to), or because preparing failed, which no restart would cure. A broker that dies is
started again after a delay that doubles from 0.2 s to 5 s and falls back once a broker has lived
for half a minute. What may pass (a full disk, a machine too busy for `nats-server -t`) is waited
for, told in `problem` and never the end of the supervisor.

Of a new configuration a running broker gets who belongs to the cluster, and nothing else: JetStream
and the listeners take no other directory, port or limit, and a reload that holds one is refused as
a whole, revocations too (measured). So the rest stays as it was when the supervisor was made. A
reload counts as taken once the broker says so. One that is refused all the same (the registry may
name another address of this very node) ends in a new start, which reads the same file.

What the watch does beyond looking:

- ready: the companion, if there is one, is taken out of the routes and ends;
- no longer a peer, though it once was: the store is set aside and the broker starts fresh under a
  new name, because under the old one it would never count again;
- unwell for half a minute while the cluster is well (a disk that was full, a replica that gave up):
  it is started anew, which lets JetStream recover; ever more rarely if that does not help.

SIGTERM is the graceful end: the broker hands its stream leaderships over first, and of 545 writes
in flight around it none failed (measured). Whatever kills this process kills the broker too.
"""

from __future__ import annotations

import asyncio
import signal
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sections import NodeEntry
from bzzz_core.errors import BrokerError, BrokerHindered, BzzzError, TransportError, TrustError
from bzzz_core.fabric import binary, child, config_file, monitor, store
from bzzz_core.fabric.broker import BrokerConfig, Endpoint, render
from bzzz_core.fabric.broker_log import last_words, log_of, try_log
from bzzz_core.fabric.companion import companion
from bzzz_core.fabric.watch import Verdict, Watch
from bzzz_core.fabric.witness import found
from bzzz_core.model import NodeId
from bzzz_core.ports import Clock
from bzzz_core.telemetry import logs

LEAVE_MS_MAX: Final = 40_000
_DELAY_MS_MIN: Final = 200
_DELAY_MS_MAX: Final = 5_000
_STEADY_MS: Final = 30_000
_POLL_MS: Final = 50
_LOOK_MS: Final = 2_000  # The watch's shortest patience is 5 s.
_TAKEN_MS_MAX: Final = 3_000
"""A reload takes milliseconds; a broker that answers for this long without one has refused it."""
_ANSWER_MS_MAX: Final = 5_000
"""How long a reload waits for a broker that says nothing: it starts, or is paused."""


class BrokerServer:
    """One supervised nats-server."""

    def __init__(self, config: AgentConfig, *, clock: Clock) -> None:
        """Take the voter's configuration; nothing is touched until `run_supervised`."""
        self._config = config
        self._directory = Path(config.resources.paths.data) / "broker"
        self._clock = clock
        self._log = logs.get("broker")
        self._binary: Path | None = None
        self._broker: BrokerConfig | None = None
        self._process: Process | None = None
        self._company: Endpoint | None = None
        """Where the companion takes routes, while there is one."""
        self._writing = asyncio.Lock()
        self._leaving = False
        self._watch = Watch()
        self.starts = 0
        """How often a broker process was started."""
        self.problem = ""
        """What is in the broker's way and may pass; empty if nothing is."""

    @property
    def pid(self) -> int | None:
        """Return the process id of the running broker."""
        alive = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process and alive else None

    @property
    def server_name(self) -> str | None:
        """Return the broker's name in the cluster, known once it was prepared."""
        return self._broker.server_name if self._broker else None

    @property
    def store_bytes_max(self) -> int | None:
        """Return how much the broker may write, known once it was prepared."""
        return self._broker.store_bytes_max if self._broker else None

    async def run_supervised(self) -> None:
        """Keep the broker running until it has left or this is cancelled.

        Raises:
            BrokerError: The program is missing or too old, refuses its configuration, or its store
                must not be used this way, or is in use.
            ConfigError: The configuration asks for no possible broker.
        """
        delay_ms = _DELAY_MS_MIN
        with ExitStack() as stack:
            await self._patiently(partial(self._hold, stack), TrustError, OSError)
            await self._patiently(self._prepare, BrokerHindered, OSError)
            while True:
                started_ms = self._clock.now_ms()
                status = 0 if self._leaving else await self._live()
                if self._leaving:
                    await self._patiently(self._set_aside, OSError)
                    self._log.info("broker left", name=self.server_name)
                    return
                lived_ms = self._clock.now_ms() - started_ms
                delay_ms = _DELAY_MS_MIN if lived_ms >= _STEADY_MS else delay_ms
                self._log.warning(
                    "broker ended", status=status, lived_ms=lived_ms, retry_ms=delay_ms
                )
                if status is not None and status > 0 and lived_ms < _DELAY_MS_MAX:
                    self._hindered(
                        f"nats-server ends as soon as it is started, with status {status}; the"
                        f" supervisor's own output says why, or {log_of(self._config)}"
                    )
                await self._clock.sleep_ms(delay_ms)
                delay_ms = min(2 * delay_ms, _DELAY_MS_MAX)
                if self._watch.verdict is Verdict.REMOVED:
                    self._log.warning("no longer a peer; starting fresh")
                    await self._patiently(self._set_aside, OSError)
                # What was good once is only hindered now, whatever it says.
                await self._patiently(self._prepare, BzzzError, OSError)

    async def wait_ready(self, timeout_ms: int) -> None:
        """Return once the broker serves and knows the leader of the cluster's metadata.

        Raises:
            BrokerError: That did not happen in time; the message ends with the broker's last words.
        """
        deadline_ms = self._clock.now_ms() + timeout_ms
        while self._clock.now_ms() < deadline_ms:
            health = await self.health()
            if health is not None and health.ready and self._company is None:
                return
            await self._clock.sleep_ms(_POLL_MS)
        raise BrokerError(
            f"the broker is not ready after {timeout_ms} ms\n{last_words(log_of(self._config))}"
        )

    async def health(self) -> monitor.BrokerHealth | None:
        """Return what the broker says about itself, or None if it does not answer."""
        if self._broker is None or self.pid is None:
            return None  # Whoever answers on that port is not ours.
        try:
            return await monitor.ask_health(self._broker.monitor)
        except TransportError:
            return None

    async def reload(self, nodes: tuple[NodeEntry, ...]) -> None:
        """Let the running broker take who belongs to the cluster now, and its certificates anew.

        Connections of users that are gone are closed, all others stay. Returns once the broker says
        that it has taken them, or was ended to be started with them.

        Raises:
            BrokerError: They make no possible configuration; the old one stays in force.
            BrokerHindered: The broker could not be asked whether it took them.
            ConfigError: As `BrokerError`.
            OSError: The configuration cannot be written; the old one stays in force.
        """
        before, self._config = self._config, self._config.with_nodes(nodes)
        if self._binary is None:
            return  # Not even prepared: it will start with these.
        async with self._writing:
            try:
                await self._write()
            except BaseException:
                self._config = before
                raise
            process = self._process
            if process is None or await self._hang_up(process):
                return
        self._hindered("the broker refused to reload, and is started anew")
        await child.end(process)

    async def leave(self) -> None:
        """Send clients to other brokers, end, and set the store aside; `run_supervised` returns.

        The streams are on other brokers by then; whoever leads takes this one off the peers.
        """
        self._leaving = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGUSR2)
        try:
            async with asyncio.timeout(LEAVE_MS_MAX / 1000):
                await process.wait()
        except TimeoutError:
            await child.end(process)

    async def _patiently(
        self, work: Callable[[], Awaitable[None]], *passing: type[Exception]
    ) -> None:
        """Do something, and again as long as what is in the way may pass, as a full disk does."""
        while True:
            try:
                await work()
            except passing as exc:
                self._hindered(f"the broker cannot be started or ended now: {exc}")
                await self._clock.sleep_ms(_DELAY_MS_MAX)
            else:
                return

    async def _hold(self, stack: ExitStack) -> None:
        stack.enter_context(store.held(self._directory))

    async def _set_aside(self) -> None:
        kept = store.set_aside(self._directory)
        self._log.info("the broker's store was set aside", kept=str(kept))

    def _hindered(self, problem: str) -> None:
        """Tell what is in the way, once."""
        if problem != self.problem:
            self._log.warning("the broker is hindered", problem=problem)
        self.problem = problem

    async def _prepare(self) -> None:
        """Check all that can be checked before a start; found a cluster of one where it is due."""
        if self._leaving:
            return  # There will be no start.
        if self._binary is None:
            program = binary.find_binary()
            version = await binary.check_version(program)
            self._log.info("broker found", path=str(program), version=version)
            self._binary = program
        try_log(log_of(self._config))
        async with self._writing:
            broker = await self._write()
        if store.claim(self._directory, alone=not broker.seeds):
            self._log.info("founding a cluster of one", name=broker.server_name)
            await found(self._binary, broker, clock=self._clock)
            store.founded(self._directory)

    async def _write(self) -> BrokerConfig:
        """Let nats-server check the present configuration, then put it where the broker reads."""
        assert self._binary is not None, "_prepare comes first"
        directory = self._directory
        name = store.server_name(directory, NodeId(self._config.me.id))
        broker = BrokerConfig.from_agent_config(self._config, server_name=name)
        # A running broker keeps its limit: JetStream takes no other by reloading.
        kept = self._broker if self.pid and self._broker else None
        limit = (
            kept.store_bytes_max
            if kept
            else store.bytes_available(directory, broker.store_bytes_max)
        )
        if limit < broker.store_bytes_max and not kept:
            self._log.warning("the disk is smaller than the broker's limit", store_bytes_max=limit)
        broker = replace(broker, store_bytes_max=limit)
        routed = broker.seeds + ((self._company,) if self._company else ())
        text = render(replace(broker, seeds=routed))
        await config_file.put(self._binary, self._conf, text.encode())
        self._broker = broker
        return broker

    async def _live(self) -> int | None:
        """Run one broker to its end; return its status, None if it could not be run."""
        try:
            return await self._run_once()
        except (BzzzError, OSError) as exc:
            self._hindered(f"the broker could not be run: {exc}")
            return None

    async def _run_once(self) -> int:
        assert self._binary is not None, "_prepare comes first"
        assert self._broker is not None, "_prepare comes first"
        async with AsyncExitStack() as beside:
            if self._needs_companion(self._broker):
                self._company = await beside.enter_async_context(
                    companion(self._binary, self._broker, clock=self._clock)
                )
                async with self._writing:
                    await self._write()
            async with self._writing:  # A reload meanwhile would not know whom to tell.
                process = await child.start(self._binary, self._conf)
                self._process = process
            self.starts += 1
            self._watch = self._watch.successor()
            self._log.info("broker started", pid=process.pid, name=self.server_name)
            try:
                if self._leaving:
                    return 0  # It was asked to leave while it started; it has nothing to hand over.
                async with asyncio.TaskGroup() as group:
                    looking = group.create_task(self._look_after(process, beside))
                    status = await process.wait()
                    looking.cancel()
            finally:
                await child.end(process)
                self._company = None
        return status

    def _needs_companion(self, broker: BrokerConfig) -> bool:
        """Return whether this broker is the only one that its cluster counts, as far as known."""
        return not broker.seeds or store.size_seen(self._directory) == 1

    async def _look_after(self, process: Process, beside: AsyncExitStack) -> None:
        while True:
            try:
                done = await self._look(process, beside)
            except (BzzzError, OSError) as exc:
                done = False
                self._hindered(f"the broker's supervisor could not do its part: {exc}")
            if done:
                return
            await self._clock.sleep_ms(_LOOK_MS if self._watch.was_ready else _POLL_MS)

    async def _look(self, process: Process, beside: AsyncExitStack) -> bool:
        """Look once and do what is due; return whether that was to end the broker."""
        health = await self.health()
        verdict = self._watch.look(
            health,
            now_ms=self._clock.now_ms(),
            was_peer=store.size_seen(self._directory) > 0,
        )
        if verdict is not Verdict.WELL:
            self._log.warning(
                "broker is not well", verdict=str(verdict), reason=health and health.problem
            )
            await child.end(process)
            return True
        if health is not None and health.ready:
            if self._company is not None:
                await self._part(process, beside)
            store.remember_size(self._directory, health.size)
            self.problem = ""
        return False

    async def _part(self, process: Process, beside: AsyncExitStack) -> None:
        """End the companion: the broker leads alone now and needs no route."""
        async with self._writing:
            company, self._company = self._company, None
            try:
                await self._write()
            except BaseException:
                self._company = company
                raise
            try:
                if not await self._hang_up(process):
                    self._log.warning("the broker keeps a route to a companion that has ended")
            finally:
                await beside.aclose()

    async def _hang_up(self, process: Process) -> bool:
        """Let a broker read its configuration; return False if it refuses it.

        One that ends meanwhile has not refused: the next start reads the same file.

        Raises:
            BrokerHindered: It does not say.
        """
        begun_ms = self._clock.now_ms()
        before = await self._load_time()
        while before is None and self._clock.now_ms() - begun_ms < _ANSWER_MS_MAX:
            if process.returncode is not None:
                return True
            await self._clock.sleep_ms(_POLL_MS)
            before = await self._load_time()
        if process.returncode is not None:
            return True
        process.send_signal(signal.SIGHUP)
        told_ms, now = self._clock.now_ms(), before
        while self._clock.now_ms() - told_ms < _TAKEN_MS_MAX:
            now = await self._load_time()
            if process.returncode is not None or (before and now not in (None, before)):
                return True
            await self._clock.sleep_ms(_POLL_MS)
        if before is None or now is None:
            raise BrokerHindered("the broker does not say whether it took a change")
        return False

    async def _load_time(self) -> str | None:
        assert self._broker is not None, "a broker that runs was prepared"
        try:
            return await monitor.ask_load_time(self._broker.monitor)
        except TransportError:
            return None

    @property
    def _conf(self) -> Path:
        return self._directory / "nats.conf"
