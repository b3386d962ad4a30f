"""Links to brokers that stand in groups: what goes in at one comes out at those routed to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import cast

from bzzz_core.errors import BrokerRefused, TransportError
from bzzz_core.fabric.credentials import Credentials
from bzzz_core.fabric.link import BrokerAddress, BrokerLink
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.model import NodeId
from bzzz_core.trust.secrets_directory import SecretsDirectory
from tests.fakes.virtual_time import VirtualClock


class FakeLink:
    """A link that only carries probes; closing it takes a turn of the loop."""

    busy = False
    rtt_ms = None

    def __init__(self, brokers: FakeBrokers, name: str) -> None:
        """Take the brokers, and to which of them it leads."""
        self._brokers = brokers
        self.name = self.server_name = name
        self.broker = brokers.addresses(name)[0]
        self.closed = asyncio.Event()
        self.traffic: dict[str, int] = {}

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

    async def answers(self, timeout_ms: int) -> bool:
        """Return that the broker still works for us: one that does not has ended the link."""
        del timeout_ms
        return True

    async def close(self) -> None:
        """Be over, also if whoever closes is cancelled."""
        try:
            await asyncio.sleep(0)
        finally:
            self.closed.set()


class FakeBrokers:
    """Brokers by name, with the group of each; the silent ones take nobody and say nothing."""

    def __init__(
        self, group: dict[str, int], *, refusing: str = "", revoking: str = "", silent: str = ""
    ) -> None:
        """Take the groups, and the names (a letter each) of those that take nobody."""
        self.group = group
        self.interest: dict[str, tuple[str, Callable[[object], None]]] = {}
        self.opened: list[FakeLink] = []
        self.tries = 0
        """How often somebody has tried to open a link."""
        self.refusing, self.revoking, self._silent = refusing, revoking, silent

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
        self.tries += 1
        if broker.host in self._silent:
            await asyncio.Event().wait()
        if broker.host in self.revoking:
            raise BrokerRefused(f"{broker.host} does not know this node")
        if broker.host in self.refusing:
            raise TransportError(f"{broker.host} takes nobody")
        return self.link(broker.host)

    def kill(self, name: str) -> None:
        """Let a broker end its links and take nobody any more."""
        self.refusing += name
        for link in self.opened:
            if link.name == name:
                link.closed.set()


class NoCredentials(Credentials):
    """Certificates that nobody asks for."""

    def load(self) -> None:
        """Read nothing."""

    def reload(self) -> bool:
        """Return that they are the same."""
        return False


class FakedFabric(NatsFabric):
    """A node's fabric in virtual time, on fake brokers of which one may be its own."""

    def __init__(self, brokers: FakeBrokers, name: str) -> None:
        """Take the brokers and the node's name, a letter too."""
        secrets = SecretsDirectory(Path("none"))
        super().__init__(
            node=NodeId(name * 26),
            brokers=brokers.addresses("".join(brokers.group)),
            secrets=secrets,
            clock=VirtualClock(),
        )
        self._credentials = NoCredentials(secrets, self.counters)
        self._fakes = brokers

    async def _open(self, broker: BrokerAddress) -> BrokerLink:
        return await self._fakes.open_link(broker)
