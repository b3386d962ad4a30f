"""Where this machine's agent listens, as it says itself.

A port that is changed in the configuration waits for a restart of the agent, and commands must find
it until then. So the agent leaves a file beside its API token while it listens, locked for as long
as it lives. A command believes it if

- it is a plain file, private to the owner of that directory or to root: who can write it can
  replace the token too, and nobody else can lead a command, with its token, somewhere else;
- somebody holds the lock: the port of an agent that died may be anybody's now.

Otherwise the configuration counts. A secrets directory that was changed in the configuration is
looked for where it is to be; until the restart, its token is not the agent's either.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec

from bzzz_core.config.schema import AgentConfig
from bzzz_core.telemetry import logs
from bzzz_core.trust.secrets_directory import SecretsDirectory

LOOPBACK: Final = "127.0.0.1"
_BYTES_MAX = 1_000


class Place(msgspec.Struct, frozen=True):
    """An address to connect to."""

    host: Annotated[str, msgspec.Meta(max_length=253)]
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)]


def configured(config: AgentConfig) -> Place:
    """Return where the agent of this configuration is to listen for commands on this machine.

    That is a loopback address, whatever other address it listens on besides (`api.server`).
    """
    host = config.network.api_host
    return Place(host if _is_loopback(host) else LOOPBACK, config.network.ports.api)


def present(config: AgentConfig) -> Place:
    """Return where the agent listens now; where it is to, if none says so."""
    return _said(SecretsDirectory(Path(config.security.directory))) or configured(config)


@contextlib.contextmanager
def told(place: Place, directory: SecretsDirectory) -> Iterator[None]:
    """Let commands know where the agent listens, inside the block.

    An agent that cannot write there works all the same; commands then go by the configuration.
    """
    path = directory.api_place
    try:
        descriptor = _write(path, msgspec.json.encode(place))
    except OSError as exc:
        logs.get("api").info("no file says where the API is", reason=str(exc))
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), path.lstat()):
                path.unlink()
        os.close(descriptor)


def _write(path: Path, content: bytes) -> int:
    """Write and lock a file and give it its name; return what holds the lock."""
    # Locked before it has the name, so that whoever sees the file sees the lock.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(descriptor, content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        os.close(descriptor)
        raise
    return descriptor


def _said(directory: SecretsDirectory) -> Place | None:
    try:
        owner = directory.path.stat().st_uid
        descriptor = os.open(
            directory.api_place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        )
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        private = stat.S_ISREG(found.st_mode) and not found.st_mode & 0o077
        if not private or found.st_uid not in {owner, 0} or not _is_locked(descriptor):
            return None
        return msgspec.json.decode(os.read(descriptor, _BYTES_MAX), type=Place)
    except (OSError, ValueError):
        return None
    finally:
        os.close(descriptor)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
