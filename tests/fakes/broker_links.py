"""Links to brokers that stand in groups: what goes in at one comes out at those routed to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from bzzz_core.errors import BrokerRefused, TransportError
from bzzz_core.fabric.link import BrokerAddress, BrokerLink
from bzzz_core.model import NodeId


class FakeLink:
    """A link that only carries probes; closing it takes a turn of the loop."""

    def __init__(self, brokers: FakeBrokers, name: str) -> None:
        """Take the brokers, and to which of them it leads."""
        self._brokers = brokers
        self.name = name
        self.closed = False

    async def subscribe(self, subject: str, handler: Callable[[object], None]) -> str:
        """Hear what is sent below a subject."""
        self._brokers.interest[subject] = (self.name, handler)
        return subject

    async def unsubscribe(self, carrier: str) -> None:
        """Hear it no more."""
        del self._brokers.interest[carrier]

    async def publish(self, subject: str, data: bytes) -> None:
        """Send, as far as routes reach."""
        name, handler = self._brokers.interest[subject]
        if self._brokers.group[self.name] == self._brokers.group[name]:
            handler(data)

    async def close(self) -> None:
        """Be over, also if whoever closes is cancelled."""
        try:
            await asyncio.sleep(0)
        finally:
            self.closed = True


class FakeBrokers:
    """Brokers by name, with the group of each; the silent ones take nobody and say nothing."""

    def __init__(
        self, group: dict[str, int], *, refusing: str = "", revoking: str = "", silent: str = ""
    ) -> None:
        """Take the groups, and the names (a letter each) of those that take nobody."""
        self.group = group
        self.interest: dict[str, tuple[str, Callable[[object], None]]] = {}
        self.opened: list[FakeLink] = []
        self._refusing, self._revoking, self._silent = refusing, revoking, silent

    def addresses(self, names: str) -> list[BrokerAddress]:
        """Return the addresses of brokers."""
        return [BrokerAddress(NodeId(name * 26), name, 4222) for name in names]

    def link(self, name: str) -> BrokerLink:
        """Return a link that is there."""
        found = FakeLink(self, name)
        self.opened.append(found)
        return cast("BrokerLink", found)

    async def open_link(self, broker: BrokerAddress) -> BrokerLink:
        """Return a new link."""
        if broker.host in self._silent:
            await asyncio.Event().wait()
        if broker.host in self._revoking:
            raise BrokerRefused(f"{broker.host} does not know this node")
        if broker.host in self._refusing:
            raise TransportError(f"{broker.host} takes nobody")
        return self.link(broker.host)
