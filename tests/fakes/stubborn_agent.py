"""The real agent with a fault, for tests of its end.

Run as `python -m tests.fakes.stubborn_agent KIND FILE`, where `bzzz-agent run --config FILE` would
be. KIND is `task` (a component swallows its cancellation), `thread` (one waits for a thread that
never returns, as one does that reads from a dead disk), or `sick` (a check fails for which the
agent ends itself, after a second instead of a minute).
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from bzzz_core import agent
from bzzz_core.errors import BzzzError
from bzzz_core.health.check import Check, Finding, critical
from bzzz_core.shared_config.node_sources import NodeSources


async def ignore_the_end() -> None:
    """Go on whatever happens."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


async def hang_in_a_thread() -> None:
    """Keep a thread of the event loop's executor for ever."""
    await asyncio.to_thread(threading.Event().wait)


async def look_sick() -> Finding:
    """Find what only a new start mends."""
    return critical("nothing works")


KINDS = {"task": ignore_the_end, "thread": hang_in_a_thread}


class StubbornAgent(agent.Agent):
    """An agent with one fault."""

    kind = "task"

    def _services(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        if self.kind == "sick":
            check = Check(
                name="test", look=look_sick, interval_ms=300, timeout_ms=300, critical=True
            )
            checks = self._observing.health.checks
            checks.add(check)
            checks._kept["test"].patience_ms = 1_000
            return super()._services()
        return [*super()._services(), ("stubborn", KINDS[self.kind]())]


def main() -> None:
    """Run it as the production agent is run."""
    StubbornAgent.kind = sys.argv[1]
    try:
        agent.run(NodeSources.at(Path(sys.argv[2])), kind=StubbornAgent)
    except BzzzError as exc:
        sys.exit(exc.exit_code)


if __name__ == "__main__":
    main()
