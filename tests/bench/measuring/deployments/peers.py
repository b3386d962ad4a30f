"""Other deployment tools, in a virtual environment of their own that nothing else uses."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

WANTED: Final = ("pyinfra==3.10.0", "ansible-core==2.19.14")
_PIP_S_MAX: Final = 600


def directory() -> Path | None:
    """Return where their programs are, installing them if need be; None: they cannot be had."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / "bzzz" / "bench-peers"
    mark = place / "installed"
    if not (mark.exists() and mark.read_text() == "\n".join(WANTED)):
        print(f"installing {', '.join(WANTED)}", file=sys.stderr, flush=True)
        venv.create(place, clear=True, with_pip=True)
        done = subprocess.run(
            [place / "bin" / "pip", "install", "--quiet", *WANTED],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            timeout=_PIP_S_MAX,
        )
        if done.returncode:
            print("they cannot be installed here and are left out", file=sys.stderr)
            return None
        mark.write_text("\n".join(WANTED))
    return place / "bin"
