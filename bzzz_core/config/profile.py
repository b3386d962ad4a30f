"""The cluster profile: how an operator's machine finds and trusts one cluster.

Setup and demo write it, the monitor reads it. It holds no secret, only references.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from bzzz_core.config.secrets import SecretRef
from bzzz_core.config.sections import NAME
from bzzz_core.config.setting import Section, setting
from bzzz_core.config.sources import dump, load_document
from bzzz_core.errors import ConfigError


class ProfileSsh(Section):
    """How to log in to the hosts when their API is reached through SSH."""

    user: str = setting(label="Login", help="User to log in as.")
    port: int = setting(22, ge=1, le=65_535, label="SSH port", help="Port of the hosts' sshd.")
    key: str | None = setting(None, label="Private key", help="File of the key; empty: SSH agent.")
    known_hosts: str = setting(label="Known hosts", help="File with the hosts' keys.")


class ProfileHost(Section):
    """One node that can answer for the cluster."""

    name: str = setting(pattern=NAME, label="Name", help="The node's name.")
    address: str = setting(label="Address", help="Where SSH reaches it.")
    port: int | None = setting(None, ge=1, le=65_535, label="SSH port", help="If not the common.")
    user: str | None = setting(None, label="Login", help="If not the common one.")
    api_port: int = setting(ge=1, le=65_535, label="API port", help="Its API, on its loopback.")
    api_url: str | None = setting(
        None, pattern=r"^https?://", label="API URL", help="Reach the API directly (demo)."
    )


class ClusterProfile(Section):
    """One cluster as the monitor knows it."""

    version: Literal[1] = setting(1, label="Schema", help="Version of this file's schema.")
    name: str = setting(pattern=NAME, label="Cluster name", help="What you call the cluster.")
    cluster_id: str = setting(label="Cluster id", help="Random, made when it was created.")
    ca_sha256: str = setting(
        pattern=r"^[0-9a-f]{64}$", label="CA fingerprint", help="SHA-256 of the node authority."
    )
    api_token: SecretRef = setting(label="API token", help="Reference to the token of the API.")
    ssh: ProfileSsh | None = setting(None, label="SSH", help="Empty: every host has an API URL.")
    hosts: tuple[ProfileHost, ...] = setting(
        min_length=1, label="Hosts", help="Nodes to ask, tried in turn."
    )

    @model_validator(mode="after")
    def _reachable(self) -> ClusterProfile:
        if self.ssh is None and any(host.api_url is None for host in self.hosts):
            raise ValueError("without ssh every host needs an api_url")
        return self


def operator_home() -> Path:
    """Return the directory of everything an operator keeps, whether or not it exists."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "bzzz"


def cluster_directory(name: str) -> Path:
    """Return the directory of one cluster's profile, authorities and journals."""
    return operator_home() / "clusters" / name


def load_profile(path: Path) -> ClusterProfile:
    """Read a profile.

    Raises:
        ConfigError: The file is missing, no YAML, or says something that cannot be.
    """
    return load_document(path, ClusterProfile)


def find_profile(name: str | None) -> ClusterProfile:
    """Return the named profile, or the only one there is.

    Raises:
        ConfigError: There is none of that name, or no name was given and there are several.
    """
    if name is not None:
        return load_profile(cluster_directory(name) / "profile.yaml")
    found = sorted((operator_home() / "clusters").glob("*/profile.yaml"))
    if not found:
        raise ConfigError("no cluster is known here; run: bzzz-tui setup (or: bzzz-tui demo)")
    if len(found) > 1:
        names = ", ".join(path.parent.name for path in found)
        raise ConfigError(f"several clusters are known; choose one with --cluster: {names}")
    return load_profile(found[0])


def save_profile(profile: ClusterProfile, path: Path) -> None:
    """Write a profile in one step, readable by its owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(dump(profile))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
