"""What the operator's own SSH configuration says of a host, and the jump hosts on the way to it.

`ssh alpha` works for the operator, so `alpha` works for setup: HostName, User, Port, the first
IdentityFile that exists, ProxyJump and ProxyCommand are taken where the answers say nothing. The
file is asked for the address as the answers have it, as ssh asks for what was typed. Nothing else
is taken from it: which keys of hosts are trusted, how often to try and what is forwarded are
setup's own rules.

Jump hosts are logged in to one after the other, each inside the connection to the one before.
"""

from __future__ import annotations

import getpass
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from asyncssh.config import ConfigParseError, SSHClientConfig, SSHConfig

from bzzz_core.config.sections.security import SshAnswers
from bzzz_core.deploy.ssh.login import Login
from bzzz_core.errors import ConfigError

HOPS_MAX: Final = 8
"""Jump hosts in a row, those behind which others lie included; more is a circle."""
_NONE: Final = "none"
_KEPT_MAX: Final = 1_024
"""Hosts and jump hosts whose lines are read once as long as the file stays as it is."""
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


def said_of(
    config: Path | None, name: str, *, user: str | None = None, port: int | None = None
) -> Said:
    """Return what a configuration says of a host, with what is given already.

    `Match exec` runs its command, as it does for ssh: this waits for it, once per host.

    Args:
        config: An ssh_config(5) file; None, or one that is not there, says nothing.
        name: What the host is called, or its address.
        user: Whom to log in as, if that is known.
        port: Its port, if that is known.

    Raises:
        ConfigError: The file cannot be read or is damaged.
    """
    if config is not None:
        path = config.expanduser()
        try:
            return _parsed(path, path.stat().st_mtime_ns, name, user, port)
        except FileNotFoundError:
            pass
        except (ConfigParseError, ValueError) as exc:
            raise ConfigError(
                f"{exc} (an SSH configuration; null as security.ssh.config leaves it out)"
            ) from exc
        except OSError as exc:
            raise ConfigError(f"{path}: {exc.strerror}") from exc
    return Said(user=user, port=port)


@lru_cache(maxsize=_KEPT_MAX)
def _parsed(path: Path, _mtime_ns: int, name: str, user: str | None, port: int | None) -> Said:
    given = (user or (), name, port or ())
    return _taken(SSHClientConfig.load(None, [path], *_ONCE, getpass.getuser(), *given))


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
    said = said_of(
        path,
        login.address,
        user=login.user if login.user != _USER else None,
        port=login.port if login.port != _PORT else None,
    )
    hops = jump or said.jump
    full = _filled(login, said)
    if hops == _NONE:
        return full
    if hops is not None:
        return replace(full, via=_via(hops, full, path, HOPS_MAX))
    return replace(full, proxy_command=said.proxy_command)


def _filled(login: Login, said: Said) -> Login:
    return replace(
        login,
        address=said.address or login.address,
        user=said.user or login.user,
        port=said.port or login.port,
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
        said = said_of(
            config, address, user=match["user"], port=int(match["port"]) if match["port"] else None
        )
        bare = Login(
            name=f"{behind.name}: jump host {address}",
            address=address,
            port=_PORT,
            user=getpass.getuser(),  # as with ssh; setup's own default is for the hosts
            key=behind.key,
            passphrase=behind.passphrase,
            password=None,  # of the hosts, not of what lies before them
            accept_new_host_key=behind.accept_new_host_key,
            via=way,
        )
        full = _filled(bare, said)
        if way is None and said.jump is not None and said.jump != _NONE:
            full = replace(full, via=_via(said.jump, full, config, left))
        elif way is None:
            full = replace(full, proxy_command=said.proxy_command)
        way = replace(full, hint=full.hint or behind.hint)
    assert way is not None, "splitting yields one at least"
    return way
