"""Setup in a process that is killed by itself, hard, after its n-th journal entry.

python -m tests.testbed.dying_operator ANSWERS N
"""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path
from typing import Any

from bzzz_core.deploy import headless, operation
from bzzz_core.deploy.journal import Journal
from bzzz_core.deploy.report import Report


class DyingJournal(Journal):
    """A journal after whose n-th entry nothing comes any more."""

    left = 0

    def write(self, at: str, entry: Any, *, durable: bool = True) -> None:
        """Write, and die if that was the last one."""
        super().write(at, entry, durable=durable)
        DyingJournal.left -= 1
        if DyingJournal.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    """Run setup; return its exit code if it comes so far."""
    answers, after = sys.argv[1:]
    DyingJournal.left = int(after)
    vars(operation)["Journal"] = DyingJournal
    out = io.StringIO()
    code = headless.main(Path(answers), Report(out, as_json=True), mode="apply", yes=True)
    if code:
        sys.stdout.write(out.getvalue())
    return code


if __name__ == "__main__":
    raise SystemExit(main())
