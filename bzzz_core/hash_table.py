"""The node's hash table, put together: buckets, backends, and the operations of the API.

Follows the configuration while it runs: backend and fallback are switched live, and a node that
becomes a voter starts to use the buckets itself and to watch; edges ask the leader. Voters open the
buckets in the background and make them, when their own table or an edge wants them; what happens
before that is the hybrid table's or the caller's to bear, as any other absence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from bzzz_core.api.operations import Call, Operation
from bzzz_core.asked_buckets import (
    COPIES,
    QUESTION,
    Ask,
    AskedKeyValue,
    BucketDesk,
    Paced,
    SwitchedKeyValue,
    check_asked_value,
)
from bzzz_core.breaker import Breaker
from bzzz_core.config.schema import AgentConfig
from bzzz_core.dht.hybrid import Backend, HybridDht
from bzzz_core.dht.memory import MemoryDht, MemoryTable
from bzzz_core.dht.notices import Conflicted, DhtStatus, FellBack, Notice, Recovered, Switched
from bzzz_core.dht.queue import WriteQueue
from bzzz_core.dht.stored import StoredDht
from bzzz_core.errors import BzzzError
from bzzz_core.fabric.keyvalue import NatsKeyValue
from bzzz_core.fabric.layout import DHT, PROVIDERS, Bucket
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.model import NodeId
from bzzz_core.ports import Clock, Dht
from bzzz_core.telemetry import logs

_OPEN_MS: Final = 60_000
_OPEN_AGAIN_MS: Final = 2_000
_COPIES_S_MAX: Final = 2.5
"""More than a stream's leader takes to answer; a status without that number is better than none."""
_Count = Annotated[int, msgspec.Meta(ge=0, le=1_000)]
_TIMEOUT_MS_MAX: Final = 25_000
"""A caller over HTTP waits 30 s."""


class PutValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `PUT /v1/dht/value`."""

    key: str
    value: bytes
    """Base64 in JSON."""
    timeout_ms: Annotated[int, msgspec.Meta(ge=1, le=_TIMEOUT_MS_MAX)] | None = None


class Value(msgspec.Struct, frozen=True):
    """Answer of `GET /v1/dht/value`."""

    key: str
    value: bytes


class KeyQuery(msgspec.Struct, frozen=True):
    """Which key is asked for."""

    key: str


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `PUT` and `DELETE /v1/dht/providers`."""

    key: str
    provider: str


class Providers(msgspec.Struct, frozen=True):
    """Answer of `GET /v1/dht/providers`."""

    key: str
    providers: list[str]


