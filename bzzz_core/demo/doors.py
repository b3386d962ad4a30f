"""What stands between the nodes of a demo: forwarders that can fall silent.

Theory of operation
-------------------
Nodes of a demo reach each other's brokers through a *door*: a port that passes connections on to
the broker's own. A node and its own broker speak directly, so a door sees only what would cross a
network. While all nodes are on one *island*, a door copies bytes and asks nothing. When islands are
drawn, each connection is traced to the process that opened it (`locate`), and what crosses from one
island to another is *frozen*: nothing is read or written any more, and nothing is closed. To both
ends that is a cable that was pulled: what they send stays in the kernel's buffers, and only their
own clocks tell them. New connections are accepted, as the kernel would anyway, and then left alone.
On thaw the bytes go on from where they stopped, as TCP would send them again.

A door is open only while somebody listens behind it, so that a caller is refused by the kernel, as
it would be by the broker's own machine: a connection that is accepted and then closed looks like a
broker that ends.

A connection whose opener is not found while islands are drawn is held: silence is the safe side.

Rules: no Textual, no agent, no configuration; this runs in a process of its own (`switching`),
because a screen that paints for 300 ms would delay heartbeats that are due every 200 ms.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, cast

import msgspec

HELD_BYTES_MAX: Final = 65_536
"""Kept of what a held connection says; a TLS greeting is far below. More waits in the kernel."""
PAIRS_MAX: Final = 4_096
"""Connections through all doors; further ones are closed at once."""
_BUFFER_BYTES: Final = 262_144
_LOOK_S: Final = 0.03
"""How often a door without anybody behind it is tried."""
_LOCATE_TRIES: Final = 4
_LOCATE_AGAIN_S: Final = 0.05

Locate = Callable[[frozenset[int]], Awaitable[Mapping[int, str]]]
"""Takes the doors' ports, returns {port that a connection comes from: node that opened it}."""


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """One forwarder: who stands behind it, where others knock, where that leads."""

    node: str
    port: int
    leads_to: int


@dataclass(slots=True)
class _Way:
    """What keeps one direction from being read."""

    frozen: bool = False
    full: bool = False


class _Side(asyncio.Protocol):
    """One end of a pair; what it hears, the other end says."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.way = _Way()
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None
        self.ended = False
        """Whether its peer has said that nothing more will come."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=_BUFFER_BYTES)
        self.pair.made(self)

    def data_received(self, data: bytes) -> None:
        other = self.other
        if other is not None and other.transport is not None:
            other.transport.write(data)
        else:
            self.pair.keep(data)

    def eof_received(self) -> bool:
        self.ended = True
        return self.pair.eof(self)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.stop(full=True)

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.stop(full=False)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.pair.lost()

    def stop(self, *, frozen: bool | None = None, full: bool | None = None) -> None:
        """Say what keeps this side from being read, and read or do not."""
        way = self.way
        way.frozen = way.frozen if frozen is None else frozen
        way.full = way.full if full is None else full
        if self.transport is None or self.transport.is_closing():
            return
        if way.frozen or way.full:
            self.transport.pause_reading()
        elif not self.ended:
            self.transport.resume_reading()


class Pair:
    """One connection through a door: held, flowing, or frozen."""

    def __init__(self, switch: Switch, door: Door) -> None:
        """Wait for the caller's side to be made."""
        self.door = door
        self.source: str | None = None
        """The node that opened it, once that was asked."""
        self.came_from = 0
        """The caller's port."""
        self._switch = switch
        self._near = _Side(self)
        self._far: _Side | None = None
        self._kept = bytearray()
        self._opening = False

    @property
    def near(self) -> asyncio.Protocol:
        """Return the side that whoever knocks speaks to."""
        return self._near

    def made(self, side: _Side) -> None:
        """Take one side's connection in."""
        if side is self._near:
            assert side.transport is not None, "a side is made with its transport"
            self.came_from = side.transport.get_extra_info("peername")[1]
            self._switch.knocked(self)

    def keep(self, data: bytes) -> None:
        """Keep what comes before there is a way on."""
        self._kept += data
        if len(self._kept) >= HELD_BYTES_MAX:
            self._near.stop(full=True)

    def eof(self, side: _Side) -> bool:
        """Pass on that a side has nothing more to say; whoever gives up while held is let go."""
        if side.other is None or side.other.transport is None:
            return False
        if side.other.transport.can_write_eof():
            side.other.transport.write_eof()
        return True

    def lost(self) -> None:
        """Close both sides: one is gone."""
        for side in (self._near, self._far):
            if side is not None and side.transport is not None:
                side.transport.close()
        self._switch.over(self)

    def cut(self) -> None:
        """Close both sides at once, whatever waits to be sent."""
        for side in (self._near, self._far):
            if side is not None and side.transport is not None:
                side.transport.abort()

    def freeze(self) -> None:
        """Read nothing more from either side; nobody is told."""
        if self._far is not None:
            self._near.stop(frozen=True)
            self._far.stop(frozen=True)

    def flow(self) -> None:
        """Go on, or begin."""
        if self._far is not None:
            self._near.stop(frozen=False)
            self._far.stop(frozen=False)
        elif not self._opening:
            self._opening = True
            self._switch.open(self)

    async def reach(self) -> None:
        """Connect to what is behind the door; where nobody listens, the caller learns that."""
        loop = asyncio.get_running_loop()
        far = _Side(self)
        try:
            await loop.create_connection(lambda: far, "127.0.0.1", self.door.leads_to)
        except OSError:
            self._switch.deserted(self.door)
            self.cut()
            return
        near = self._near
        if near.transport is None or near.transport.is_closing():
            self._far = far
            self.lost()
            return
        assert far.transport is not None, "a connection that was made has a transport"
        self._far, near.other, far.other = far, far, near
        far.transport.write(bytes(self._kept))
        self._kept.clear()
        near.stop(full=False)
        if self._switch.apart(self):
            self.freeze()  # Islands were drawn while it connected.


