"""Reads the whole control stream of a cluster, message by message, as its leader holds it.

Everything the stream ever took is there in its order: `_term` records, the leaders' entries, and
other records; the agents of a run let it drop nothing (`tests.chaos.node`). A message that is
missing all the same counts as lost. Reading costs one question a message, `AT_ONCE` of them under
way together.

Where the log ends is believed only of a leader that has a majority with it at that moment. While a
broker knows of no leader it answers for itself, and one that has just been paused or cut off may
lead in the past: either knows an earlier end. A log that ends before what clients were told is
acknowledged, or in which a message is missing, is read again for `SETTLE_MS`; then it is what the
leader with its majority holds, and the rest is lost. What was read of another leadership does not
count: it would hide a hole in the replica that leads now. A leadership is a broker and the moment
since which it leads, for it may lose its stream and win it back between two questions. Without
such a leader nothing can be said, and `ReadingCut` says that.

`python -m tests.chaos.final_log --config FILE --output FILE [--led-by NAME] [--at-least N]` runs it
as a process inside a node's network; `--led-by` first moves the stream's leadership to that node's
broker, so that one replica after the other can be asked; `--at-least` names the last revision that
a client was told of.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import msgspec

from bzzz_core.clock import SystemClock
from bzzz_core.config.sources import load_agent_config
from bzzz_core.errors import BzzzError, QuorumUnavailable
from bzzz_core.fabric.jetstream import NO_MESSAGE, GotMessage, JetStreamRefusal, decode, encode
from bzzz_core.fabric.layout import CONTROL_PREFIX, CONTROL_STREAM, stream_api
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.fabric.records import NatsRecords
from bzzz_core.fabric.store import node_of
from bzzz_core.ports import Clock

AT_ONCE: Final = 64
ANSWER_MS_MAX: Final = 5_000
OPEN_MS_MAX: Final = 30_000
KEPT: Final = 100_000_000
"""Values of each record that the stream keeps, where production keeps the last few: all."""
SETTLE_MS: Final = 20_000
"""How long a log that looks too short is read again before it is believed: four times what an
election among the brokers takes on a calm machine."""
GIVE_UP_MS: Final = 60_000
"""How long nothing may come before the reading ends as cut."""
_HEARD_NS_MAX: Final = 3_000_000_000
"""A replica that the leader has not heard for longer is none of its majority; they speak each
second."""
_AGAIN_MS: Final = 200


class LogMessage(msgspec.Struct, frozen=True):
    """One message of the stream."""

    revision: int
    key: str
    content: bytes


class FinalLog(msgspec.Struct, frozen=True):
    """All messages of a stream, in order."""

    stream: str
    """The stream's identity: what ballots and tokens name."""
    messages: tuple[LogMessage, ...]
    led_by: str = ""
    """Node whose broker answered."""


def write_log(log: FinalLog, path: Path) -> None:
    """Write the log to a file."""
    path.write_bytes(msgspec.msgpack.encode(log))


def read_log(path: Path) -> FinalLog:
    """Read a file that `write_log` wrote."""
    return msgspec.msgpack.decode(path.read_bytes(), type=FinalLog)


class ReadingCut(Exception):
    """No leader with a majority could be asked for the whole log: nothing can be said of it."""


class _Peer(msgspec.Struct, frozen=True):
    name: str
    current: bool = False
    offline: bool = False
    active: int = 0
    """Nanoseconds since the leader heard of it."""


class _Group(msgspec.Struct, frozen=True):
    leader: str = ""
    leader_since: str = ""
    """When its leadership began, by its own clock."""
    replicas: tuple[_Peer, ...] = ()


class _State(msgspec.Struct, frozen=True):
    last_seq: int


@dataclass(frozen=True, slots=True)
class Leadership:
    """One time that a broker leads the stream; all is empty where none is known."""

    broker: str = ""
    since: str = ""


