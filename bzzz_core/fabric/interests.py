"""Interest in subjects as callers see it, whatever connection carries it at the moment.

A connection ends, interest does not: when the fabric attaches anew, all interest moves to the new
connection before anything else uses it. One lock is held while it moves, so that none is made on a
connection that is about to be left.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from nats.aio.subscription import Subscription as NatsSubscription

from bzzz_core.errors import PermissionDenied, RequestTimeout, TransportError
from bzzz_core.fabric.link import BrokerLink
from bzzz_core.ports import Message
from bzzz_core.telemetry import logs


@dataclass(eq=False, slots=True)
class Interest:
    """A live interest in a subject."""

    owner: Interests
    subject: str
    handler: Callable[[Message], None]
    stored: bool
    """Whether writes to streams are heard as well."""
    carried_by: BrokerLink | None = None
    carrier: NatsSubscription | None = None
    ended: bool = False

    def hear(self, message: Message) -> None:
        """Pass a message on; one that comes while a stopped interest is still carried is not."""
        if not self.ended:
            self.handler(message)

    async def stop(self) -> None:
        """End it; no handler call starts afterwards."""
        await self.owner.remove(self)


class Interests:
    """All interest of one node."""

    def __init__(self, counters: Counter[str]) -> None:
        """Start with none, on no connection."""
        self._counters = counters
        self._log = logs.get("fabric")
        self._all: list[Interest] = []
        self._link: BrokerLink | None = None
        self._moving = asyncio.Lock()

    async def add(
        self, subject: str, handler: Callable[[Message], None], *, stored: bool = False
    ) -> Interest:
        """Make an interest; without a connection it is only noted.

        Raises:
            PermissionDenied: The broker refuses the subject.
        """
        interest = Interest(self, subject, handler, stored)
        async with self._moving:
            self._all.append(interest)
            if self._link is not None:
                try:
                    await self._carry(interest, self._link)
                except TransportError:
                    self._counters["connection_errors"] += 1  # The next connection carries it.
                except BaseException:
                    self._all.remove(interest)  # Refused or called off: nobody will hold it.
                    raise
        return interest

    async def remove(self, interest: Interest) -> None:
        """End an interest.

        It does not wait for the lock, which a broker that does not answer may hold for seconds:
        whoever is just carrying this interest looks afterwards whether it ended meanwhile.
        """
        interest.ended = True
        if interest in self._all:
            self._all.remove(interest)
        await self._drop(interest)

    async def move_to(self, link: BrokerLink) -> None:
        """Carry everything on `link` from now on."""
        async with self._moving:
            for interest in list(self._all):
                await self._drop(interest)
                await self._try_to_carry(interest, link)
            self._link = link

    def detach(self) -> None:
        """Forget the connection; it is over."""
        self._link = None

    async def carry_rest(self) -> None:
        """Try again what failed; a broker that is told of new rights has no other sign of it."""
        async with self._moving:
            for interest in list(self._all):
                link = self._link
                if interest.carrier is None and link is not None and not link.closed.is_set():
                    await self._try_to_carry(interest, link)

    async def _carry(self, interest: Interest, link: BrokerLink) -> None:
        if interest.ended:
            return
        carrier = await link.subscribe(interest.subject, interest.hear, stored=interest.stored)
        interest.carried_by, interest.carrier = link, carrier
        if interest.ended:
            await self._drop(interest)

    async def _try_to_carry(self, interest: Interest, link: BrokerLink) -> None:
        try:
            await self._carry(interest, link)
        except (PermissionDenied, TransportError) as exc:
            if isinstance(exc, RequestTimeout):
                link.give_up()  # Silent: each of the others would wait as long, one by one.
            self._counters["interest_not_carried"] += 1
            self._log.info("interest not carried", subject=interest.subject, reason=str(exc))

    async def _drop(self, interest: Interest) -> None:
        link, carrier = interest.carried_by, interest.carrier
        interest.carried_by = interest.carrier = None
        if link is not None and carrier is not None:
            await link.unsubscribe(carrier)
