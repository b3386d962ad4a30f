"""Which brokers belong together, seen from a node that is a client of one and may be of others.

A broker takes clients whether or not the others route to it: it has just been started, its routes
are cut, or they have shut it out, because its node votes no more and has not heard of that yet. Its
clients notice nothing but silence, and whatever could tell them comes by way of the others. So a
node sends itself a message, in at one broker and out at the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from bzzz_core.errors import PermissionDenied, TransportError
from bzzz_core.fabric.layout import inbox_prefix
from bzzz_core.fabric.link import BrokerAddress, BrokerLink
from bzzz_core.model import NodeId

PROBE_MS_MAX: Final = 500
"""Brokers that take longer are not well, and the loss of the present one must not be missed."""
_WAY_OUT_MS_MAX: Final = 2_000
"""Those that take us do so in milliseconds; one that is gone takes this long to be given up."""
_AGAIN_MS: Final = 100
"""Interest takes a moment to reach the other brokers; what is sent before that arrives nowhere."""

Open = Callable[[BrokerAddress], Awaitable[BrokerLink]]
"""Returns a link to a broker; raises `TransportError` if it does not take us."""


async def way_home(
    link: BrokerLink, *, home: BrokerAddress, node: NodeId, open_link: Open
) -> BrokerLink | None:
    """Return a link to our own broker if it is back and routed to the one that we use now."""
    try:
        async with asyncio.timeout(PROBE_MS_MAX / 1000):
            found = await open_link(home)
    except (TransportError, TimeoutError):
        return None
    routed = False
    try:
        routed = await is_routed(node, found, link)
    finally:
        if not routed:
            await found.close()
    return found if routed else None


async def way_out(
    link: BrokerLink, others: Sequence[BrokerAddress], *, voters: int, node: NodeId, open_link: Open
) -> BrokerLink | None:
    """Return a link to another broker, if ours does not belong to the cluster any more.

    That is if more than half of all `voters`' brokers are apart from ours and routed to each other:
    two that were shut out at once are still routed to one another. There is at most one such side,
    and whoever is on it stays, so nobody goes to and fro; of two equal halves nobody leaves. Where
    there is none, ours is left for the first that takes us if it is routed to no other. The broker
    of this node itself counts for a majority only: it always takes us, and may be alone as well.

    All are tried at once: nobody watches our present broker meanwhile.
    """
    opened: dict[BrokerAddress, BrokerLink] = {}
    routed: dict[BrokerAddress, bool] = {}

    async def probe(broker: BrokerAddress) -> None:
        with contextlib.suppress(TransportError):
            opened[broker] = await open_link(broker)
            routed[broker] = await is_routed(node, link, opened[broker])

    chosen: BrokerLink | None = None
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WAY_OUT_MS_MAX / 1000), asyncio.TaskGroup() as probes:
                for broker in others:
                    probes.create_task(probe(broker))
        apart = [broker for broker in others if routed.get(broker) is False]
        better = await _of_majority({one: opened[one] for one in apart}, voters, node)
        if better is None and not any(routed[one] for one in routed if one.node != node):
            better = next((one for one in apart if one.node != node), None)
        if better is not None:
            chosen = opened.pop(better)
    finally:
        try:
            await asyncio.gather(*(other.close() for other in opened.values()))
        except BaseException:
            if chosen is not None:
                await chosen.close()
            raise
    return chosen


async def _of_majority(
    links: Mapping[BrokerAddress, BrokerLink], voters: int, node: NodeId
) -> BrokerAddress | None:
    """Return the first of some brokers that is with more than half of all, itself included."""
    candidates = list(links)
    while 2 * len(candidates) > voters:
        first, *rest = candidates
        async with asyncio.TaskGroup() as group:
            probes = [
                group.create_task(is_routed(node, links[first], links[other])) for other in rest
            ]
        with_first = [probe.result() for probe in probes]
        if 2 * (1 + sum(with_first)) > voters:
            return first
        candidates = [one for one, joined in zip(rest, with_first, strict=True) if not joined]
    return None


async def is_routed(node: NodeId, link: BrokerLink, other: BrokerLink) -> bool:
    """Return whether what is sent through one link arrives by the other, within `PROBE_MS_MAX`."""
    arrived = asyncio.Event()
    subject = f"{inbox_prefix(node)}.probe.{secrets.token_hex(8)}"
    try:
        carrier = await other.subscribe(subject, lambda _: arrived.set())
        try:
            async with asyncio.timeout(PROBE_MS_MAX / 1000):
                while not arrived.is_set():
                    await link.publish(subject, b"")
                    await _waited(arrived)
        finally:
            await other.unsubscribe(carrier)
    except (TimeoutError, TransportError, PermissionDenied):
        return False
    return True


async def _waited(arrived: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_AGAIN_MS / 1000):
            await arrived.wait()
    except TimeoutError:
        return
