"""What the operator's own SSH configuration says of a host, and the jump hosts on the way to it.

`ssh alpha` works for the operator, so `alpha` works for setup: HostName, User, Port, the first
IdentityFile that exists, ProxyJump and ProxyCommand are taken where the answers say nothing. The
file is asked for the address as it was written, then for the host's name; what is said first
counts, as in ssh_config(5). Nothing else is taken from it: which keys of hosts are trusted, how
often to try and what is forwarded are setup's own rules.

Jump hosts are logged in to one after the other, each inside the connection to the one before.
"""

from __future__ import annotations

import getpass
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from asyncssh.config import ConfigParseError, SSHClientConfig, SSHConfig

from bzzz_core.config.sections.security import SshAnswers
from bzzz_core.deploy.ssh.login import Login
from bzzz_core.errors import ConfigError

HOPS_MAX: Final = 8
"""Jump hosts in a row, those behind which others lie included; more is a circle."""
_NONE: Final = "none"
_ONCE: Final = (False, False, False)
"""The parser's reload, canonical and final: names are looked up as they were written."""
_HOP: Final = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^@\s]+)@)?(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^:\s@\[\]]+)(?::(?P<port>\d{1,5}))?"
)
_USER: Final[str] = SshAnswers.model_fields["user"].default
_PORT: Final[int] = SshAnswers.model_fields["port"].default


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a configuration says of one host; None or empty where it says nothing."""

    address: str | None = None
    user: str | None = None
    port: int | None = None
    key: Path | None = None
    jump: str | None = None
    """`[user@]host[:port]`, several with commas; `none`: none, whatever comes later."""
    proxy_command: tuple[str, ...] = ()

    def over(self, other: Said) -> Said:
        """Return this, with what it does not say from another."""
        direct = self.jump or self.proxy_command
        return Said(
            address=self.address or other.address,
            user=self.user or other.user,
            port=self.port or other.port,
            key=self.key or other.key,
            jump=self.jump if direct else other.jump,
            proxy_command=self.proxy_command if direct else other.proxy_command,
        )


def said_of(config: Path | None, *names: str) -> Said:
    """Return what a configuration says of a host that goes by several names, the first first.

    `Match exec` runs its command, as it does for ssh: this waits for it.

    Args:
        config: An ssh_config(5) file; None, or one that is not there, says nothing.
        names: What the host is called.

    Raises:
        ConfigError: The file cannot be read or is damaged.
    """
    said = Said()
    if config is None:
        return said
    path = config.expanduser()
    for name in dict.fromkeys(names):
        try:
            found = SSHClientConfig.load(None, [path], *_ONCE, getpass.getuser(), (), name, ())
        except FileNotFoundError:
            return Said()
        except (ConfigParseError, ValueError) as exc:
            raise ConfigError(
                f"{exc} (an SSH configuration; null as security.ssh.config leaves it out)"
            ) from exc
        except OSError as exc:
            raise ConfigError(f"{path}: {exc.strerror}") from exc
        said = said.over(_taken(found))
    return said


def _taken(found: SSHConfig) -> Said:
    jump, command = _proxy(found, "ProxyJump"), _proxy(found, "ProxyCommand")
    keys = found.get("IdentityFile")
    paths = [Path(key).expanduser() for key in keys] if isinstance(keys, list) else []
    port = found.get("Port")
    return Said(
        address=_text(found, "Hostname"),
        user=_text(found, "User"),
        port=port if isinstance(port, int) else None,
        key=next((path for path in paths if path.is_file()), None),
        jump=_NONE if _NONE in {jump, command} else jump,
        # The command is for a shell, as with ssh; `exec` leaves no shell to wait for.
        proxy_command=("sh", "-c", f"exec {command}") if command and command != _NONE else (),
    )


def _proxy(found: SSHConfig, option: str) -> str | None:
    """Return what an option says; the parser has a None where the file says `none`."""
    value = found.get(option, default="")
    if value is None:
        return _NONE
    return value if isinstance(value, str) and value else None


def _text(found: SSHConfig, option: str) -> str | None:
    value = found.get(option)
    return value if isinstance(value, str) and value else None


def routed(login: Login, *, config: str | None, jump: str | None) -> Login:
    """Return a login with what the operator's configuration adds, and with the way to the host.

    A user or port that equals setup's default counts as not given.

    Args:
        login: As the answers or a profile have it.
        config: The SSH configuration; None: none is read.
        jump: Jump hosts of the answers; None: those of the configuration.

    Raises:
        ConfigError: The configuration is damaged, or the jump hosts cannot be.
    """
    path = Path(config) if config else None
    said = said_of(path, login.address, login.name)
    hops = jump or said.jump
    full = _filled(login, said)
    if hops is not None and hops != _NONE:
        return replace(full, via=_via(hops, full, path, HOPS_MAX))
    return replace(full, proxy_command=said.proxy_command)


def _filled(login: Login, said: Said) -> Login:
    return replace(
        login,
        address=said.address or login.address,
        user=said.user or login.user if login.user == _USER else login.user,
        port=said.port or login.port if login.port == _PORT else login.port,
        hint=said.key,
    )


def _via(hops: str, behind: Login, config: Path | None, left: int) -> Login:
    """Return the login of the last of the jump hosts, which lies next to the host."""
    way: Login | None = None
    for hop in hops.split(","):
        match = _HOP.fullmatch(hop.strip())
        if match is None:
            raise ConfigError(f"{hop.strip()!r} is no jump host: write [user@]host[:port]")
        left -= 1
        if left < 0:
            raise ConfigError(f"more than {HOPS_MAX} jump hosts on the way to {behind.name}")
        address = match["host"].strip("[]")
        said = said_of(config, address)
        own = Login(
            name=f"{behind.name}: jump host {address}",
            address=address,
            port=int(match["port"] or _PORT),
            user=match["user"] or _USER,
            accept_new_host_key=behind.accept_new_host_key,
            password=None,  # of the hosts, not of what lies before them
        )
        full = _filled(own, said)
        full = replace(full, key=behind.key, hint=full.hint or behind.hint, via=way)
        if way is None and said.jump and said.jump != _NONE:
            full = replace(full, via=_via(said.jump, full, config, left))
        elif way is None:
            full = replace(full, proxy_command=said.proxy_command)
        way = full
    assert way is not None, "splitting yields one at least"
    return way
