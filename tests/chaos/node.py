"""The agent of a host with clients inside: the real `Agent`, and a `Workload` that uses its lanes.

Run as `python -m tests.chaos.node --config FILE --history FILE`, where `bzzz-agent run` would be.
Everything but the workload is the production agent: its services, its signals, its files. The
workload is told of leadership as every service of the agent is, and writes through the lanes that
the agent's own services write through.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Final

from bzzz_core.agent import Agent
from bzzz_core.clock import SystemClock
from bzzz_core.fabric.records import control_records
from bzzz_core.foreground import run_until_signal
from bzzz_core.model import NodeId
from bzzz_core.shared_config.node_sources import NodeSources
from bzzz_core.telemetry import logs
from tests.chaos.final_log import KEPT
from tests.chaos.history import HistoryWriter
from tests.chaos.standstill import watch_loop
from tests.chaos.workload import Workload

_LOOK_S: Final = 0.05


class ChaosAgent(Agent):
    """An agent whose leadership is put to use."""

    # The checker reads everything that was ever written, so the stream drops nothing.
    _control_records = staticmethod(partial(control_records, kept=KEPT))

    def __init__(self, sources: NodeSources, *, history: HistoryWriter) -> None:
        """Build the agent and its clients."""
        super().__init__(sources, clock=SystemClock())
        leadership = self._backbone.leadership
        self._workload = Workload(
            node=NodeId(self._config.me.id),
            history=history,
            lane=lambda: leadership.writes,
            records=self._backbone.records,
            token_now=leadership.token,
        )
        leadership.subscribe(self._workload.on_change)

    def _services(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        services = [
            *super()._services(),
            ("chaos", self._workload.run()),
            ("chaos-loop", watch_loop(SystemClock(), time.thread_time_ns, self._workload.late)),
        ]
        if not self._config.me.voter:
            services.append(("chaos-watch", self._watch()))
        return services

    async def _watch(self) -> None:
        """Write down whom an edge follows; it has no election that could tell."""
        known = (0, "")
        while True:
            view = self._backbone.leadership.view()
            if view is not None and view.leader is not None and view.served:
                seen = (int(view.term), str(view.leader))
                if seen != known:
                    known = seen
                    self._workload.followed(*seen, view.sequence, mine=False)
            await asyncio.sleep(_LOOK_S)


def main() -> None:
    """Run until SIGTERM, as `bzzz-agent run` does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--history", type=Path, required=True)
    given = parser.parse_args()
    sources = NodeSources.at(given.config)
    config = sources.start().loaded.config
    logs.set_up(level=config.resources.log_level, node=config.system.node_name)
    with HistoryWriter(given.history) as history:
        run_until_signal(ChaosAgent(sources, history=history).run)


if __name__ == "__main__":
    main()
