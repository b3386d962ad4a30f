"""What a node remembers of the registry across restarts: one file in its data directory.

The agent writes it whenever it learns a newer registry, and the broker's own process reads it: that
is how a join or a revocation reaches the broker's users without either process being restarted.
The file holds nothing secret (0640), but it decides who is let in: it is replaced in one step, is
durable before `store` returns, never goes back to an older version, and one that cannot be read is
an error rather than "nobody was revoked".
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bzzz_core.enrolment.registry import Registry, decode, encode
from bzzz_core.errors import IntegrityError
from bzzz_core.model import ClusterId
from bzzz_core.trust import private_files

_MODE: Final = 0o640
_BYTES_MAX: Final = 4_000_000


class RegistryCache:
    """The registry as this node last knew it."""

    def __init__(self, data: Path, *, cluster: ClusterId) -> None:
        """Take the node's data directory; nothing is read yet."""
        self._path = data / "registry"
        self._cluster = cluster

    @property
    def path(self) -> Path:
        """Return where the file is."""
        return self._path

    def load(self) -> Registry | None:
        """Return the newest registry stored, or None if none ever was.

        Raises:
            IntegrityError: The file is damaged.
            TrustError: It is another cluster's.
        """
        try:
            with self._path.open("rb") as file:
                data = file.read(_BYTES_MAX + 1)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise IntegrityError(f"{self._path}: {exc.strerror}") from exc
        try:
            return decode(data, cluster=self._cluster)
        except IntegrityError as exc:
            raise IntegrityError(
                f"{self._path} is damaged ({exc}); copy it from another node, which has the same"
            ) from exc

    def store(self, registry: Registry) -> bool:
        """Keep a registry if it is newer than the one kept; return whether it was.

        Raises:
            IntegrityError: The file cannot be written; the older one stays.
        """
        kept = self.load()
        if kept is not None and kept.version >= registry.version:
            return False
        try:
            private_files.replace(self._path, encode(registry), mode=_MODE)
        except OSError as exc:
            raise IntegrityError(f"{self._path} cannot be written: {exc.strerror}") from exc
        return True
