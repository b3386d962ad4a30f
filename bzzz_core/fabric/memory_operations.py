"""How an operation on something stored fares in the fabric of one process.

It takes the hub's latency and fails at its rate: a read with `QuorumUnavailable`, a write with
`RequestTimeout`, which in half of the cases has happened all the same. A node that is not attached
reaches nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from bzzz_core.errors import QuorumUnavailable, RequestTimeout
from bzzz_core.fabric.memory import MemoryFabric, MemoryHub

Result = TypeVar("Result")
_LOST_ON_THE_WAY: Final = 0.5


class Operations:
    """How operations of one node on one store fare."""

    def __init__(self, hub: MemoryHub, fabric: MemoryFabric) -> None:
        """Let a node operate."""
        self.hub = hub
        self.fabric = fabric

    async def read(self, what: str, subject: str, look: Callable[[], Result]) -> Result:
        """Return what `look` finds, or fail."""
        await self._travel(what, subject)
        if self.hub.draw_failure():
            raise QuorumUnavailable(f"{what}: failure drawn")
        return look()

    async def write(self, what: str, subject: str, change: Callable[[], Result]) -> Result:
        """Return what `change` returns, or fail before or after it."""
        await self._travel(what, subject)
        fails = self.hub.draw_failure()
        if fails and self.hub.random.random() < _LOST_ON_THE_WAY:
            raise RequestTimeout(f"{what}: lost on its way to the store")
        result = change()
        if fails:
            raise RequestTimeout(f"{what}: the answer was lost")
        return result

    async def _travel(self, what: str, subject: str) -> None:
        self.fabric.check_publish(subject)
        latency_ms = self.hub.draw_latency_ms()
        if latency_ms:
            await self.hub.clock.sleep_ms(latency_ms)
        if not self.fabric.attached:
            raise QuorumUnavailable(f"{what}: {self.fabric.node} is not attached")
