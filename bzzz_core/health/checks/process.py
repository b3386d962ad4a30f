"""This process and its machine: memory, file descriptors, the event loop.

These three can go bad by a fault of ours, and a new start mends that: they are the ones for which
the agent ends itself. The machine's memory is not ours to mend.
"""

from __future__ import annotations

from typing import Final

from bzzz_core.health.check import Check, Finding, above, below, ok, unknown
from bzzz_core.telemetry.loop_lag import LoopLag
from bzzz_core.telemetry.process import Memory, descriptors, memory

OWN_BYTES_MAX: Final = 512 << 20
"""`MemoryMax=` of the agent's unit (`deploy.units`): beyond it the kernel ends the process."""
_MIB: Final = 1 << 20
_OFTEN_MS: Final = 15_000
_TIMEOUT_MS: Final = 5_000
_LAG_WARN_MS: Final = 250
"""More than a heartbeat (200 ms): others begin to wonder."""
_LAG_FAIL_MS: Final = 5_000
"""More than any deadline within the cluster: this node takes no part any more."""


def memory_checks() -> tuple[Check, Check]:
    """Return the checks of this process's memory and of the machine's."""

    async def own() -> Finding:
        return judge_own(memory())

    async def machine() -> Finding:
        return judge_machine(memory())

    return (
        Check(
            name="memory",
            look=own,
            interval_ms=_OFTEN_MS,
            timeout_ms=_TIMEOUT_MS,
            critical=True,
            failures=3,
        ),
        Check(
            name="machine-memory",
            look=machine,
            interval_ms=2 * _OFTEN_MS,
            timeout_ms=_TIMEOUT_MS,
            failures=3,
        ),
    )


def judge_own(now: Memory) -> Finding:
    """Judge how near this process is to its limit."""
    words = f"the agent uses {now.own_bytes // _MIB} of {OWN_BYTES_MAX // _MIB} MiB"
    return above(now.own_bytes, warn=0.5 * OWN_BYTES_MAX, fail=0.9 * OWN_BYTES_MAX, words=words)


def judge_machine(now: Memory) -> Finding:
    """Judge what the machine has left."""
    if not now.total_bytes:
        return unknown("the machine does not say how much memory it has")
    percent = now.available_bytes * 100 / now.total_bytes
    words = f"{now.available_bytes // _MIB} MiB ({percent:.0f} %) of the machine's memory are free"
    return below(percent, warn=10, fail=3, words=words)


def descriptor_check() -> Check:
    """Return the check of how many file descriptors are left."""

    async def look() -> Finding:
        return judge_descriptors(*descriptors())

    return Check(
        name="descriptors",
        look=look,
        interval_ms=4 * _OFTEN_MS,
        timeout_ms=_TIMEOUT_MS,
        critical=True,
    )


def judge_descriptors(used: int, most: int | None) -> Finding:
    """Judge how near this process is to its limit of open files."""
    if most is None:
        return ok(f"{used} file descriptors are open, without a limit")
    words = f"{used} of {most} file descriptors are open"
    return above(used, warn=0.6 * most, fail=0.9 * most, words=words)


def loop_check(lag: LoopLag) -> Check:
    """Return the check of how late the event loop was since the last look."""

    async def look() -> Finding:
        return judge_lag(lag.take_worst_ms())

    return Check(
        name="event-loop",
        look=look,
        interval_ms=_OFTEN_MS,
        timeout_ms=_TIMEOUT_MS,
        critical=True,
        failures=3,
        successes=2,
    )


def judge_lag(worst_ms: int) -> Finding:
    """Judge the worst lateness of a while."""
    words = f"the event loop was late by up to {worst_ms} ms"
    return above(worst_ms, warn=_LAG_WARN_MS, fail=_LAG_FAIL_MS, words=words)
