"""The demo without a screen: start, wait, report, end."""

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
from bzzz_core.errors import BzzzError, plainly

_INTERRUPTED: Final = 130


def run_headless(
    *, agents: int, seconds: float | None, state_dir: Path | None, as_json: bool
) -> int:
    """Run a local cluster for `seconds`, or until a signal, and return the exit code."""
    try:
        return asyncio.run(_run(agents, seconds, state_dir, as_json=as_json))
    except BzzzError as exc:
        print(f"bzzz-tui demo: {exc}", file=sys.stderr)  # noqa: T201  this is the command's output
        return exc.exit_code
    except KeyboardInterrupt:
        return _INTERRUPTED


async def _run(agents: int, seconds: float | None, state_dir: Path | None, *, as_json: bool) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)

    def say(line: str) -> None:
        if not as_json:
            print(line, flush=True)  # noqa: T201

    async with DemoCluster(agents=agents, state_dir=state_dir, clock=SystemClock()) as cluster:
        say(f"starting {agents} agents, each with its own broker where it votes")
        status = await _unless(stop, cluster.elected())
        if status is None:
            return _INTERRUPTED
        say(f"{status.leader} leads term {status.term}, {cluster.elected_after_ms} ms after start")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()
        statuses = await cluster.statuses()
        report = _report(statuses, agents=agents, elected_after_ms=cluster.elected_after_ms)
        if as_json:
            print(msgspec.json.encode(report).decode(), flush=True)  # noqa: T201
        say(f"{report['leader']} led term {report['term']} at the end; stopping")
    return 0


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


def _report(statuses: list[Status], *, agents: int, elected_after_ms: int | None) -> dict[str, Any]:
    newest = max(statuses, key=lambda status: status.term, default=None)
    return {
        "agents": agents,
        "leader": newest.leader if newest else None,
        "term": newest.term if newest else 0,
        "members": [{"name": m.name, "state": m.state} for m in newest.members] if newest else [],
        "elected_after_ms": elected_after_ms,
    }
