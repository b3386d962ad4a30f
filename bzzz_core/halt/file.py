"""What a node keeps of the emergency stop across restarts: one file in its data directory.

A node that starts alone, without a quorum, starts as it was: stopped if it was stopped. A file that
is there and cannot be read counts as a stop, because nobody knows any more that it was none; who
resumes the cluster's work ends it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from bzzz_core.errors import IntegrityError, TrustError
from bzzz_core.halt.record import Decision, Kept, Own, decode_kept, encode
from bzzz_core.trust import private_files

NAME: Final = "halt"
UNREADABLE: Final = "what this node kept of the emergency stop cannot be read"


class HaltFile:
    """One node's copy."""

    def __init__(self, data: Path, *, cluster: str, now: Callable[[], str]) -> None:
        """Take the node's data directory; nothing is read yet."""
        self.path = data / NAME
        self._cluster = cluster
        self._now = now

    def load(self) -> Kept:
        """Return what was kept; nothing if this node never heard of a stop."""
        nothing = Kept(decision=Decision(cluster=self._cluster))
        if not self.path.exists():
            return nothing
        try:
            return decode_kept(private_files.read(self.path), cluster=self._cluster)
        except (IntegrityError, TrustError) as exc:
            return nothing.stopped(
                Own(by="bzzz-agent", at=self._now(), reason=f"{UNREADABLE}: {exc}"[:500])
            )

    def store(self, kept: Kept, *, owner: tuple[int, int] | None = None) -> None:
        """Keep it; durable on return. With an `owner` (user, group) it becomes theirs.

        Raises:
            IntegrityError: It cannot be written; the older one stays.
        """
        try:
            private_files.replace(self.path, encode(kept), owner=owner)
        except OSError as exc:
            raise IntegrityError(f"{self.path} cannot be written: {exc.strerror}") from exc
