"""The real clock. Everything that decides by time takes a `Clock`; only this file reads one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime


def _choose() -> Callable[[], int]:
    """Return the clock that goes on while the machine sleeps, where there is one.

    Linux's CLOCK_MONOTONIC stands still during suspend: a leader that wakes after minutes would
    believe that a majority had heard it a moment ago.
    """
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns if boot is None else lambda: time.clock_gettime_ns(boot)


_now_ns = _choose()


class SystemClock:
    """Monotonic milliseconds of this process's machine."""

    def now_ms(self) -> int:
        """Return monotonic milliseconds from an arbitrary origin."""
        return _now_ns() // 1_000_000

    async def sleep_ms(self, duration_ms: int) -> None:
        """Sleep on the event loop."""
        await asyncio.sleep(duration_ms / 1000)


def utc_now() -> str:
    """Return wall-clock UTC as RFC 3339 with milliseconds, for people; never to decide by."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def utc_instant() -> datetime:
    """Return wall-clock UTC, for the validity dates of certificates; never to decide by."""
    return datetime.now(UTC)