class StreamEnd(msgspec.Struct, frozen=True):
    """What whoever answered says of the stream."""

    state: _State
    cluster: _Group | None = None

    @property
    def leader(self) -> str:
        """Return the broker that leads, as the one that answered knows it; empty if it does not."""
        return self.cluster.leader if self.cluster is not None else ""

    @property
    def leadership(self) -> Leadership:
        """Return which of the leader's leaderships this is."""
        if self.cluster is None or not self.leader:
            return Leadership()
        return Leadership(self.leader, self.cluster.leader_since)

    def doubt(self, wanted: str | None) -> str:
        """Return why this may not be the end of the log; empty if it is.

        Args:
            wanted: The broker that has to lead; None if any will do.
        """
        if self.cluster is None:
            return ""  # One broker alone.
        if not self.leader:
            return "a broker answered that knows of no leader"
        if wanted is not None and self.leader != wanted:
            return f"{self.leader} leads, not {wanted}"
        with_it = 1 + sum(
            peer.current and not peer.offline and peer.active <= _HEARD_NS_MAX
            for peer in self.cluster.replicas
        )
        brokers = 1 + len(self.cluster.replicas)
        if brokers > 1 and not self.cluster.leader_since:
            return f"{self.leader} does not say since when it leads"
        if 2 * with_it <= brokers:
            return f"{self.leader} has {with_it} of {brokers} brokers with it"
        return ""


class Store(Protocol):
    """The stream as a reading asks for it."""

    async def end(self) -> StreamEnd:
        """Return what whoever answers says of the stream; raises `BzzzError`."""
        ...

    async def message(self, revision: int) -> LogMessage | None:
        """Return one message, None if whoever leads does not have it; raises `BzzzError`."""
        ...


@dataclass(slots=True)
class Reading:
    """One reading of the whole log."""

    store: Store
    clock: Clock
    at_least: int = 0
    """The last revision that a client was told of."""
    wanted: str | None = None
    """The broker that has to lead all the while."""
    move: Callable[[], Awaitable[None]] | None = None
    """Called while another one leads."""

    async def whole(self) -> tuple[str, list[LogMessage]]:
        """Return who led, and all messages up to the end that it told with a majority.

        Raises:
            ReadingCut: There was no such leader for `GIVE_UP_MS`.
        """
        found: dict[int, LogMessage] = {}
        last, led = 0, Leadership()
        progress_ms = calm_ms = self.clock.now_ms()
        while True:
            end, doubt = await self._end()
            led = _led_on(end, led, found)
            before = len(found)
            if not doubt:
                last = max(last, end.state.last_seq)
                brought, doubt = await self._fill(found, last)
                # Was that the same leadership all the while? Else anybody may have brought it.
                again, why = await self._end()
                led = _led_on(again, led, found)
                if again.leadership == end.leadership:
                    found.update(brought)
                else:
                    why = why or "another leadership began"
                doubt = doubt or why
            if not doubt and len(found) == last >= self.at_least:
                return end.leader, _in_order(found)
            now_ms = self.clock.now_ms()
            progress_ms = now_ms if len(found) > before else progress_ms
            calm_ms = now_ms if doubt else calm_ms
            if now_ms - max(progress_ms, calm_ms) >= SETTLE_MS:
                return end.leader, _in_order(found)
            if now_ms - progress_ms >= GIVE_UP_MS:
                goal = max(last, self.at_least)
                raise ReadingCut(f"the reading was cut at {len(found)} of {goal} messages: {doubt}")
            await self.clock.sleep_ms(_AGAIN_MS)

    async def _end(self) -> tuple[StreamEnd, str]:
        """Return what is said of the stream, and why that may not be the end of it."""
        try:
            end = await self.store.end()
        except (BzzzError, JetStreamRefusal) as exc:
            return StreamEnd(_State(0)), str(exc)
        if self.move is not None and self.wanted is not None and end.leader != self.wanted:
            with contextlib.suppress(BzzzError):
                await self.move()
        return end, end.doubt(self.wanted)

    async def _fill(
        self, found: dict[int, LogMessage], last: int
    ) -> tuple[dict[int, LogMessage], str]:
        """Return the messages that were not there yet, and why one could not be asked for."""
        brought: dict[int, LogMessage] = {}
        missing = [revision for revision in range(1, last + 1) if revision not in found]
        for first in range(0, len(missing), AT_ONCE):
            numbers = missing[first : first + AT_ONCE]
            questions = (self.store.message(each) for each in numbers)
            answers = await asyncio.gather(*questions, return_exceptions=True)
            brought.update((got.revision, got) for got in answers if isinstance(got, LogMessage))
            failures = [got for got in answers if isinstance(got, BaseException)]
            for failure in failures:
                if not isinstance(failure, (BzzzError, JetStreamRefusal)):
                    raise failure
            if failures:
                return brought, str(failures[0])
        return brought, ""


