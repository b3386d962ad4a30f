"""One agent for one data directory: what lies there is one node's word, and has one speaker.

Two agents with the vote file of one voter would be one voter with two minds, and each counts its
starts in the same file. Ports do not keep them apart, for they can be set. The lock is the
kernel's: however an agent ends, it is free at once. The broker's store has its own
(`fabric.store.held`), because on hosts another process runs the broker.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bzzz_core.errors import AlreadyRunning, BzzzError
from bzzz_core.trust import private_files


@contextmanager
def held(data: Path) -> Iterator[None]:
    """Be the only agent on this data directory while the block lasts.

    Raises:
        AlreadyRunning: Another one is; nothing was touched.
        BzzzError: The directory cannot be used.
    """
    try:
        lock = private_files.lock(data / "agent.lock")
    except BlockingIOError as exc:
        raise AlreadyRunning(
            f"another agent runs on {data}; end that one, or give each node its own data directory"
        ) from exc
    except OSError as exc:
        raise BzzzError(f"cannot use the data directory {data}: {exc.strerror}") from exc
    with lock:
        yield
