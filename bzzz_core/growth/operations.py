"""What the local API offers of the fabric: what it is like, and removal of a dead broker."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bzzz_core.api.operations import Call, Operation
from bzzz_core.config.schema import AgentConfig
from bzzz_core.fabric.maintenance import remove_dead_peer
from bzzz_core.fabric.report import FabricReport, report
from bzzz_core.growth.steward import Steward
from bzzz_core.ports import Clock


class FabricDocument(msgspec.Struct, frozen=True):
    """Answer to GET /v1/fabric."""

    fabric: FabricReport
    growth: str
    """What this node's steward does or waits for."""
    steps: dict[str, int]
    """How often it took which step since the agent started."""


def operations(
    *, config: Callable[[], AgentConfig], steward: Steward, clock: Clock
) -> list[Operation]:
    """Return the operations to mount."""

    async def show(_: Call) -> FabricDocument:
        found = await report(config(), clock=clock)
        return FabricDocument(found, steward.doing, dict(steward.counters))

    async def remove(call: Call) -> None:
        await remove_dead_peer(config(), call.params["peer"], clock=clock)

    return [
        Operation(
            "GET",
            "/v1/fabric",
            show,
            "fabric:read",
            "What the fabric is like, and what the steward does about it",
            answers=FabricDocument,
        ),
        Operation(
            "POST",
            "/v1/fabric/peers/{peer}/remove",
            remove,
            "fabric:write",
            "Take a dead broker off the fabric's metadata, for good",
        ),
    ]