def _led_on(end: StreamEnd, led: Leadership, found: dict[int, LogMessage]) -> Leadership:
    """Return the leadership of now; if that is another than `led`, what was found goes."""
    if not end.leader or end.leadership == led:
        return led
    found.clear()
    return end.leadership


def _in_order(found: dict[int, LogMessage]) -> list[LogMessage]:
    return [found[revision] for revision in sorted(found)]


async def fetch(config_path: Path, led_by: str | None, at_least: int) -> FinalLog:
    """Return the stream as its present leader holds it.

    Raises:
        ReadingCut: No leader with a majority could be asked.
        BzzzError: The cluster does not answer.
    """
    config = load_agent_config(config_path, {})
    clock = SystemClock()
    fabric = NatsFabric.from_agent_config(config, clock=clock)
    voters = sum(1 for node in config.cluster.nodes if node.voter)
    records = NatsRecords(fabric, replicas=voters, clock=clock, kept=KEPT)
    reading = Reading(NatsStore(fabric), clock, at_least)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(fabric.run())
        await records.open(OPEN_MS_MAX)
        if led_by is not None:
            node = next(n.id for n in config.cluster.nodes if n.name == led_by)
            wanted = await _broker_of(records, node)
            reading.wanted, reading.move = wanted, partial(records.move_stream_leader, wanted)
        leader, messages = await reading.whole()
        running.cancel()
    names = {node.id: node.name for node in config.cluster.nodes}
    return FinalLog(str(records.stream), tuple(messages), names.get(node_of(leader) or "", ""))


async def _broker_of(records: NatsRecords, node: str) -> str:
    return next(
        replica.server_name
        for replica in await records.replicas()
        if node_of(replica.server_name) == node
    )


class NatsStore:
    """The control stream of a cluster; satisfies `Store`."""

    def __init__(self, fabric: NatsFabric) -> None:
        """Ask nothing yet."""
        self._fabric = fabric

    async def end(self) -> StreamEnd:
        """Return what whoever answers says of the stream."""
        subject = stream_api("INFO", CONTROL_STREAM)
        answer = await self._fabric.ask(subject, b"", timeout_ms=ANSWER_MS_MAX)
        if answer.no_responders:
            raise QuorumUnavailable("no broker answers for the stream")
        return decode(answer.data, StreamEnd)

    async def message(self, revision: int) -> LogMessage | None:
        """Return one message, None if whoever leads does not have it."""
        subject, question = stream_api("MSG.GET", CONTROL_STREAM), encode({"seq": revision})
        answer = await self._fabric.ask(subject, question, timeout_ms=ANSWER_MS_MAX)
        if answer.no_responders:
            raise QuorumUnavailable(f"message {revision}: the stream has no leader")
        try:
            stored = decode(answer.data, GotMessage).message
        except JetStreamRefusal as exc:
            if exc.number == NO_MESSAGE:
                return None
            raise
        key = stored.subject.removeprefix(f"{CONTROL_PREFIX}.")
        return LogMessage(stored.seq, key, stored.payload)


def main(arguments: Iterable[str] | None = None) -> None:
    """Fetch and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--led-by")
    parser.add_argument("--at-least", type=int, default=0)
    given = parser.parse_args(None if arguments is None else list(arguments))
    try:
        log = asyncio.run(fetch(given.config, given.led_by, given.at_least))
    except* ReadingCut as group:
        sys.exit("; ".join(str(exc) for exc in group.exceptions))
    write_log(log, given.output)


if __name__ == "__main__":
    main()