class Use(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `PUT /v1/dht/backend`."""

    backend: Literal["mock", "real", "hybrid"]


class HashTable:
    """Builds the table of a configured node and keeps it in step with the configuration."""

    def __init__(
        self,
        config: AgentConfig,
        *,
        fabric: NatsFabric,
        clock: Clock,
        ask: Ask,
        audit: Callable[..., None],
    ) -> None:
        """Load what an earlier run queued; ask nothing yet.

        Args:
            config: Of this node.
            fabric: For the buckets while this node is a voter.
            clock: For lifetimes, latencies and waits.
            ask: Puts a question to the leader, while this node is an edge.
            audit: Told of fallback, recovery, conflicts and switches.

        Raises:
            IntegrityError: The queue's directory cannot be used.
        """
        self._config = config
        self._ask = ask
        self._clock = clock
        self._audit = audit
        self._log = logs.get("dht")
        node = NodeId(config.me.id)
        self._node = node
        self._buckets = _own_buckets(config, fabric, clock)
        self._desk = BucketDesk(self._buckets)
        self._wanted = asyncio.Event()
        self._votes = asyncio.Event()
        if config.me.voter:
            self._votes.set()
        paced = Paced(ask)
        values, providers = (
            SwitchedKeyValue(
                own=own, asked=AskedKeyValue(bucket, paced), votes=lambda: self._config.me.voter
            )
            for bucket, own in self._buckets.items()
        )
        lifetime_s = config.cluster.dht.provider_ttl_s
        self._cluster = StoredDht(
            node=node,
            values=values,
            providers=providers,
            clock=clock,
            watches=config.me.voter,
            lifetime_s=lifetime_s,
        )
        self._queue = WriteQueue(Path(config.resources.paths.data) / "dht")
        self._table = HybridDht(
            node=node,
            cluster=self._cluster,
            mock=MemoryDht(MemoryTable(), node=node, clock=clock, lifetime_s=lifetime_s),
            queue=self._queue,
            breaker=Breaker(),
            clock=clock,
            backend=Backend(config.services.backend_of("dht")),
            falls_back=config.services.falls_back,
            replicas=lambda: sum(entry.voter for entry in self._config.cluster.nodes),
            notify=self._on_notice,
        )

    @property
    def dht(self) -> Dht:
        """Return the table for the node's other parts."""
        return self._table

    def status(self) -> DhtStatus:
        """Return the table as this node sees it."""
        return self._table.status()

    async def answer(self, asker: NodeId, body: bytes) -> bytes:
        """Do as the leader what an edge asks of a bucket; see `BucketDesk.answer`."""
        if body == COPIES:  # To be asked for a number is no reason to make a bucket.
            return msgspec.msgpack.encode(await self._buckets[DHT].copies())
        self._wanted.set()
        return await self._desk.answer(asker, body)

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._want())
                for bucket in self._buckets.values():
                    tasks.create_task(self._open(bucket))
                tasks.create_task(self._table.run())
        finally:
            self._queue.close()

    def reconfigure(self, config: AgentConfig) -> None:
        """Follow the configuration: backend, fallback, and whether this node is a voter."""
        before, self._config = self._config.services, config
        chosen = (config.services.backend_of("dht"), config.services.falls_back)
        if chosen != (before.backend_of("dht"), before.falls_back):
            # Only what the configuration changed: a choice of the operator's stands until then.
            self._table.switch(Backend(chosen[0]), falls_back=chosen[1])
        if config.me.voter:
            self._votes.set()
            self._cluster.watch_from_now_on()
        else:
            self._votes.clear()

    def operations(self) -> list[Operation]:
        """Return what the API offers on this node's part in the table."""
        return [
            Operation(
                "GET",
                "/v1/dht",
                self._get_status,
                "status:read",
                "The hash table as this node sees it",
                answers=DhtStatus,
            ),
            Operation(
                "PUT",
                "/v1/dht/backend",
                self._use,
                "config:write",
                "Choose this node's backend until the configuration changes",
                takes=Use,
                answers=DhtStatus,
            ),
        ]

    def content_operations(self) -> list[Operation]:
        """Return what the API offers on the content, which may be out of date without quorum."""
        return [
            Operation(
                "GET",
                "/v1/dht/value",
                self._get_value,
                "dht:read",
                "The value under a key",
                query=KeyQuery,
                answers=Value,
            ),
            Operation(
                "PUT",
                "/v1/dht/value",
                self._put_value,
                "dht:write",
                "Put a value under a key",
                takes=PutValue,
                answers=dict[str, Any],
            ),
            Operation(
                "GET",
                "/v1/dht/providers",
                self._get_providers,
                "dht:read",
                "Who provides what belongs to a key",
                query=KeyQuery,
                answers=Providers,
            ),
            Operation(
                "PUT",
                "/v1/dht/providers",
                self._provide,
                "dht:write",
                "Announce a provider",
                takes=Provider,
                answers=Provider,
            ),
            Operation(
                "DELETE",
                "/v1/dht/providers",
                self._withdraw,
                "dht:write",
                "Withdraw a provider's announcement",
                takes=Provider,
                answers=Provider,
            ),
        ]

    async def _get_status(self, _call: Call) -> DhtStatus:
        return await self._status_and_copies()

    async def _get_value(self, call: Call) -> Value:
        key = call.asked(KeyQuery).key
        return Value(key, await self._table.get_value(key))

    async def _put_value(self, call: Call) -> dict[str, Any]:
        body = call.read(PutValue)
        if not self._config.me.voter:
            check_asked_value(body.value)  # Before it is queued for a leader who cannot take it.
        await self._table.put_value(body.key, body.value, timeout_ms=body.timeout_ms)
        return {"bytes": len(body.value)}

    async def _get_providers(self, call: Call) -> Providers:
        key = call.asked(KeyQuery).key
        return Providers(key, await self._table.find_providers(key))

    async def _provide(self, call: Call) -> Provider:
        body = call.read(Provider)
        await self._table.provide(body.key, body.provider)
        return body

    async def _withdraw(self, call: Call) -> Provider:
        body = call.read(Provider)
        await self._table.withdraw(body.key, body.provider)
        return body

    async def _use(self, call: Call) -> DhtStatus:
        body = call.read(Use)
        self._table.switch(Backend(body.backend), falls_back=self._config.services.falls_back)
        return await self._status_and_copies()

    async def _status_and_copies(self) -> DhtStatus:
        return msgspec.structs.replace(self.status(), replicas_present=await self._copies_or_none())

    async def _copies_or_none(self) -> int | None:
        try:
            async with asyncio.timeout(_COPIES_S_MAX):
                if self._config.me.voter:
                    return await self._buckets[DHT].copies()
                return msgspec.msgpack.decode(await self._ask(QUESTION, COPIES), type=_Count)
        except (BzzzError, TimeoutError, ValueError) as exc:
            self._log.info("nobody says how many copies there are", reason=str(exc))
            return None

    async def _want(self) -> None:
        await self._table.cluster_wanted()
        self._wanted.set()

    async def _open(self, bucket: NatsKeyValue) -> None:
        """Open a bucket once it is wanted of a voter, whenever the cluster is ready for it."""
        await self._wanted.wait()
        while True:
            await self._votes.wait()
            try:
                await bucket.open(_OPEN_MS)
            except BzzzError as exc:
                self._log.info("bucket not open", bucket=bucket.bucket.name, reason=str(exc))
                await self._clock.sleep_ms(_OPEN_AGAIN_MS)
            else:
                return

    def _on_notice(self, notice: Notice) -> None:
        match notice:
            case FellBack(reason):
                self._audit("dht.fell_back", actor=self._node, reason=reason)
            case Recovered(away_ms):
                self._audit("dht.recovered", actor=self._node, away_ms=away_ms)
            case Conflicted(key, kept_at, revision):
                self._audit(
                    "dht.conflict", actor=self._node, key=key, kept_at=kept_at, revision=revision
                )
            case Switched(backend):
                self._audit("dht.switched", actor=self._node, backend=backend)


def _own_buckets(
    config: AgentConfig, fabric: NatsFabric, clock: Clock
) -> dict[Bucket, NatsKeyValue]:
    """Return the buckets as this node uses them while it is a voter.

    Made with a copy on each of today's voters; the steward keeps that in step with the cluster.
    """
    voters = sum(entry.voter for entry in config.cluster.nodes)
    return {
        bucket: NatsKeyValue(
            fabric,
            bucket,
            clock=clock,
            replicas=voters,
            store_bytes_max=config.resources.store_bytes_max,
        )
        for bucket in (DHT, PROVIDERS)
    }
