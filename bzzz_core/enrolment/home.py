"""Where a node that is made by `init` or `join` keeps its things, and how its file is written.

On a host of its own a node lives in the system's directories; with a *home* it lives below one
directory, for trials and for several nodes on one machine. The configuration is written last and
never over another one: a file that exists belongs to a node that exists.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sections import (
    ClusterConfig,
    NetworkConfig,
    Paths,
    Ports,
    ResourcesConfig,
    SecurityConfig,
    ServicesConfig,
    SystemConfig,
)
from bzzz_core.config.sources import dump_own
from bzzz_core.errors import ConfigError
from bzzz_core.trust import private_files
from bzzz_core.trust.secrets_directory import SecretsDirectory

_TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Home:
    """The places of one node."""

    config: Path
    secrets: SecretsDirectory
    data: Path
    logs: Path

    @classmethod
    def of_system(cls) -> Self:
        """Return the places of the one node of a machine, as setup chooses them."""
        return cls(
            config=Path("/etc/bzzz/agent.yaml"),
            secrets=SecretsDirectory(Path("/etc/bzzz/secrets")),
            data=Path("/var/lib/bzzz"),
            logs=Path("/var/log/bzzz"),
        )

    @classmethod
    def below(cls, directory: Path) -> Self:
        """Return places below one directory."""
        base = directory.absolute()
        return cls(
            config=base / "agent.yaml",
            secrets=SecretsDirectory(base / "secrets"),
            data=base / "data",
            logs=base / "logs",
        )

    def with_places(
        self, *, config: Path | None = None, data: Path | None = None, logs: Path | None = None
    ) -> Home:
        """Return these places, some of them elsewhere; the secrets stay where they are."""
        return replace(
            self,
            config=config or self.config,
            data=data or self.data,
            logs=logs or self.logs,
        )

    def refuse_if_taken(self) -> None:
        """Return if no node lives here.

        Raises:
            ConfigError: One does.
        """
        if self.config.exists():
            raise ConfigError(
                f"{self.config} exists: a node lives here already. Let it leave first"
                " (`bzzz-agent leave`), or choose another --home"
            )

    def prepare(self) -> None:
        """Make the directories.

        Raises:
            ConfigError: One cannot be made.
            TrustError: The one for secrets is used by others; nothing was made.
        """
        private_files.refuse_shared(self.secrets.path)
        try:
            self.config.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            for directory in (self.data, self.logs):
                directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        except OSError as exc:
            raise ConfigError(f"{exc.filename}: {exc.strerror}") from exc
        private_files.private_directory(self.secrets.path)

    def agent_config(
        self, *, name: str, address: str, ports: Ports, cluster: ClusterConfig, leaf_s: int
    ) -> AgentConfig:
        """Return the configuration of a node that lives here; its agent runs its broker."""
        return AgentConfig(
            system=SystemConfig(node_name=name),
            network=NetworkConfig(address=address, ports=ports),
            security=SecurityConfig(
                directory=str(self.secrets.path),
                leaf_s=leaf_s,
                api_token=f"file:{self.secrets.api_token}",
            ),
            resources=ResourcesConfig(paths=Paths(data=str(self.data), logs=str(self.logs))),
            services=ServicesConfig(broker="child"),
            cluster=cluster,
        )

    def settle(self, config: AgentConfig) -> None:
        """Write the API token where it is missing, and then the configuration.

        Raises:
            ConfigError: A node was made here meanwhile.
        """
        if not self.secrets.api_token.exists():
            token = secrets.token_urlsafe(_TOKEN_BYTES)
            private_files.create(self.secrets.api_token, token.encode() + b"\n")
        try:
            private_files.create(self.config, dump_own(config).encode())
        except FileExistsError as exc:
            raise ConfigError(f"{self.config} was made by somebody else just now") from exc
