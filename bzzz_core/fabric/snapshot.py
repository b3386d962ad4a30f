"""Saves streams to files and brings them back: sequences, revisions, history and consumers kept.

The broker sends a stream in chunks and wants each acknowledged; it takes one back the same way.
What comes back is the stream itself, so everything that was derived from it (fencing tokens,
revisions) still holds. Only the number of replicas is that of the cluster it comes to.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from bzzz_core.clock import utc_now
from bzzz_core.errors import (
    BrokerError,
    IntegrityError,
    RequestInvalid,
    RequestTimeout,
    TransportError,
)
from bzzz_core.fabric import snapshot_file
from bzzz_core.fabric.heedful import heedful
from bzzz_core.fabric.jetstream import JetStreamRefusal, decode
from bzzz_core.fabric.layout import stream_api
from bzzz_core.fabric.snapshot_file import SUFFIX, Header, Writer
from bzzz_core.fabric.streams import StreamKeeper
from bzzz_core.trust import private_files

CHUNK_BYTES: Final = 131_072
CHUNK_MS_MAX: Final = 30_000
"""Silence after which the broker is taken to have given up."""
_RESTORE_TRIES: Final = 3


class _Begun(msgspec.Struct):
    config: dict[str, Any]
    state: dict[str, Any]


class _Taking(msgspec.Struct):
    deliver_subject: str


@dataclass(frozen=True, slots=True)
class Saved:
    """One stream that was saved or restored."""

    stream: str
    file: str
    messages: int
    bytes: int
    sha256: str = ""


async def save_all(keeper: StreamKeeper, directory: Path, *, cluster_id: str) -> list[Saved]:
    """Save every stream to a file of its own in a new directory.

    Raises:
        RequestInvalid: The directory exists and is not empty; it is as it was.
        QuorumUnavailable: A stream has no leader now; what was saved before is kept.
    """
    refuse_used(directory)
    private_files.private_directory(directory)
    saved = [
        await save(keeper, state.name, directory, cluster_id=cluster_id)
        for state in await keeper.states()
    ]
    manifest = msgspec.json.format(msgspec.json.encode(saved)) + b"\n"
    private_files.create(directory / "manifest.json", manifest)
    return saved


async def save(keeper: StreamKeeper, stream: str, directory: Path, *, cluster_id: str) -> Saved:
    """Save one stream."""
    path = directory / f"{stream}{SUFFIX}"
    with snapshot_file.writing(path) as writer:
        header = await _Saving(keeper, stream, writer, cluster_id=cluster_id).run()
        digest = writer.end()
    return Saved(stream, path.name, header.messages, _size_of(path), digest)


async def restore(
    keeper: StreamKeeper, path: Path, *, replicas: int, cluster_id: str, force: bool
) -> Saved:
    """Bring a stream back from a file.

    Args:
        keeper: The streams of the cluster it comes to.
        path: The snapshot; it is read through and checked before anything is changed.
        replicas: How many it is to have there.
        cluster_id: The cluster it comes to.
        force: Whether a stream of this name is deleted first, and another cluster's taken.

    Raises:
        IntegrityError: The file is damaged; nothing was changed.
        RequestInvalid: The stream exists, or the file is another cluster's; nothing was changed.
    """
    header = await asyncio.to_thread(snapshot_file.check, path)
    if header.cluster_id != cluster_id and not force:
        raise RequestInvalid(
            f"{path} is of cluster {header.cluster_id}, this is {cluster_id}; --force takes it"
        )
    present = await keeper.state(header.stream)
    if present is not None and not force:
        raise RequestInvalid(
            f"the stream {header.stream} exists with {present.messages} messages; --force deletes"
            " it first"
        )
    for attempt in range(1, _RESTORE_TRIES + 1):
        if await keeper.state(header.stream) is not None:
            await keeper.delete(header.stream)
        try:
            await _bring_back(keeper, path, header, replicas)
            break
        except JetStreamRefusal as exc:
            # An agent that starts just now makes the stream anew; without agents, once is enough.
            if attempt == _RESTORE_TRIES or await keeper.state(header.stream) is None:
                raise exc.as_ours(f"restoring {header.stream}") from exc
    return Saved(header.stream, path.name, header.messages, _size_of(path))


def refuse_used(directory: Path) -> None:
    """Return if a snapshot may go to a directory: it is new or empty. Nothing is changed.

    Raises:
        RequestInvalid: It holds something, cannot be looked into, or is none.
    """
    try:
        used = any(directory.iterdir())
    except FileNotFoundError:
        return
    except OSError as exc:
        raise RequestInvalid(f"{directory}: {exc.strerror}") from exc
    if used:
        raise RequestInvalid(f"{directory} is not empty; name a new directory for a snapshot")


def _size_of(path: Path) -> int:
    return path.stat().st_size


class _Saving:
    """One stream on its way from the broker into a file."""

    def __init__(
        self, keeper: StreamKeeper, stream: str, writer: Writer, *, cluster_id: str
    ) -> None:
        self._keeper = keeper
        self._link = keeper.link
        self._stream = stream
        self._writer = writer
        self._cluster_id = cluster_id
        self._chunks: asyncio.Queue[Msg] = asyncio.Queue()

    async def run(self) -> Header:
        """Receive everything and return the header."""
        client = self._link.client
        inbox = self._link.own_subject()
        try:
            carrier = await heedful(client.subscribe(inbox, cb=self._chunks.put))
            try:
                header = await self._begin(inbox)
                self._writer.header(header)
                while (data := await self._next()) is not None:
                    self._writer.chunk(data)
            finally:
                await self._link.unsubscribe(carrier)
        except (NatsError, OSError) as exc:
            raise TransportError(f"the snapshot of {self._stream} was cut off: {exc}") from exc
        return header

    async def _begin(self, inbox: str) -> Header:
        question = {"deliver_subject": inbox, "chunk_size": CHUNK_BYTES}
        subject = stream_api("SNAPSHOT", self._stream)
        try:
            begun = await self._keeper.ask(subject, question, _Begun, timeout_ms=CHUNK_MS_MAX)
        except JetStreamRefusal as exc:
            raise exc.as_ours(f"a snapshot of {self._stream}") from exc
        return Header(self._cluster_id, utc_now(), self._stream, begun.config, begun.state)

    async def _next(self) -> bytes | None:
        """Return the next chunk and acknowledge it, or None at the end."""
        try:
            async with asyncio.timeout(CHUNK_MS_MAX / 1000):
                message = await self._chunks.get()
        except TimeoutError as exc:
            raise RequestTimeout(f"the snapshot of {self._stream} stopped coming") from exc
        status = (message.headers or {}).get("Status", "")
        if status not in ("", "204"):
            raise BrokerError(f"the broker ended the snapshot of {self._stream}: {status}")
        if message.reply:
            await self._link.publish(message.reply, b"")
        return message.data or None


async def _bring_back(keeper: StreamKeeper, path: Path, header: Header, replicas: int) -> None:
    config = {**header.config, "num_replicas": replicas}
    question = {"config": config, "state": header.state}
    link = keeper.link
    subject = stream_api("RESTORE", header.stream)
    taking = await keeper.ask(subject, question, _Taking, timeout_ms=CHUNK_MS_MAX)
    target = taking.deliver_subject
    for chunk in snapshot_file.chunks(path):
        answer = await link.request(target, chunk, headers=None, timeout_ms=CHUNK_MS_MAX)
        if answer.data:
            decode(answer.data, dict)
    answer = await link.request(target, b"", headers=None, timeout_ms=CHUNK_MS_MAX)
    decode(answer.data, dict)
    state = await keeper.state(header.stream)
    if state is None or state.messages != header.messages:
        found = state.messages if state else 0
        raise IntegrityError(
            f"{header.stream} came back with {found} of {header.messages} messages; the file is"
            " still good"
        )
