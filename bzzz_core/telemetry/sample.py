"""Reads this node's resources. None means "could not be read"; it is never shown as 0.

CPU and memory come from psutil and cost well under a millisecond. NVML can block on a broken card
(a GPU "fallen off the bus" hangs its driver), so it is asked in a thread of its own, seldom, and a
node without a driver asks again only every minute.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import netifaces
import psutil
import pynvml

from bzzz_core.model import Gpu, Sample
from bzzz_core.ports import Clock

_GPU_PERIOD_MS: Final = 5_000
_GPU_RETRY_MS: Final = 60_000


class Sampler:
    """Keeps the newest sample of this node; `run` refreshes the slow part."""

    def __init__(self, *, clock: Clock) -> None:
        """Prime the CPU counters; the first reading is then a real one."""
        self._clock = clock
        self._gpus: tuple[Gpu, ...] = ()
        self.latest = Sample()
        """What `sample` returned last."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nvml")
        psutil.cpu_percent(None)

    async def run(self) -> None:
        """Ask NVML again and again until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                gpus = await loop.run_in_executor(self._thread, read_gpus)
                self._gpus = gpus or ()
                await self._clock.sleep_ms(_GPU_RETRY_MS if gpus is None else _GPU_PERIOD_MS)
        finally:
            # A call that hangs in the driver must not hold up the agent's end.
            self._thread.shutdown(wait=False, cancel_futures=True)

    def sample(self) -> Sample:
        """Return CPU use since the call before, load and memory now, and the last known GPUs."""
        memory = psutil.virtual_memory()
        self.latest = Sample(
            cpu_percent=psutil.cpu_percent(None),
            cpu_count=psutil.cpu_count() or None,
            load_1m=round(psutil.getloadavg()[0], 2),
            memory_used_bytes=memory.total - memory.available,
            memory_total_bytes=memory.total,
            gpus=self._gpus,
        )
        return self.latest


def read_gpus() -> tuple[Gpu, ...] | None:
    """Return the NVIDIA GPUs as NVML sees them, or None where no working driver answers.

    A field the card does not support (unified memory, MIG parents) is None; the card stays listed.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return tuple(_read_gpu(handle) for handle in handles)
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()


def _read_gpu(handle: Any) -> Gpu:
    name = _ask(pynvml.nvmlDeviceGetName, handle)
    memory = _ask(pynvml.nvmlDeviceGetMemoryInfo, handle)
    utilization = _ask(pynvml.nvmlDeviceGetUtilizationRates, handle)
    return Gpu(
        name="unknown GPU" if name is None else str(name),
        memory_used_bytes=None if memory is None else int(memory.used),
        memory_total_bytes=None if memory is None else int(memory.total),
        utilization_percent=None if utilization is None else float(utilization.gpu),
    )


def _ask(question: Any, handle: Any) -> Any:
    try:
        return question(handle)
    except pynvml.NVMLError:
        return None


def local_addresses() -> frozenset[str]:
    """Return every IPv4 and IPv6 address of this machine, without zone suffixes."""
    families = (netifaces.AF_INET, netifaces.AF_INET6)
    return frozenset(
        str(entry["addr"]).partition("%")[0]
        for interface in netifaces.interfaces()
        for family in families
        for entry in netifaces.ifaddresses(interface).get(family, [])
        if "addr" in entry
    )
