"""Reads the whole control stream of a cluster, message by message, as its leader holds it.

Everything the stream ever took is there in its order: `_term` records, the leaders' entries, and
other records; the agents of a run let it drop nothing (`tests.chaos.node`). A message that is
missing all the same counts as lost. Reading costs one question a message, `AT_ONCE` of them under
way together.

`python -m tests.chaos.final_log --config FILE --output FILE [--led-by NAME]` runs it as a process
inside a node's network; `--led-by` first moves the stream's leadership to that node's broker, so
that one replica after the other can be asked.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from bzzz_core.clock import SystemClock
from bzzz_core.config.sources import load_agent_config
from bzzz_core.errors import BzzzError, QuorumUnavailable
from bzzz_core.fabric.jetstream import NO_MESSAGE, GotMessage, JetStreamRefusal, decode, encode
from bzzz_core.fabric.layout import CONTROL_PREFIX, CONTROL_STREAM, stream_api
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.fabric.records import NatsRecords
from bzzz_core.fabric.store import node_of

AT_ONCE: Final = 64
ANSWER_MS_MAX: Final = 5_000
OPEN_MS_MAX: Final = 30_000
KEPT: Final = 100_000_000
"""Values of each record that the stream keeps, where production keeps the last few: all."""
_TRIES: Final = 100
"""Until the brokers have elected a leader of their metadata, too: before, they refuse to answer."""
_AGAIN_S: Final = 0.2


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


async def fetch(config_path: Path, led_by: str | None) -> FinalLog:
    """Return the stream as its present leader holds it.

    Raises:
        BzzzError: The cluster does not answer.
    """
    config = load_agent_config(config_path, {})
    clock = SystemClock()
    fabric = NatsFabric.from_agent_config(config, clock=clock)
    voters = sum(1 for node in config.cluster.nodes if node.voter)
    records = NatsRecords(fabric, replicas=voters, clock=clock, kept=KEPT)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(fabric.run())
        await records.open(OPEN_MS_MAX)
        if led_by is not None:
            node = next(n.id for n in config.cluster.nodes if n.name == led_by)
            await _move(records, node)
        leader = await records.stream_leader()
        last = await _last_revision(fabric)
        messages = await _all_messages(fabric, last)
        names = {node.id: node.name for node in config.cluster.nodes}
        running.cancel()
    answered = names.get(node_of(leader) or "", "") if leader else ""
    return FinalLog(str(records.stream), tuple(messages), answered)


async def _move(records: NatsRecords, node: str) -> None:
    replicas = await records.replicas()
    preferred = next(r.server_name for r in replicas if node_of(r.server_name) == node)
    await records.move_stream_leader(preferred)


async def _last_revision(fabric: NatsFabric) -> int:
    answer = await fabric.ask(stream_api("INFO", CONTROL_STREAM), b"", timeout_ms=ANSWER_MS_MAX)
    return int(decode(answer.data, _Info).state.last_seq)


class _State(msgspec.Struct, frozen=True):
    last_seq: int


class _Info(msgspec.Struct, frozen=True):
    state: _State


async def _all_messages(fabric: NatsFabric, last: int) -> list[LogMessage]:
    found: list[LogMessage] = []
    for first in range(1, last + 1, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, last + 1))
        messages = await asyncio.gather(*(_one(fabric, number) for number in numbers))
        found += [message for message in messages if message is not None]
    return found


async def _one(fabric: NatsFabric, revision: int) -> LogMessage | None:
    """Return one message, None if it is no longer there: a record keeps its last value only."""
    subject = stream_api("MSG.GET", CONTROL_STREAM)
    for left in reversed(range(_TRIES)):
        try:
            answer = await fabric.ask(subject, encode({"seq": revision}), timeout_ms=ANSWER_MS_MAX)
            if answer.no_responders:
                raise QuorumUnavailable(f"message {revision}: the stream has no leader")
            stored = decode(answer.data, GotMessage).message
        except (BzzzError, JetStreamRefusal) as exc:
            if isinstance(exc, JetStreamRefusal) and exc.number == NO_MESSAGE:
                return None
            if not left:
                raise
            await asyncio.sleep(_AGAIN_S)
        else:
            key = stored.subject.removeprefix(f"{CONTROL_PREFIX}.")
            return LogMessage(stored.seq, key, stored.payload)
    raise AssertionError("the last try raises")


def main(arguments: Iterable[str] | None = None) -> None:
    """Fetch and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--led-by")
    given = parser.parse_args(None if arguments is None else list(arguments))
    write_log(asyncio.run(fetch(given.config, given.led_by)), given.output)


if __name__ == "__main__":
    main()
