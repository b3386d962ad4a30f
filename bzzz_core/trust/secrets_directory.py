"""Where each key and certificate of a node lies. One place, so that no path is spelled twice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SecretsDirectory:
    """A node's secrets: a directory 0700 with files 0600. Only voters have the route files."""

    path: Path

    @property
    def identity_key(self) -> Path:
        """Ed25519 key that signs ballots; the node id follows from it."""
        return self.path / "identity.key"

    @property
    def node_key(self) -> Path:
        """P-256 key of the agent, and of the broker where it takes agents."""
        return self.path / "node.key"

    @property
    def node_certificate(self) -> Path:
        """Certificate of `node_key`, issued by the node CA."""
        return self.path / "node.pem"

    @property
    def node_ca(self) -> Path:
        """Root that every node trusts for agents and client listeners."""
        return self.path / "node-ca.pem"

    @property
    def route_key(self) -> Path:
        """P-256 key of the broker where it meets other brokers."""
        return self.path / "route.key"

    @property
    def route_certificate(self) -> Path:
        """Certificate of `route_key`, issued by the fabric CA to voters only."""
        return self.path / "route.pem"

    @property
    def fabric_ca(self) -> Path:
        """Root that brokers trust for routes, and for nothing else."""
        return self.path / "fabric-ca.pem"

    @property
    def system_key(self) -> Path:
        """P-256 key with which a voter asks its own broker as the system account."""
        return self.path / "system.key"

    @property
    def system_certificate(self) -> Path:
        """Certificate of `system_key`, issued by the node CA to voters only."""
        return self.path / "system.pem"

    @property
    def node_issuer(self) -> Path:
        """Sealed intermediate of the node CA, which voters use while they lead."""
        return self.path / "node-issuer.pem"

    @property
    def fabric_issuer(self) -> Path:
        """Sealed intermediate of the fabric CA, likewise."""
        return self.path / "fabric-issuer.pem"

    @property
    def api_token(self) -> Path:
        """Token that callers of the node's API present."""
        return self.path / "api-token"

    @property
    def api_place(self) -> Path:
        """Where the node's API listens, while it does (`bzzz_core.api.place`)."""
        return self.path / "api-place"

    @property
    def voted(self) -> Path:
        """Note that the owner of `identity_key` may have voted (`election.votes`); no secret."""
        return self.path / "voted"
