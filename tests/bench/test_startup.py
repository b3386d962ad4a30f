"""A command that only prints help makes nobody wait: lazy imports are part of the design."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HELP_CPU_MS_MAX = 120
RUNS = 5


def cpu_ms(*command: str) -> float:
    """Return the CPU time of one process with its children, in milliseconds."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return (usage.ru_utime + usage.ru_stime) * 1000


@pytest.mark.parametrize("module", ["bzzz_core.cli", "bzzz_tui.cli"])
def test_help_costs_little(module: str) -> None:
    least = min(cpu_ms(sys.executable, "-m", module, "--help") for _ in range(RUNS))
    print(f"\n{module} --help: {least:.0f} ms CPU (budget {HELP_CPU_MS_MAX} ms)")
    assert least <= HELP_CPU_MS_MAX
