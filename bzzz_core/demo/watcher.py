"""Asks every node of a demo what it believes, and tells what became different."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bzzz_core.api.documents import Status
from bzzz_core.demo.cluster import DemoCluster
from bzzz_core.ports import Clock

_POLL_MS: Final = 250


def newest(statuses: Sequence[Status]) -> Status | None:
    """Return what knows the newest term; of several, one that names a serving leader."""
    return max(
        statuses,
        key=lambda status: (status.term, status.leader is not None and status.leader_serving),
        default=None,
    )


class Watcher:
    """Looks four times a second; what it tells is what the node with the newest term believes."""

    def __init__(self, cluster: DemoCluster, *, clock: Clock, tell: Callable[[str], None]) -> None:
        """Take a running cluster and what is called with each change, in words."""
        self._cluster = cluster
        self._clock = clock
        self._tell = tell
        self.view: Status | None = None
        """What was believed at the last look."""
        self._leaders: Mapping[str, str | None] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self._take(await self._cluster.statuses())
            await self._clock.sleep_ms(_POLL_MS)

    def _take(self, statuses: Sequence[Status]) -> None:
        view = newest(statuses)
        if view is None:
            return
        before, self.view = self.view, view
        leaders = {status.node: status.leader for status in statuses}
        if before is not None:
            for line in changes(before, view):
                self._tell(line)
            for node, leader in leaders.items():
                if leader is None and self._leaders.get(node, leader) is not None:
                    self._tell(f"{node} knows no leader any more")
        self._leaders = leaders


def changes(before: Status, now: Status) -> list[str]:
    """Return in words how one view differs from the last."""
    lines = []
    if (before.leader, before.term) != (now.leader, now.term):
        lines.append(f"{now.leader or 'nobody'} leads in term {now.term}")
    was = {member.name: member.state for member in before.members}
    lines += [
        f"{member.name} is {member.state}"
        for member in now.members
        if was.get(member.name) is not member.state
    ]
    return lines
