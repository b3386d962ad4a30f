"""The node's certificate as connections use it, read again when it was renewed."""

from __future__ import annotations

import hashlib
import ssl
from collections import Counter

from bzzz_core.errors import TrustError
from bzzz_core.telemetry import logs
from bzzz_core.trust.secrets_directory import SecretsDirectory
from bzzz_core.trust.tls import client_context


class Credentials:
    """A TLS context, and whether the files still say the same."""

    def __init__(self, secrets: SecretsDirectory, counters: Counter[str]) -> None:
        """Read nothing yet."""
        self._secrets = secrets
        self._counters = counters
        self._log = logs.get("fabric")
        self._context: ssl.SSLContext | None = None
        self._digest = b""

    @property
    def context(self) -> ssl.SSLContext:
        """Return what `load` has read."""
        assert self._context is not None, "load comes first"
        return self._context

    def load(self) -> None:
        """Read the files.

        Raises:
            TrustError: They cannot be used.
        """
        secrets = self._secrets
        files = (secrets.node_certificate, secrets.node_key, secrets.node_ca)
        self._context = client_context(secrets)
        self._digest = b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)

    def reload(self) -> bool:
        """Read the files again and return whether they are others; keep the old ones if unusable.

        They are unusable while only half of them is written.
        """
        before = self._digest
        try:
            self.load()
        except (OSError, TrustError) as exc:
            self._counters["certificates_refused"] += 1
            self._log.warning("certificates cannot be used", reason=str(exc))
            return False
        return self._digest != before

    def doubt(self) -> None:
        """Let the next `reload` say that they are others."""
        self._digest = b""
