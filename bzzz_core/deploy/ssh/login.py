"""Where to log in and as whom, and when to give up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bzzz_core.config.secrets import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Where to log in and as whom."""

    name: str
    """What messages call the host."""
    address: str
    port: int
    user: str
    key: Path | None = None
    """None, and no password either: keys of the SSH agent."""
    hint: Path | None = None
    """A key that the operator's SSH configuration names: tried beside the agent's, if unlocked."""
    own_key: Path | None = None
    """The key that setup has installed; tried before all others."""
    passphrase: Secret | None = None
    """Of `own_key`, or of `key` if that is the one that was installed."""
    password: Secret | None = None
    sudo_password: Secret | None = None
    host_key_sha256: str | None = None
    accept_new_host_key: bool = False
    via: Login | None = None
    """The jump host to go through; it is logged in to first."""
    proxy_command: tuple[str, ...] = ()
    """Whose standard input and output lead to the host, instead of a connection of our own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When to give up, in seconds."""

    connect_s: float = 10
    login_s: float = 30
    keepalive_s: float = 15
    keepalives_max: int = 4
    """A peer silent for keepalive_s x (keepalives_max + 1) is lost."""
