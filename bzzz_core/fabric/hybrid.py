"""Messages with somewhere to go while no broker can be reached: to this node itself.

In front stands the real fabric, behind it one inside this process. While the real one is not
attached, what is published reaches this node's own interest, and nobody else's: parts of one agent
go on talking to each other. Messages are at most once anyway, so nothing is queued and nothing is
told later. A message goes one way or the other, never both.

- No breaker is needed: that the real fabric is not attached is known without asking it. What waits
  for brokers (the hash table) has one (`bzzz_core.breaker`).
- Requests do not fall back. An answer decides something, and this node's own is not the cluster's.
- Stored things do not fall back here: compare-and-set and fenced writes never do, and keys whose
  last writer wins do in the hash table (`bzzz_core.dht.hybrid`), which queues and reconciles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from bzzz_core.breaker import Health
from bzzz_core.errors import PermissionDenied, TransportError
from bzzz_core.fabric.backend_metrics import BackendMetrics
from bzzz_core.fabric.layout import inbox_prefix
from bzzz_core.fabric.memory import MemoryHub
from bzzz_core.model import FabricState, NodeId
from bzzz_core.ports import Clock, Fabric, Message, Subscription
from bzzz_core.telemetry import logs

_ATTACHED = (FabricState.CONNECTED, FabricState.DEGRADED)
_HERE = NodeId("here")


class Backend(StrEnum):
    """Where messages go."""

    REAL = "real"
    """To the brokers; while they are away publishing fails."""
    HYBRID = "hybrid"
    """To the brokers; while they are away to this node itself."""
    LOCAL = "mock"
    """To this node itself, always."""


@dataclass(frozen=True, slots=True)
class FellBack:
    """Messages stay on this node from now on."""

    reason: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """Messages reach the cluster again."""

    away_ms: int


@dataclass(frozen=True, slots=True)
class Switched:
    """An operator or the configuration chose another backend."""

    backend: Backend


Event = FellBack | Recovered | Switched


@dataclass(frozen=True, slots=True)
class _Pair:
    """Interest in both fabrics."""

    real: Subscription
    local: Subscription

    async def stop(self) -> None:
        """End both."""
        await self.local.stop()
        await self.real.stop()


class HybridFabric:
    """A fabric over two; satisfies `ports.Fabric`."""

    def __init__(
        self,
        real: Fabric,
        *,
        clock: Clock,
        backend: Backend,
        notify: Callable[[Event], None] = lambda _: None,
    ) -> None:
        """Serve at once.

        Args:
            real: What is in front; who made it also runs it.
            clock: For latencies and how long the brokers were away.
            backend: Where messages go; `switch` changes it.
            notify: Told of fallback, recovery and switches; must not block and not raise.
        """
        self._real = real
        self._local = MemoryHub(clock=clock).attach(_HERE)
        self._clock = clock
        self._backend = backend
        self._notify = notify
        self._log = logs.get("fabric")
        self._away_since_ms: int | None = None
        self.metrics = {"real": BackendMetrics(), "local": BackendMetrics()}

    @property
    def state(self) -> FabricState:
        """Return how well this node is attached: DEGRADED while it talks to itself."""
        if self.health is Health.DEGRADED:
            return FabricState.DEGRADED
        return FabricState.CONNECTED if self._backend is Backend.LOCAL else self._real.state

    @property
    def health(self) -> Health:
        """Return how publishing does."""
        if self._backend is Backend.LOCAL or self._real.state in _ATTACHED:
            return Health.HEALTHY
        return Health.DEGRADED if self._backend is Backend.HYBRID else Health.FAILED

    def switch(self, backend: Backend) -> None:
        """Let messages go elsewhere from now on; interest stays."""
        if backend is not self._backend:
            self._backend = backend
            self._away_since_ms = None
            self._notify(Switched(backend))

    async def publish(self, subject: str, data: bytes) -> None:
        """Hand `data` to the brokers or, while they are away, to this node's own interest.

        Raises:
            TransportError: The brokers are away, and there is no falling back.
        """
        if self._backend is not Backend.LOCAL:
            started_ms = self._clock.now_ms()
            try:
                await self._real.publish(subject, data)
            except TransportError as exc:
                self.metrics["real"].failed()
                if self._backend is Backend.REAL:
                    raise
                self._fall_back(str(exc))
            else:
                self.metrics["real"].succeeded(self._clock.now_ms() - started_ms)
                self._recover()
                return
        await self._local.publish(subject, data)
        self.metrics["local"].succeeded(0)

    async def subscribe(self, subject: str, handler: Callable[[Message], None]) -> Subscription:
        """Call `handler` for each message, wherever it comes from; see `ports.Fabric.subscribe`."""
        local = await self._local.subscribe(subject, handler)
        try:
            return _Pair(await self._real.subscribe(subject, handler), local)
        except PermissionDenied:
            await local.stop()
            raise

    async def request(self, subject: str, data: bytes, *, timeout_ms: int) -> bytes:
        """Ask the cluster, or with the local backend this node; see `ports.Fabric.request`."""
        asked = self._local if self._backend is Backend.LOCAL else self._real
        return await asked.request(subject, data, timeout_ms=timeout_ms)

    async def reply(self, message: Message, data: bytes) -> None:
        """Answer where the question came from; see `ports.Fabric.reply`."""
        asked_here = message.reply.startswith(f"{inbox_prefix(_HERE)}.")
        await (self._local if asked_here else self._real).reply(message, data)

    def _fall_back(self, reason: str) -> None:
        if self._away_since_ms is None:
            self._away_since_ms = self._clock.now_ms()
            self._log.warning("messages stay on this node", reason=reason)
            self._notify(FellBack(reason))

    def _recover(self) -> None:
        if self._away_since_ms is not None:
            away_ms = self._clock.now_ms() - self._away_since_ms
            self._away_since_ms = None
            self._log.warning("messages reach the cluster again", away_ms=away_ms)
            self._notify(Recovered(away_ms))
