"""What breaks the nodes of a demo on purpose, as the monitor's views ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bzzz_core.api.documents import Status
from bzzz_core.demo.faults import Act, Done


class Breaking(Protocol):
    """Breaks nodes of a demo and makes them whole; satisfied by `screens.demo.DemoFeed`."""

    @property
    def ready(self) -> bool:
        """Return whether nodes can be broken: not before all of them named one leader."""
        ...

    async def act(self, act: Act, targets: Sequence[str], view: Status | None) -> Done:
        """Do something to nodes; as `bzzz_core.demo.damage.Damage.act`.

        Raises:
            ConfigError: It cannot be done to them now.
            BrokerError: What connects the nodes has ended.
        """
        ...

    def conditions(self) -> dict[str, str]:
        """Return {node: what is wrong with it} for all that something was done to."""
        ...
