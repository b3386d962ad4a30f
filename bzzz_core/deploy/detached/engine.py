"""The engine of a detached run: a process of its own that no terminal can end.

    python -P -m bzzz_core.deploy.detached.engine DIRECTORY LOCK

DIRECTORY is the run's, see `place.py`. LOCK is the number of a descriptor by which the run is
locked already: there is no moment at which it looks dead. Everything else it is told by files;
references to secrets are resolved here, in the environment of who started it.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Final

import msgspec

from bzzz_core.clock import SystemClock
from bzzz_core.deploy import core_dumps, headless
from bzzz_core.deploy.detached.orders import while_told
from bzzz_core.deploy.detached.place import Run
from bzzz_core.deploy.events import Began
from bzzz_core.deploy.fleet import OpenSession
from bzzz_core.deploy.headless import Work
from bzzz_core.deploy.report import Report
from bzzz_core.deploy.ssh.session import session
from bzzz_core.deploy.steering import Steering

_OTHERS: Final = 0o077


def work(run: Run, *, open_session: OpenSession = session) -> int:
    """Do what a run was asked, and return its exit code; every event stands in its file."""
    asked, clock = run.asked(), SystemClock()

    async def beside(steering: Steering, work: Work) -> int:
        steering.hold = asked.hold
        return await while_told(run, steering, clock, work)

    with run.events.open("a", encoding="utf-8") as out:
        out.write(msgspec.json.encode(Began(run.id, os.getpid())).decode() + "\n")
        out.flush()
        return headless.main(
            run.answers,
            Report(out, as_json=True),
            mode="apply",
            yes=True,
            base=run.base,
            open_session=open_session,
            wishes=asked.wishes,
            beside=beside,
        )


def main() -> int:
    """Leave what belongs to a terminal behind, and work.

    The lock is not passed on: a program that we start could outlive us with it.
    """
    directory, lock = sys.argv[1:]
    os.set_inheritable(int(lock), False)  # noqa: FBT003  it takes no name
    os.umask(_OTHERS)
    core_dumps.forbid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    return work(Run(Path(directory)))


if __name__ == "__main__":
    raise SystemExit(main())
