"""What the process itself can be asked: CPU, memory, files, and the event loop's delays."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable, Iterator

import psutil

from bzzz_core.model import Sample
from bzzz_core.telemetry.loop_lag import LoopLag
from bzzz_core.telemetry.metrics import Collector
from bzzz_core.telemetry.metrics_catalogue import (
    CPU_SECONDS,
    LOOP_LAG,
    LOOP_STALLS,
    MAX_FDS,
    MEMORY_USED,
    OPEN_FDS,
    RESIDENT,
    THREADS,
    Reading,
)


def of_process(lag: LoopLag) -> Collector:
    """Return what reads this process; well under a millisecond."""
    process = psutil.Process()

    def collect() -> Iterable[Reading]:
        try:
            with process.oneshot():
                times = process.cpu_times()
                yield CPU_SECONDS.at(times.user + times.system)
                yield RESIDENT.at(process.memory_info().rss)
                yield OPEN_FDS.at(process.num_fds())
                yield THREADS.at(process.num_threads())
        except psutil.Error:
            return  # Not readable here; it is never shown as 0.
        yield MAX_FDS.at(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        yield LOOP_LAG.at(lag.longest_s)
        yield LOOP_STALLS.at(lag.stalls)

    return collect


def of_machine(sample: Callable[[], Sample]) -> Collector:
    """Return what reads the machine's newest sample."""

    def collect() -> Iterator[Reading]:
        found = sample()
        if found.memory_used_bytes is not None and found.memory_total_bytes:
            yield MEMORY_USED.at(found.memory_used_bytes / found.memory_total_bytes)

    return collect
