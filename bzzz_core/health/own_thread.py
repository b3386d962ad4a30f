"""Does what may hang for ever (a disk, a driver) in a thread that nobody waits for.

Threads of an executor are joined when the interpreter ends, and a pool has a number of them: one
that hangs would hold the process, or take the place of others' work. These are daemons, one at a
time for each user.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from bzzz_core.errors import BzzzError

Result = TypeVar("Result")


class OwnThread:
    """One user's thread."""

    def __init__(self, name: str) -> None:
        """Start none yet."""
        self._name = name
        self._last: Future[object] | None = None

    async def do(self, work: Callable[[], Result]) -> Result:
        """Return what `work` returns; a caller that is cancelled leaves the thread to itself.

        Raises:
            BzzzError: What was asked before has not come back.
        """
        if self._last is not None and self._last.running():
            raise BzzzError("an earlier look has not come back: the disk or a driver hangs")
        future: Future[Result] = Future()
        self._last = future  # type: ignore[assignment]
        threading.Thread(target=_run, args=(future, work), name=self._name, daemon=True).start()
        return await asyncio.wrap_future(future)


def _run(future: Future[Result], work: Callable[[], Result]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except (BzzzError, OSError) as exc:
        future.set_exception(exc)
    except BaseException as exc:
        future.set_exception(exc)
        raise
    else:
        future.set_result(result)
