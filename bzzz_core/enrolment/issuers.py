"""The issuers that this node holds, opened when they are needed.

They are read from the secrets directory each time: a signature is rare, and a renewed issuer or a
new root then needs no word to anybody.
"""

from __future__ import annotations

from bzzz_core.trust import private_files
from bzzz_core.trust.certify import Issuers
from bzzz_core.trust.enrol import open_issuer
from bzzz_core.trust.keys import IdentityKey
from bzzz_core.trust.names import Purpose
from bzzz_core.trust.secrets_directory import SecretsDirectory


class HeldIssuers:
    """A voter's issuers at rest."""

    def __init__(self, secrets: SecretsDirectory, identity: IdentityKey) -> None:
        """Open nothing yet."""
        self._secrets = secrets
        self._identity = identity

    def open(self) -> Issuers:
        """Return them ready to sign.

        Raises:
            TrustError: This node holds none, or they are damaged.
        """
        return Issuers(
            node=open_issuer(self._secrets, self._identity, Purpose.NODE),
            fabric=open_issuer(self._secrets, self._identity, Purpose.FABRIC),
            node_roots=private_files.read(self._secrets.node_ca).decode("ascii", "replace"),
            fabric_root=private_files.read(self._secrets.fabric_ca).decode("ascii", "replace"),
        )
