"""The cluster profile: how an operator's machine finds a cluster again after setup.

Setup and the demo write it, the monitor reads it. It names hosts and references, never a secret.
Everything of one operator lies below
`profile_places.home()`:

    clusters/<name>/profile.yaml   this document
    clusters/<name>/api-token      0600
    clusters/<name>/known_hosts    the hosts' keys, pinned by setup
    clusters/<name>/ca/            the two authorities, encrypted
    clusters/<name>/journal/       what each run of setup did
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from bzzz_core.config.secret_reference import SecretRef
from bzzz_core.config.sections import NAME
from bzzz_core.config.sections.patterns import JUMP
from bzzz_core.config.setting import Section, setting
from bzzz_core.config.sources import dump, load_document
from bzzz_core.trust import private_files

Color: TypeAlias = Literal["red", "green", "yellow", "blue", "magenta", "cyan", "white"]
"""One of the terminal's own colours, so that every terminal shows it."""


class SshAccess(Section):
    """How to log in to the hosts."""

    user: str = setting(min_length=1, label="Login", help="User to log in as.")
    port: int = setting(22, ge=1, le=65_535, label="SSH port", help="Port of the hosts' sshd.")
    key: str | None = setting(
        None, label="Private key", help="File of the private key; empty: SSH agent."
    )
    password: SecretRef | None = setting(
        None, label="Password", help="Reference to the login password, if no key is used."
    )
    known_hosts: str = setting(label="Known hosts", help="File with the hosts' keys.")
    jump: str | None = setting(
        None, pattern=JUMP, label="Jump hosts", help="[user@]host[:port] to go through."
    )
    config: str | None = setting(
        "~/.ssh/config",
        label="SSH configuration",
        help="File that counts where nothing else is said; null: none.",
    )


class ProfileHost(Section):
    """One host of the cluster and the port of its API."""

    name: str = setting(pattern=NAME, label="Name", help="What operators call it.")
    address: str = setting(min_length=1, label="Address", help="Where SSH reaches it.")
    port: int | None = setting(
        None, ge=1, le=65_535, label="SSH port", help="If it differs from the common one."
    )
    user: str | None = setting(None, label="Login", help="If it differs from the common one.")
    api_port: int = setting(
        ge=1, le=65_535, label="API port", help="On the host's loopback, reached by forwarding."
    )
    api_url: str | None = setting(
        None,
        pattern=r"^https?://",
        label="API URL",
        help="Set when the API is reached directly; no SSH is used then.",
    )


class ClusterProfile(Section):
    """What the monitor needs to find a cluster."""

    version: Literal[1] = setting(1, label="Schema", help="Version of this file's schema.")
    name: str = setting(pattern=NAME, label="Cluster name", help="What operators call it.")
    cluster_id: str = setting(min_length=1, label="Cluster id", help="Made once at creation.")
    ca_sha256: str = setting(
        pattern=r"^[0-9a-f]{64}$",
        label="CA fingerprint",
        help="SHA-256 of the node authority's certificate.",
    )
    api_token: SecretRef = setting(label="API token", help="Reference to the API's token.")
    ssh: SshAccess | None = setting(
        None, label="SSH", help="How to log in; empty if no host needs it."
    )
    hosts: tuple[ProfileHost, ...] = setting(min_length=1, label="Hosts", help="The machines.")
    write: bool = setting(
        default=False, label="Write", help="The monitor may change this cluster without --write."
    )
    production: bool = setting(
        default=False, label="Production", help="What destroys something wants the typed name."
    )
    color: Color | None = setting(
        None, label="Colour", help="Ground of the cluster's name in the monitor's top line."
    )


def load_profile(path: Path) -> ClusterProfile:
    """Read a profile.

    Raises:
        ConfigError: The file is missing, no YAML, or says something that cannot be.
    """
    return load_document(path, ClusterProfile)


def save_profile(path: Path, profile: ClusterProfile) -> None:
    """Write a profile so that no reader sees half of it; mode 0600."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    private_files.replace(path, dump(profile).encode())
