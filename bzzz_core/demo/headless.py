"""The demo without a screen: start, do what the script says, tell what is seen, end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

import msgspec

from bzzz_core.api.documents import Status
from bzzz_core.clock import SystemClock
from bzzz_core.demo.cluster import DemoCluster
from bzzz_core.demo.damage import Damage
from bzzz_core.demo.faults import Step
from bzzz_core.demo.watcher import Watcher, newest
from bzzz_core.errors import BzzzError, ConfigError, plainly
from bzzz_core.ports import Clock

_INTERRUPTED: Final = 130


def run_headless(
    *,
    agents: int,
    seconds: float | None,
    state_dir: Path | None,
    as_json: bool,
    steps: tuple[Step, ...] = (),
) -> int:
    """Run a local cluster for `seconds`, or until a signal, and return the exit code."""
    run = _Run(agents=agents, state_dir=state_dir, as_json=as_json, steps=steps)
    try:
        return asyncio.run(run.run(seconds))
    except BzzzError as exc:
        print(f"bzzz-tui demo: {exc}", file=sys.stderr)  # noqa: T201  this is the command's output
        return exc.exit_code
    except KeyboardInterrupt:
        return _INTERRUPTED


class _Run:
    """One demo from start to end."""

    def __init__(
        self, *, agents: int, state_dir: Path | None, as_json: bool, steps: tuple[Step, ...]
    ) -> None:
        self._agents = agents
        self._state_dir = state_dir
        self._as_json = as_json
        self._steps = steps
        self._clock: Clock = SystemClock()
        self._served_ms = 0
        self._told: list[dict[str, Any]] = []

    async def run(self, seconds: float | None) -> int:
        """Run until `seconds` have passed since a leader served, or a signal comes."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, stop.set)
        async with DemoCluster(
            agents=self._agents, state_dir=self._state_dir, clock=self._clock, doors=True
        ) as cluster:
            self._say(f"starting {self._agents} agents, each with its own broker where it votes")
            status = await _unless(stop, cluster.elected())
            if status is None:
                return _INTERRUPTED
            self._served_ms = self._clock.now_ms()
            self._say(
                f"{status.leader} leads term {status.term},"
                f" {cluster.elected_after_ms} ms after start"
            )
            await self._live(cluster, stop, seconds)
            await self._report(cluster)
        return 0

    async def _live(self, cluster: DemoCluster, stop: asyncio.Event, seconds: float | None) -> None:
        damage = Damage(cluster)
        with plainly(), contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                busy = []
                if self._steps:
                    watcher = Watcher(cluster, clock=self._clock, tell=self._seen)
                    busy = [
                        group.create_task(watcher.run()),
                        group.create_task(self._play(damage, watcher)),
                    ]
                await stop.wait()
                for task in busy:
                    task.cancel()

    async def _play(self, damage: Damage, watcher: Watcher) -> None:
        for step in self._steps:
            await self._clock.sleep_ms(max(0, step.at_ms - self._since_served_ms()))
            try:
                done = await damage.act(step.act, step.targets, watcher.view)
            except ConfigError as exc:
                self._note("refused", str(exc))
            else:
                self._note("done", f"{done.words}; watch: {done.watch}")

    def _seen(self, words: str) -> None:
        self._note("seen", words)

    def _note(self, kind: str, words: str) -> None:
        at_ms = self._since_served_ms()
        self._told.append({"at_ms": at_ms, "kind": kind, "words": words})
        self._say(f"{at_ms / 1_000:7.1f} s  {kind:7} {words}")

    def _since_served_ms(self) -> int:
        return self._clock.now_ms() - self._served_ms

    def _say(self, line: str) -> None:
        if not self._as_json:
            print(line, flush=True)  # noqa: T201

    async def _report(self, cluster: DemoCluster) -> None:
        last = newest(await cluster.statuses())
        report = {
            "agents": self._agents,
            "leader": last.leader if last else None,
            "term": last.term if last else 0,
            "members": [{"name": m.name, "state": m.state} for m in last.members] if last else [],
            "elected_after_ms": cluster.elected_after_ms,
        }
        if self._steps:
            report["happened"] = self._told
        if self._as_json:
            print(msgspec.json.encode(report).decode(), flush=True)  # noqa: T201
        self._say(f"{report['leader']} led term {report['term']} at the end; stopping")


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, Status]) -> Status | None:
    """Return what `work` returns, or None as soon as `stop` is set."""
    with plainly():
        async with asyncio.TaskGroup() as group:
            working = group.create_task(work)
            stopping = group.create_task(stop.wait())
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            working.cancel()
    return None if working.cancelled() else working.result()
