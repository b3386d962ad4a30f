"""What starting a program costs: its help, and a key pressed in a shell that completes words."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

PROGRAMS: Final = {"bzzz-agent": "bzzz_core.cli", "bzzz-tui": "bzzz_tui.cli"}
"""Program -> its module."""
HELP_CPU_MS_MAX: Final = 120.0
COMPLETED_CPU_MS_MAX: Final = 150.0
COMPLETED: Final = (
    "bzzz-agent ",
    "bzzz-agent config set ",
    "bzzz-agent logs level ",
    "bzzz-tui monitor --cluster ",
    "bzzz-tui monitor --theme ",
    "bzzz-tui monitor --view ",
)
"""Lines with the cursor behind them."""
RUNS: Final = 5


def help_ms(program: str) -> float:
    """Return the least CPU milliseconds of some calls of `--help`."""
    return min(_cpu_ms(program, "--help") for _ in range(RUNS))


def completed_ms(line: str) -> float:
    """Return the same of completing the word behind a line, asked for as bash does."""
    words = line.split()
    program = words[0]
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(words))}
    asked[f"_{program.replace('-', '_').upper()}_COMPLETE"] = "bash_complete"
    return min(_cpu_ms(program, **asked) for _ in range(RUNS))


def _cpu_ms(program: str, *arguments: str, **environment: str) -> float:
    """Return the CPU time of one process with its children, in milliseconds."""
    with subprocess.Popen(
        [sys.executable, "-m", PROGRAMS[program], *arguments],
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return (usage.ru_utime + usage.ru_stime) * 1000
