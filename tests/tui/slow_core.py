"""How much slower than where the budgets were set a core is, so that they hold on any."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Final

BARE_MS: Final = 20.0
"""CPU of an interpreter that does nothing, where the budgets were set."""
_TIMES: Final = 3


def children_cpu_ms(work: Callable[[], object]) -> float:
    """Return the CPU that processes took which `work` started and waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1_000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


@cache
def slowness() -> float:
    """Return by how much a bare interpreter costs more here, 1 at least."""
    command = [sys.executable, "-c", "pass"]
    spent = [children_cpu_ms(lambda: subprocess.run(command, check=True)) for _ in range(_TIMES)]
    return max(1.0, min(spent) / BARE_MS)
