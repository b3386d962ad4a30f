"""Ollama's own API, which Parallama speaks too: what a server has, and pulling models into it.

A pull is one long answer of JSON lines. Three things about it are traps. It begins with status 200
and may still fail: then a line holds `error`. The server repeats its last figures many times a
second while nothing arrives, so that only figures that grow are progress. And it says nothing at
all while it compares a large layer's checksum. Whoever stops reading stops the pull; what was
fetched stays, and the next pull of the same model goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Annotated, Any, Final, Self

import msgspec

from bzzz_core.errors import ModelServerError, RequestTimeout, TransportError
from bzzz_core.integrations.http import JsonEndpoint, Transport
from bzzz_core.ports import Clock

TIMEOUT_S: Final = 10.0
CHECKING_S_MAX: Final = 1_800
"""How long a server may be silent while it compares checksums: 400 GB at 250 MB/s."""
_CHECKING: Final = ("verifying", "writing manifest", "removing any unused")
WORDS_MAX: Final = 300
REFUSAL_BYTES_MAX: Final = 64_000
_Name = Annotated[str, msgspec.Meta(max_length=500)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=10**18)]


class _Version(msgspec.Struct, frozen=True):
    version: _Name


class StoredModel(msgspec.Struct, frozen=True):
    """A model on a server's disk."""

    name: _Name
    size: _Count = 0
    """In bytes."""
    digest: Annotated[str, msgspec.Meta(max_length=200)] = ""


class _Tags(msgspec.Struct, frozen=True):
    models: Annotated[tuple[StoredModel, ...], msgspec.Meta(max_length=10_000)] | None = ()


class LoadedModel(msgspec.Struct, frozen=True):
    """A model in a server's memory."""

    name: _Name
    size: _Count = 0
    size_vram: _Count = 0
    """Less than the size: the rest is computed by the processor."""
    context_length: _Count = 0


class _Loaded(msgspec.Struct, frozen=True):
    models: Annotated[tuple[LoadedModel, ...], msgspec.Meta(max_length=10_000)] | None = ()


class ModelDetails(msgspec.Struct, frozen=True):
    """What kind of model it is."""

    family: _Name = ""
    parameter_size: _Name = ""
    quantization_level: _Name = ""


class _Shown(msgspec.Struct, frozen=True):
    details: ModelDetails = ModelDetails()


class _PullLine(msgspec.Struct, frozen=True):
    status: str = ""
    digest: str = ""
    total: _Count = 0
    completed: _Count = 0
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullProgress:
    """How far a pull is: over all layers that the server has named so far."""

    status: str
    completed_bytes: int
    total_bytes: int
    """Grows as further layers are named; 0: none is yet."""
    layers: int


class Ollama:
    """One server."""

    def __init__(
        self,
        base_url: str,
        *,
        clock: Clock,
        timeout_s: float = TIMEOUT_S,
        transport: Transport | None = None,
    ) -> None:
        """Open nothing yet; `timeout_s` is for each exchange but a pull."""
        self._clock = clock
        self._service = JsonEndpoint(base_url, timeout_s=timeout_s, transport=transport)

    async def __aenter__(self) -> Self:
        """Return the server itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all connections."""
        await self._service.__aexit__(kind, exc, traceback)

    async def version(self) -> str:
        """Return the server's version; whoever has none is no such server.

        Raises:
            TransportError: Nobody answers, or somebody else does. So for all that follow.
        """
        return (await self._service.get("/api/version", _Version)).version

    async def stored(self) -> tuple[StoredModel, ...]:
        """Return the models on its disk."""
        return (await self._service.get("/api/tags", _Tags)).models or ()

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """Return the models in its memory."""
        return (await self._service.get("/api/ps", _Loaded)).models or ()

    async def details(self, model: str) -> ModelDetails:
        """Return what kind of model one is.

        Raises:
            ModelServerError: It is not there.
        """
        content = await self._told("POST", "/api/show", {"model": model})
        try:
            return msgspec.json.decode(content, type=_Shown).details
        except (ValueError, RecursionError) as exc:
            raise TransportError("/api/show: not the expected answer") from exc

    async def delete(self, model: str) -> None:
        """Remove a model.

        Raises:
            ModelServerError: It is not there.
        """
        await self._told("DELETE", "/api/delete", {"model": model})

    async def pull(
        self, model: str, *, stall_s: int, progress: Callable[[PullProgress], None]
    ) -> None:
        """Fetch a model, or go on where an earlier pull ended; return when it is there whole.

        Args:
            model: Its name.
            stall_s: Given up when no figure has grown for so long.
            progress: Called with every change, perhaps several times a second.

        Raises:
            ModelServerError: The server gave up: no such model, no space, a damaged layer.
            RequestTimeout: Nothing arrived for `stall_s`.
            TransportError: The connection ended, or the server ended the answer too early.
        """
        watch = _Watch(model, clock=self._clock, stall_s=stall_s)
        async with AsyncExitStack() as stack:
            request = self._service.lines("POST", "/api/pull", {"model": model})
            try:
                async with asyncio.timeout(stall_s):
                    answer = await stack.enter_async_context(request)
            except TimeoutError as exc:
                raise RequestTimeout(f"{model}: no answer for {stall_s} s") from exc
            if answer.status != HTTPStatus.OK:
                said = await _beginning(answer.lines, stall_s)
                raise ModelServerError(f"{model}: {_words(said) or answer.status}")
            lines = aiter(answer.lines)
            while (line := await watch.next_line(lines)) is not None:
                told = watch.read(line)
                if told is not None:
                    progress(told)
        if not watch.done:
            raise TransportError(f"{model}: the server ended its answer before the model was whole")

    async def _told(self, method: str, path: str, body: Any) -> bytes:
        reply = await self._service.ask(method, path, body)
        if reply.status == HTTPStatus.NOT_FOUND:
            raise ModelServerError(f"{body['model']}: {_words(reply.content) or 'not there'}")
        if reply.status != HTTPStatus.OK:
            raise TransportError(f"{path}: answered {reply.status}")
        return reply.content


