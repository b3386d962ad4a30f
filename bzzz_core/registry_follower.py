"""Keeps this node's copy of the registry of nodes as new as the cluster's.

The leader's digests say which version is in force. A node that hears of a newer one fetches it,
from the stream where it may read it (voters), else from the leader (edges); keeps it in its cache,
from which the broker's own process learns it too; and tells whoever depends on who belongs to the
cluster. A voter also looks by itself now and then, since it can: a revocation must reach the broker
even where no digest arrives.

What could not be done (a full disk, a certificate that cannot be replaced) is done again until it
succeeds: the registry counts at once, the file and the consequences follow.

A node that is no member any more learns it from the registry itself (voters) or from the leader's
refusal (edges, for nobody reads the list to strangers). Only whoever leads answers questions, over
mutual TLS; those who could speak in its place are voters, who are trusted with more than that. It
is asked a few times before it is believed, and once there is no leader the count begins anew: the
next one may have read what the one before had not. Brokers that shut this node out for good after
a leader has said it once confirm it as well.

The copy never goes back: a reader of an isolated former stream leader cannot undo a revocation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from bzzz_core.enrolment.cache import RegistryCache
from bzzz_core.enrolment.registry import Registry, decode
from bzzz_core.errors import BzzzError, NotEnrolled, TransportError
from bzzz_core.model import ClusterId
from bzzz_core.ports import Clock
from bzzz_core.telemetry import logs

_LOOK_MS: Final = 5_000
_AGAIN_MS: Final = (250, 5_000)
_BELIEVED: Final = 3
"""Refusals in a row after which a node takes it that it was let go. They come within a second: that
is how long a revoked node has until the brokers shut it out."""

Fetch = Callable[[], Awaitable[bytes | None]]
"""Returns the record as it is now, or None if no leader has written one yet."""


class RegistryFollower:
    """This node's copy of the registry. Run `run` as long as the node runs."""

    def __init__(
        self,
        cache: RegistryCache,
        *,
        cluster: ClusterId,
        fetch: Fetch,
        changed: Callable[[Registry], Awaitable[None]],
        clock: Clock,
        looks: Callable[[], bool],
        ended: Callable[[str], None],
        shut_out: Callable[[], bool],
        doubt_broker: Callable[[], None],
    ) -> None:
        """Load the copy of the last run.

        Args:
            cache: Where the copy is kept.
            cluster: Whose registry it has to be.
            fetch: Reads the record.
            changed: Told of each newer registry, after it was kept.
            clock: For the waits.
            looks: Whether to fetch now and then without being told: voters do.
            ended: Told why, once the leader has refused this node for good.
            shut_out: Whether the brokers have been refusing this node for a while.
            doubt_broker: Told that the registry could not be read: perhaps the broker in use stands
                alone, since the others' know already that this node votes no more.

        Raises:
            IntegrityError: The copy is damaged.
        """
        self._cache = cache
        self._cluster = cluster
        self._fetch = fetch
        self._changed = changed
        self._clock = clock
        self._looks = looks
        self._ended = ended
        self._shut_out = shut_out
        self._doubt_broker = doubt_broker
        self._doubted = False
        self._failures = self._refusals = 0
        """How often in a row the registry was not had, and how often for want of membership."""
        self._refused = ""
        """What the leader has said since the registry was last had; empty: nothing."""
        self._registry = cache.load()
        self._wanted = self.version
        self._news = asyncio.Event()
        self._settling = asyncio.Lock()
        self._owed = self._registry is not None  # Perhaps the last run ended before it was done.
        self._log = logs.get("registry")

    @property
    def registry(self) -> Registry | None:
        """Return the newest registry known, or None while the genesis is in force."""
        return self._registry

    @property
    def version(self) -> int:
        """Return its version, 0 for the genesis."""
        return self._registry.version if self._registry else 0

    def heard(self, version: int) -> None:
        """Take note that this version is in force; fetching happens in `run`."""
        if version > self._wanted:
            self._wanted = version
            self._news.set()

    def doubt(self) -> None:
        """Make sure that this node is a member still: the leader has said that it is not."""
        self._doubted = True
        self._news.set()

    async def take(self, registry: Registry) -> None:
        """Keep a registry if it is newer, and tell of it; a leader calls it with its own."""
        if registry.version <= self.version:
            return
        self._registry = registry
        self._wanted = max(self._wanted, registry.version)
        self._log.info("registry changed", version=registry.version, nodes=len(registry.members))
        self._owed = True
        await self._settle()

    async def _settle(self) -> None:
        """Keep the registry and tell of it, one after the other; what fails stays owed."""
        async with self._settling:
            registry = self._registry
            if not self._owed or registry is None:
                return
            try:
                await asyncio.to_thread(self._cache.store, registry)
                await self._changed(registry)
            except (BzzzError, OSError) as exc:
                self._log.error("registry not followed", version=registry.version, reason=str(exc))
            else:
                self._owed = registry is not self._registry

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            self._news.clear()
            await self._settle()
            try:
                await self._look()
            except NotEnrolled as exc:
                self._be_refused(str(exc))
            except BzzzError as exc:
                self._fail(exc)
                if not isinstance(exc, TransportError):
                    self._refusals = 0  # Whoever leads next is asked as often.
                if self._refused and self._shut_out():
                    self._believe()
            else:
                self._failures = self._refusals = 0
                self._refused = ""
            await self._wait()

    def _fail(self, error: BzzzError) -> None:
        self._failures += 1
        self._log.info("registry not read", reason=str(error))
        self._doubt_broker()

    def _be_refused(self, reason: str) -> None:
        self._failures += 1
        self._refusals += 1
        self._refused = reason
        self._log.warning("refused as no member", times=self._refusals, reason=reason)
        if self._refusals >= _BELIEVED:
            self._believe()

    def _believe(self) -> None:
        self._ended(
            f"the leader says that {self._refused}; to bring this machine back, move its"
            " configuration away (its keys too, if it was revoked) and join with a new token"
        )

    async def _look(self) -> None:
        if not (self._looks() or self._doubted or self._wanted > self.version):
            return
        record = await self._fetch()
        if record is not None:
            await self.take(decode(record, cluster=self._cluster))
        self._doubted = False
        self._wanted = self.version  # Whoever claimed more than there is may claim it again.

    async def _wait(self) -> None:
        """Return after a while, or at once when a newer version was heard of."""
        if self._wanted > self.version or self._doubted or self._owed:
            least_ms, most_ms = _AGAIN_MS
            doublings = min(max(0, self._failures - 1), 8)
            await self._clock.sleep_ms(min(least_ms << doublings, most_ms))
            return
        async with asyncio.TaskGroup() as either:
            sleep = either.create_task(self._clock.sleep_ms(_LOOK_MS))
            news = either.create_task(self._news.wait())
            await asyncio.wait((sleep, news), return_when=asyncio.FIRST_COMPLETED)
            sleep.cancel()
            news.cancel()
