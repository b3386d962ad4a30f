"""What a process of this machine has used, as the kernel counts it (`/proc`)."""

from __future__ import annotations

import os
import re
from pathlib import Path


def cpu_ms(pid: int) -> float:
    """Return the CPU time a process has used, its children not counted; in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return 1_000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Return the memory a process has in use, in MB of a million bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None, f"process {pid} has no memory of its own"
    return int(found[1]) * 1_024 / 1e6
