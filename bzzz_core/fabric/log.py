"""A log on JetStream; satisfies `ports.Log` once `open` has returned.

Reading and subscribing ask any replica: entries never change, and a replica that lags gives fewer.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

from bzzz_core.errors import BrokerError
from bzzz_core.fabric.follower import Follower, Stored
from bzzz_core.fabric.jetstream import REQUEST_ID
from bzzz_core.fabric.kept import Kept
from bzzz_core.fabric.keys import check_value
from bzzz_core.fabric.layout import LogStream
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.fabric.stream import ANSWER_MS_MAX, Stream
from bzzz_core.model import Revision
from bzzz_core.ports import Clock, LogEntry
from bzzz_core.telemetry import logs

_BATCH_BYTES_MAX: Final = 4 * 1_048_576


class NatsLog:
    """One log, as one node uses it."""

    def __init__(
        self,
        fabric: NatsFabric,
        stream: LogStream,
        *,
        clock: Clock,
        replicas: int | None = None,
        store_bytes_max: int = 0,
    ) -> None:
        """Ask nothing yet; the parameters are those of `NatsKeyValue`."""
        self._fabric = fabric
        self._clock = clock
        self._subject = stream.subject
        settings = None if replicas is None else stream.settings(replicas, store_bytes_max)
        self._stream = Stream(fabric, name=stream.stream, clock=clock, settings=settings)
        self.counters: Counter[str] = Counter()

    async def open(self, timeout_ms: int = 60_000) -> None:
        """Find the log or create it; see `Stream.open`."""
        await self._stream.open(timeout_ms)

    async def append(self, data: bytes, *, request_id: str | None = None) -> Revision:
        """Add an entry; see `ports.Log.append`."""
        check_value(data)
        headers = None if request_id is None else {REQUEST_ID: request_id}
        return await self._stream.write(self._subject, data, headers, "appending")

    async def read(self, start: Revision, *, count: int = 256) -> tuple[LogEntry, ...]:
        """Return entries from `start` on; see `ports.Log.read`."""
        batch = await self._stream.read_on(
            self._subject,
            start,
            count=count,
            bytes_max=_BATCH_BYTES_MAX,
            timeout_ms=ANSWER_MS_MAX,
        )
        try:
            return tuple(
                LogEntry(Revision(int(message.headers["Nats-Sequence"])), message.data)
                for message in batch.messages
            )
        except (KeyError, ValueError) as exc:
            raise BrokerError(f"an entry of {self._stream.name} came damaged: {exc!r}") from exc

    async def end(self) -> Revision:
        """Return the revision of the last entry; see `ports.Log.end`."""
        return Revision((await self._stream.info()).state.last_seq)

    async def subscribe(
        self, start: Revision, handler: Callable[[LogEntry], None]
    ) -> LogSubscription:
        """Call `handler` for every entry; see `ports.Log.subscribe`."""
        sink = LogSubscription(handler, self.counters)
        follower = Follower(
            self._stream, pattern=self._subject, start=max(1, start), sink=sink, clock=self._clock
        )
        sink.kept = self._fabric.keep(follower.run, follower.look)
        return sink


class LogSubscription:
    """Tells a handler what a follower reads."""

    def __init__(self, handler: Callable[[LogEntry], None], counters: Counter[str]) -> None:
        """Use `NatsLog.subscribe`."""
        self.kept: Kept | None = None
        self._handler = handler
        self._counters = counters
        self._stopped = False

    async def stop(self) -> None:
        """End it; no handler call starts afterwards."""
        self._stopped = True
        if self.kept is not None:
            self.kept.stop()

    def take(self, stored: Stored) -> None:
        """Tell of the next entry, in a call of the loop's own."""
        entry = LogEntry(stored.revision, stored.data)
        asyncio.get_running_loop().call_soon(self._deliver, entry)

    def caught_up(self, now_ms: int) -> None:
        """Know nothing to do."""

    def lost(self) -> None:
        """Know nothing to do."""

    def restart(self, *, anew: bool) -> None:
        """Begin again: this is another log of the same name."""
        assert anew, "a place in a log does not get lost"
        self._counters["logs_made_anew"] += 1
        logs.get("fabric").warning("the log was made anew; reading it from its start")

    def next_due_ms(self) -> int | None:
        """Return None: nothing ends by time."""
        return None

    def _deliver(self, entry: LogEntry) -> None:
        if self._stopped:
            return
        done = False
        try:
            self._handler(entry)
            done = True
        finally:
            self._counters["handler_failures"] += not done
