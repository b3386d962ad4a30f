"""`bzzz-agent` as a program: what its help costs, and what is loaded for it."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("asyncio", "cryptography", "httpx", "msgspec", "nats", "pydantic", "ssl", "yaml")
"""Each costs more than all commands together."""


def test_help_loads_every_command_and_nothing_heavy() -> None:
    code = (
        "import sys; from bzzz_core.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print(*(name for name in {HEAVY} if name in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert "  ucxl " in done.stdout
    assert done.stderr.split() == []