class _Watch:
    """Reads the lines of one pull and notices when they stop meaning anything."""

    def __init__(self, model: str, *, clock: Clock, stall_s: int) -> None:
        self._model = model
        self._clock = clock
        self._stall_s = stall_s
        self._layers: dict[str, tuple[int, int]] = {}
        self._last = PullProgress(status="", completed_bytes=0, total_bytes=0, layers=0)
        self._seen: set[str] = set()
        self._moved_ms = clock.now_ms()
        self.done = False

    async def next_line(self, lines: AsyncIterator[bytes]) -> bytes | None:
        """Return the next line; None at the end."""
        checking = self._last.status.startswith(_CHECKING)
        limit_s = max(self._stall_s, CHECKING_S_MAX) if checking else self._stall_s
        try:
            async with asyncio.timeout(limit_s):
                return await anext(lines, None)
        except TimeoutError as exc:
            raise RequestTimeout(f"{self._model}: silence for {limit_s} s") from exc

    def read(self, line: bytes) -> PullProgress | None:
        """Return how far the pull is, or None if this line says nothing new."""
        try:
            said = msgspec.json.decode(line, type=_PullLine)
        except (ValueError, RecursionError) as exc:
            raise TransportError(f"{self._model}: not the expected answer to a pull") from exc
        if said.error:
            raise ModelServerError(f"{self._model}: {_one_line(said.error)}")
        self.done = said.status == "success"
        if said.digest:
            before = self._layers.get(said.digest, (0, 0))
            # A layer that is begun anew starts from zero; what was counted stays counted.
            self._layers[said.digest] = max(said.completed, before[0]), max(said.total, before[1])
        now = PullProgress(
            status=_one_line(said.status),
            completed_bytes=sum(completed for completed, _ in self._layers.values()),
            total_bytes=sum(total for _, total in self._layers.values()),
            layers=len(self._layers),
        )
        if now.completed_bytes == self._last.completed_bytes and now.status in self._seen:
            stalled_ms = self._clock.now_ms() - self._moved_ms
            if stalled_ms >= self._stall_s * 1_000 and not now.status.startswith(_CHECKING):
                raise RequestTimeout(f"{self._model}: nothing arrived for {self._stall_s} s")
        if now == self._last:
            return None
        # A server that tells of several layers in turn changes its words without any progress.
        if now.completed_bytes > self._last.completed_bytes or now.status not in self._seen:
            self._moved_ms = self._clock.now_ms()
        self._seen.add(now.status)
        self._last = now
        return now


def same_model(first: str, second: str) -> bool:
    """Return whether two names mean one model: without a tag `latest` is meant."""
    return full_name(first) == full_name(second)


def full_name(name: str) -> str:
    """Return a model's name with its tag."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


async def _beginning(lines: AsyncIterator[bytes], limit_s: int) -> bytes:
    """Return what an answer says until it ends, says too much, or takes too long."""
    said = bytearray()
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            async for line in lines:
                said += line
                if len(said) > REFUSAL_BYTES_MAX:
                    break
    return bytes(said)


def _words(content: bytes) -> str:
    try:
        return _one_line(msgspec.json.decode(content, type=_PullLine).error)
    except (ValueError, RecursionError):
        return ""


def _one_line(text: str) -> str:
    """Return untrusted words on one line, without anything that could steer a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:WORDS_MAX]