class Switch:
    """All doors of a demo, and the islands between which they are silent."""

    def __init__(self, doors: tuple[Door, ...], *, locate: Locate) -> None:
        """Take the doors, and how to find out who opened a connection; opens nothing yet."""
        self._deserted = {door: asyncio.Event() for door in doors}
        self._ports = frozenset(door.port for door in doors)
        self._locate = locate
        self._islands: Mapping[str, int] = {}
        self._pairs: set[Pair] = set()
        self._locating = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None

    @property
    def connections(self) -> int:
        """Return how many connections go through the doors, held and frozen ones too."""
        return len(self._pairs)

    async def run(self, *, ready: Callable[[], None]) -> None:
        """Serve until cancelled; `ready` is called once every door is kept.

        Raises:
            OSError: A door's port is taken.
        """
        # Held from now on, so that nobody else on this machine is given one of the ports meanwhile.
        held = {door: _held(door.port) for door in self._deserted}
        try:
            async with asyncio.TaskGroup() as self._group:
                for door, place in held.items():
                    self._group.create_task(self._keep(door, place))
                ready()
                await self._trace()
        finally:
            for pair in tuple(self._pairs):
                pair.cut()

    async def draw(self, islands: Mapping[str, int]) -> None:
        """Let nodes hear only those of their own island; who is not named is on island 0.

        Returns once no byte crosses any more.
        """
        self._islands = dict(islands)
        if any(self._islands.values()):
            for pair in self._pairs:
                if pair.source is None:
                    pair.freeze()
            await self._find(tuple(pair for pair in self._pairs if pair.source is None))
        for pair in tuple(self._pairs):
            self._settle(pair)

    def apart(self, pair: Pair) -> bool:
        """Return whether a connection crosses from one island to another, as far as is known."""
        if not any(self._islands.values()):
            return False
        if pair.source is None:
            return True
        return self._islands.get(pair.source, 0) != self._islands.get(pair.door.node, 0)

    def knocked(self, pair: Pair) -> None:
        """Take a new connection: let it flow, or find out first whose it is."""
        if len(self._pairs) >= PAIRS_MAX:
            pair.cut()
            return
        self._pairs.add(pair)
        if any(self._islands.values()):
            self._locating.set()
        else:
            pair.flow()

    def open(self, pair: Pair) -> None:
        """Connect a pair to what is behind its door."""
        assert self._group is not None, "doors are open only within `run`"
        self._group.create_task(pair.reach())

    def deserted(self, door: Door) -> None:
        """Close a door: nobody listens behind it any more."""
        self._deserted[door].set()

    def over(self, pair: Pair) -> None:
        """Forget a connection that is over."""
        self._pairs.discard(pair)

    async def _keep(self, door: Door, place: socket.socket) -> None:
        """Have a door open whenever somebody listens behind it; else its port is only held."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                while not await _listens(door.leads_to):  # noqa: ASYNC110  another process begins
                    await asyncio.sleep(_LOOK_S)
            except BaseException:
                place.close()
                raise
            self._deserted[door].clear()
            server = await loop.create_server(self._factory(door), sock=place)
            try:
                await self._deserted[door].wait()
            finally:
                server.close()
            place = _held(door.port)

    def _factory(self, door: Door) -> Callable[[], asyncio.Protocol]:
        return lambda: Pair(self, door).near

    def _settle(self, pair: Pair) -> None:
        if self.apart(pair):
            pair.freeze()
        else:
            pair.flow()

    async def _trace(self) -> None:
        """Find out, while islands are drawn, who opened what is new."""
        while True:
            await self._locating.wait()
            self._locating.clear()
            unknown = tuple(pair for pair in self._pairs if pair.source is None)
            await self._find(unknown)
            for pair in unknown:
                self._settle(pair)

    async def _find(self, pairs: tuple[Pair, ...]) -> None:
        """Ask whose these are; again if one is missing, for a process may be just starting."""
        for attempt in range(_LOCATE_TRIES):
            unknown = [pair for pair in pairs if pair.source is None and pair in self._pairs]
            if not unknown:
                return
            if attempt:
                await asyncio.sleep(_LOCATE_AGAIN_S)
            opened = await self._locate(self._ports)
            for pair in unknown:
                pair.source = opened.get(pair.came_from)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.transport.abort()
    return True


def _held(port: int) -> socket.socket:
    """Return a socket that has a port and does not listen: the kernel refuses whoever knocks.

    Raises:
        OSError: Somebody else has the port.
    """
    place = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(("127.0.0.1", port))
    except BaseException:
        place.close()
        raise
    place.settimeout(0)
    return place
