"""The leader's pen: the one place that changes the registry and the tokens.

Both are records of the control stream. Only the serving leader writes them, through its fenced
lane, so a write lands only while nobody else has become leader: that is the compare-and-set which
makes a token good for one use. What was read belongs to the leadership under which it was read; a
new leadership reads anew, and so does one whose write did not come back with a plain answer.

The first leader of a cluster writes the genesis as version 1, with the roots that setup installed.
A record older than what this node has kept (a stream that was restored from an old snapshot) is
replaced by what it kept: a revocation is never undone by a restore.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from bzzz_core.enrolment import token as tokens_module
from bzzz_core.enrolment.registry import RECORD, Registry, decode, encode
from bzzz_core.enrolment.token import Tokens, decode_tokens, encode_tokens
from bzzz_core.errors import IntegrityError, NotLeader
from bzzz_core.model import FencingToken, Revision
from bzzz_core.ports import Records

Put = Callable[[FencingToken, str, bytes], Awaitable[Revision]]
Taken = Callable[[Registry], Awaitable[None]]


class _Held(msgspec.Struct):
    """What was read or written under one token."""

    token: FencingToken
    registry: Registry
    tokens: Tokens


class Registrar:
    """Reads and writes `_nodes` and `_tokens` while this node leads."""

    def __init__(
        self,
        *,
        records: Records,
        put: Put,
        leads: Callable[[], FencingToken | None],
        known: Callable[[], Registry],
        taken: Taken,
    ) -> None:
        """Read nothing yet.

        Args:
            records: The control stream.
            put: Writes a record under a leadership's token.
            leads: Gives the token while this node serves as leader.
            known: The newest registry this node has, its genesis with the trusted roots at least.
            taken: Told of each registry that was read or written here.
        """
        self._records = records
        self._put = put
        self._leads = leads
        self._known = known
        self._taken = taken
        self._held: _Held | None = None
        self._lock = asyncio.Lock()

    async def registry(self) -> Registry:
        """Return the registry in force.

        Raises:
            NotLeader: This node does not lead.
            BzzzError: It cannot be read.
        """
        async with self._lock:
            return (await self._load()).registry

    def present(self) -> Registry | None:
        """Return the registry in force if it is in memory; waits for no write under way."""
        held = self._held
        return held.registry if held is not None and held.token == self._leads() else None

    async def tokens(self) -> Tokens:
        """Return the tokens in force; raises as `registry`."""
        async with self._lock:
            return (await self._load()).tokens

    async def change(self, step: Callable[[Registry], Registry]) -> Registry:
        """Replace the registry by what `step` makes of it, and return it once it is durable.

        Raises:
            NotLeader: This node does not lead.
            BzzzError: What `step` raises, or the write's failure; `RequestTimeout` leaves it open.
        """
        return (await self.change_both(lambda registry, tokens: (step(registry), tokens)))[0]

    async def change_tokens(self, step: Callable[[Tokens], Tokens]) -> Tokens:
        """Do the same with the tokens."""
        return (await self.change_both(lambda registry, tokens: (registry, step(tokens))))[1]

    async def change_both(
        self, step: Callable[[Registry, Tokens], tuple[Registry, Tokens]]
    ) -> tuple[Registry, Tokens]:
        """Replace both; the tokens are written first, so a token is used up before it gives.

        Should the second write fail, whoever used the token may ask again with it.
        """
        async with self._lock:
            held = await self._load()
            registry, tokens = step(held.registry, held.tokens)
            if tokens != held.tokens:
                await self._write(held.token, tokens_module.RECORD, encode_tokens(tokens))
                held.tokens = tokens
            if registry is not held.registry:
                await self._write(held.token, RECORD, encode(registry))
                held.registry = registry
                await self._taken(registry)
            return registry, tokens

    async def _load(self) -> _Held:
        token = self._leads()
        if token is None:
            raise NotLeader("only the leader changes who belongs to the cluster")
        if self._held is None or self._held.token != token:
            self._held = None
            tokens = await self._read_tokens()
            registry = await self._read_registry(token)
            self._held = _Held(token, registry, tokens)
            await self._taken(registry)
        return self._held

    async def _read_registry(self, token: FencingToken) -> Registry:
        known = self._known()
        record = await self._records.read(RECORD)
        if record is not None:
            written = decode(record.value, cluster=known.cluster)
            if written.version >= known.version:
                return written
        first = msgspec.structs.replace(known, version=known.version + 1)
        await self._write(token, RECORD, encode(first))
        return first

    async def _read_tokens(self) -> Tokens:
        record = await self._records.read(tokens_module.RECORD)
        if record is None:
            return Tokens()
        try:
            return decode_tokens(record.value)
        except (ValueError, RecursionError) as exc:
            raise IntegrityError(f"the record of join tokens is damaged: {exc}") from exc

    async def _write(self, token: FencingToken, key: str, value: bytes) -> None:
        try:
            await self._put(token, key, value)
        except BaseException:
            self._held = None  # Whether it was written is found out by reading anew.
            raise
