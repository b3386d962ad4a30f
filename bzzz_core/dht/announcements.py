"""What this node tells of providers, told again before it expires.

A provider's name lives as long as somebody repeats it: a node that dies falls silent, and what it
told is gone after one lifetime. Repeating happens twice a lifetime, so that one failed attempt is
made good in time. A whole round is spread over many small steps, because a node may tell of
thousands of keys.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from bzzz_core.dht.entry import PROVIDERS_MAX
from bzzz_core.errors import BzzzError, EntryRefused
from bzzz_core.ports import Clock
from bzzz_core.telemetry import logs

LIFETIME_S_MIN: Final = 2
LIFETIME_S_MAX: Final = 3_600
_AT_ONCE: Final = 16
_RETRY_MS: Final = 1_000

Tell = Callable[[str, frozenset[str]], Awaitable[None]]
"""Writes which providers this node names for a key; none removes what it told."""


class Announcements:
    """The names this node gives out, by key."""

    def __init__(
        self, *, tell: Tell, clock: Clock, lifetime_s: int, counters: Counter[str]
    ) -> None:
        """Start with nothing to tell.

        Args:
            tell: Writes them where others look.
            clock: For the waits between rounds.
            lifetime_s: How long others believe it, 2 to 3600.
            counters: Counts `renewals` and `renewal_failures`.
        """
        assert LIFETIME_S_MIN <= lifetime_s <= LIFETIME_S_MAX
        self.lifetime_s = lifetime_s
        self._tell = tell
        self._clock = clock
        self._counters = counters
        self._log = logs.get("dht")
        self._told: dict[str, frozenset[str]] = {}
        self._silent: set[str] = set()
        """Keys whose last telling failed: the next one is tried soon."""

    def named(self, key: str) -> frozenset[str]:
        """Return the providers this node names for a key."""
        return self._told.get(key, frozenset())

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys that this node tells of."""
        return tuple(self._told)

    async def add(self, key: str, provider_id: str) -> None:
        """Name a provider, now and until it is removed.

        Raises:
            EntryRefused: This node names too many for the key.
            BzzzError: It could not be told now; it will be tried again.
        """
        self.note(key, provider_id)
        await self._try(key)

    def note(self, key: str, provider_id: str) -> None:
        """Name a provider within about a second, if that is possible then.

        Raises:
            EntryRefused: This node names too many for the key.
        """
        named = self.named(key) | {provider_id}
        if len(named) > PROVIDERS_MAX:
            raise EntryRefused(f"a node names at most {PROVIDERS_MAX} providers for a key")
        self._told[key] = named
        self._silent.add(key)

    async def remove(self, key: str, provider_id: str) -> None:
        """Name a provider no more.

        Raises:
            BzzzError: It could not be told now; it is not renewed, and so it expires.
        """
        before = self.named(key)
        named = before - {provider_id}
        if named:
            self._told[key] = named
        else:
            self._told.pop(key, None)
        if named != before:
            await self._try(key)

    async def run(self) -> None:
        """Repeat everything twice a lifetime, and what failed each second, until cancelled."""
        half_ms = self.lifetime_s * 1000 // 2
        due_ms = self._clock.now_ms() + half_ms
        while True:
            pause_ms = min(due_ms - self._clock.now_ms(), _RETRY_MS)
            await self._clock.sleep_ms(max(pause_ms, 1))
            if self._clock.now_ms() >= due_ms:
                due_ms = self._clock.now_ms() + half_ms
                await self._repeat(self.keys)
            elif self._silent:
                await self._repeat(tuple(self._silent))

    async def _repeat(self, keys: tuple[str, ...]) -> None:
        for first in range(0, len(keys), _AT_ONCE):
            async with asyncio.TaskGroup() as telling:
                for key in keys[first : first + _AT_ONCE]:
                    telling.create_task(self._renew(key))

    async def _renew(self, key: str) -> None:
        try:
            await self._try(key)
        except BzzzError as exc:
            self._counters["renewal_failures"] += 1
            self._log.info("a provider could not be told of", slot=key, reason=str(exc))
        else:
            self._counters["renewals"] += 1

    async def _try(self, key: str) -> None:
        self._silent.add(key)
        await self._tell(key, self.named(key))
        self._silent.discard(key)
