"""What a node remembers of the cluster-wide configuration across restarts: one file.

A node that starts without a quorum starts with what it knew last. The agent writes the file, the
broker's own process reads it. It holds no secret, and it is 0600 like everything that only the
service needs. A file that is damaged counts as none: the leader will say it again.
"""

from __future__ import annotations

from pathlib import Path

from bzzz_core.config.layers import ClusterValues
from bzzz_core.errors import IntegrityError, TrustError
from bzzz_core.shared_config.record import SharedConfig, decode, encode, values_of
from bzzz_core.trust import private_files


class SharedConfigCache:
    """The record as this node last knew it."""

    def __init__(self, data: Path, *, cluster: str) -> None:
        """Take the node's data directory; nothing is read yet."""
        self.path = data / "cluster-config"
        self._cluster = cluster

    def load(self) -> SharedConfig:
        """Return the newest record stored, or an empty one."""
        if self.path.exists():
            try:
                return decode(private_files.read(self.path), cluster=self._cluster)
            except (IntegrityError, TrustError):
                pass
        return SharedConfig(self._cluster)

    def values(self) -> ClusterValues:
        """Return the newest values stored, by key."""
        return values_of(self.load())

    def store(self, shared: SharedConfig) -> bool:
        """Keep a record if it is newer than the one kept; return whether it was.

        Raises:
            IntegrityError: It cannot be written; the older one stays.
        """
        if shared.number <= self.load().number:
            return False
        try:
            private_files.replace(self.path, encode(shared))
        except OSError as exc:
            raise IntegrityError(f"{self.path} cannot be written: {exc.strerror}") from exc
        return True
