"""Opens a connection to a host whose key is trusted, and says exactly why when it cannot.

Order of things: look the host up; a fingerprint that is given leaves only that key trusted,
whatever else is on record; on first contact fetch its key (no login is tried), compare it with the
given fingerprint or the explicit consent, pin it; then connect with exactly the trusted
keys. A password therefore never goes to a host that is not the expected one.

Rules: the library reads no ssh_config (`config=None`); what counts of it is for `user_config` to
say, and is in the login by now. A lost connection during the handshake is tried again for
`DROPPED_S_MAX`, because a busy sshd drops new connections at random (MaxStartups), more of them the
more come at once; a refused login never is, because attempts lock accounts.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import asyncssh

from bzzz_core.deploy.remote import printable
from bzzz_core.deploy.ssh import refusal
from bzzz_core.deploy.ssh.host_keys import PREFERRED, KnownHosts, Trust
from bzzz_core.deploy.ssh.login import Login, Pace
from bzzz_core.errors import (
    AuthenticationFailed,
    ConfigError,
    HostKeyChanged,
    HostKeyUnknown,
    HostUnreachable,
)

DROPPED_S_MAX: Final = 30
"""How long a host that drops connections is asked again. Behind one door with many others (a jump
host, `MaxStartups 10:30:100`, 32 at once) every second attempt is dropped; after 5 of them, about
4 s, one host in some hundreds was given up (measured). Longer costs patience with a filter that
resets every connection."""
DROP_S_MAX: Final = 3
PAUSE_S_MAX: Final = 2
_CIPHERS: Final = (
    "aes128-gcm@openssh.com",  # fastest here by measurement, then what any server has
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-ctr",
    "aes128-ctr",
)
_LOST: Final = (asyncssh.ConnectionLost, ConnectionResetError, BrokenPipeError)


def silence_loggers() -> None:
    """Keep the libraries' loggers off the terminal, which may be showing a screen.

    asyncssh's debug levels may hold login data, and asyncio repeats "socket.send() raised
    exception" about a hundred times when a server dies during an upload.
    """
    quiet = logging.getLogger("asyncssh")
    quiet.setLevel(logging.WARNING)
    quiet.propagate = False
    if not quiet.handlers:
        quiet.addHandler(logging.NullHandler())
    chatty = logging.getLogger("asyncio")
    if _drop_send_errors not in chatty.filters:
        chatty.addFilter(_drop_send_errors)


def _drop_send_errors(record: logging.LogRecord) -> bool:
    return "socket.send() raised exception" not in record.getMessage()


@asynccontextmanager
async def opened(
    login: Login, known_hosts: KnownHosts, pace: Pace
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """Connect, through jump hosts if need be, and close on the way out, even if nobody answers."""
    async with AsyncExitStack() as stack:
        tunnel = None
        if login.via is not None:
            try:
                tunnel = await stack.enter_async_context(opened(login.via, known_hosts, pace))
            except HostKeyUnknown as exc:
                # Its fingerprint must not be taken for that of the host behind it.
                raise HostUnreachable(
                    f"{exc}. A jump host is trusted by `ssh` itself: log in to it once"
                ) from exc
        connection = await connect(login, known_hosts, pace, tunnel)
        stack.push_async_callback(close, connection)
        yield connection


async def close(connection: asyncssh.SSHClientConnection) -> None:
    """End a connection; a peer that does not say goodbye is dropped after a second."""
    connection.close()
    try:
        async with asyncio.timeout(1):
            await connection.wait_closed()
    except TimeoutError:
        connection.abort()


async def connect(
    login: Login,
    known_hosts: KnownHosts,
    pace: Pace,
    tunnel: asyncssh.SSHClientConnection | None = None,
) -> asyncssh.SSHClientConnection:
    """Return a connection to a host whose key is trusted.

    Args:
        login: Where and as whom.
        known_hosts: Whose key is trusted.
        pace: When to give up.
        tunnel: The connection to the jump host `login.via`.

    Raises:
        HostKeyUnknown: First contact, without consent.
        HostKeyChanged: Another key than the recorded or the given one.
        AuthenticationFailed: The host refused the login, or our key file cannot be used.
        HostUnreachable: No such name, no route, refused, too slow, or lost.
    """
    silence_loggers()
    way = _Way(login, pace, tunnel)
    trust = known_hosts.find(login.address, login.port)
    if login.host_key_sha256 is not None:
        trust, recorded = trust.narrowed(login.host_key_sha256), trust.keys
    else:
        recorded = []
    if not trust.known:
        trust = await _first_contact(way, known_hosts, trust, recorded)
    try:
        options = _options(login, trust, pace) | way.options
    except _FAILURES as exc:
        raise _classify(login, exc) from exc
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + DROPPED_S_MAX
    for attempt in count(1):
        begun_s = loop.time()
        listener = refusal.Listener()
        try:
            connection = await asyncssh.connect(**options, client_factory=listener.itself)
            break
        except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed) as exc:
            await _explain_host_key(way, trust, exc)
        except _LOST as exc:
            # A drop comes at once; a server that was silent for long will be silent again.
            if loop.time() > give_up_s or loop.time() - begun_s > DROP_S_MAX:
                raise HostUnreachable(f"{login.name}: {_dropped(exc, attempt)}") from exc
            await _pause(attempt)
        except _FAILURES as exc:
            raise _classify(login, exc, listener.offered) from exc
    key = connection.get_server_host_key()
    if key is not None and not trust.authorities:
        known_hosts.pin(login.address, login.port, key)
    return connection


@dataclass(frozen=True, slots=True)
class _Way:
    """How a host is reached: straight, inside another connection, or by a command."""

    login: Login
    pace: Pace
    tunnel: asyncssh.SSHClientConnection | None

    @property
    def options(self) -> dict[str, Any]:
        """Return it in the library's words; nothing is taken from elsewhere."""
        command = list(self.login.proxy_command) or None
        return {"config": None, "tunnel": self.tunnel, "proxy_command": command}


_FAILURES: Final = (
    asyncssh.Error,
    asyncssh.KeyImportError,
    asyncssh.KeyEncryptionError,
    OSError,
    TimeoutError,
    UnicodeError,
)


def _options(login: Login, trust: Trust, pace: Pace) -> dict[str, Any]:
    options: dict[str, Any] = {
        "host": login.address,
        "port": login.port,
        "username": login.user,
        "known_hosts": (trust.keys, trust.authorities, trust.revoked),
        "connect_timeout": pace.connect_s,
        "login_timeout": pace.login_s,
        "keepalive_interval": pace.keepalive_s,
        "keepalive_count_max": pace.keepalives_max,
        "compression_algs": None,
        "encryption_algs": _CIPHERS,
        "gss_auth": False,
        "gss_kex": False,
        "host_based_auth": False,
    }
    named = [str(key.expanduser()) for key in (login.own_key, login.key) if key is not None]
    if login.key is None and login.password is None and (hinted := _hinted(login)):
        return options | {"client_keys": [*_unlocked(named, login), *hinted]}
    if login.key is not None or (named and login.password is not None):
        # Only the keys that were named: a server ends the login after a few wrong ones.
        options |= {"client_keys": _unlocked(named, login), "agent_path": None}
    elif named:
        options |= {"client_keys": _unlocked(named, login)}
    elif login.password is not None:
        options |= {"client_keys": None, "agent_path": None}
    if login.password is not None:
        options["password"] = login.password.reveal()
    return options


def _shown(login: Login) -> list[str]:
    """Return what the keys are called that `_options` shows to a host."""
    named = [str(key) for key in (login.own_key, login.key) if key is not None]
    if login.key is not None or login.password is not None:
        return named
    hinted = [str(login.hint)] if login.hint is not None else []
    return [*named, *hinted, "keys of the SSH agent"]


def _unlocked(keys: list[str], login: Login) -> list[asyncssh.SSHKeyPair | str]:
    """Return the keys, those that are locked opened by our passphrase."""
    if login.passphrase is None:
        return list(keys)
    secret = login.passphrase.reveal()
    return [pair for key in keys for pair in asyncssh.load_keypairs(key, secret)]


def _hinted(login: Login) -> list[asyncssh.SSHKeyPair]:
    """Return the key that the configuration names, unless it is the agent's to use it.

    It is where it is locked, or where the file holds the public half alone.
    """
    if login.hint is None:
        return []
    try:
        return list(
            asyncssh.load_keypairs(str(login.hint), skip_public=True, ignore_encrypted=True)
        )
    except (asyncssh.KeyImportError, OSError):
        return []


async def _first_contact(
    way: _Way, known_hosts: KnownHosts, trust: Trust, recorded: list[asyncssh.SSHKey]
) -> Trust:
    """Return trust in the key that the host shows now, if the answers allow that.

    Args:
        way: To whose key; its login holds what the answers say of it.
        known_hosts: Where it is pinned.
        trust: What vouches for nothing so far; revoked keys stay revoked.
        recorded: Keys that are on record and are not those that the answers name.
    """
    login = way.login
    key = await _presented_key(way)
    print_of_key = key.get_fingerprint()
    if trust.revokes(key):
        raise HostKeyChanged(
            f"{login.name}: the host key of {login.address}, {print_of_key}, is REVOKED by a"
            " known_hosts file; nothing secret was sent"
        )
    if login.host_key_sha256 is not None:
        if print_of_key != login.host_key_sha256:
            raise HostKeyChanged(
                f"{login.name}: the host key is {print_of_key}, but the answers say"
                f" {login.host_key_sha256}; nothing was sent"
            )
        if any(other.get_algorithm() == key.get_algorithm() for other in recorded):
            raise _changed(login, recorded, key)
    elif not login.accept_new_host_key:
        raise HostKeyUnknown(
            f"{login.name}: first contact with {login.address}, its host key is {print_of_key}"
            f" ({key.get_algorithm()}); compare it, then set host_key_sha256 for this host,"
            " or accept_new_host_keys for all"
        )
    known_hosts.pin(login.address, login.port, key)
    return Trust(keys=[key], revoked=trust.revoked)


async def _presented_key(way: _Way) -> asyncssh.SSHKey:
    """Return the key that the host shows; nothing about us is told to it."""
    login = way.login
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + DROPPED_S_MAX
    for attempt in count(1):
        try:
            async with asyncio.timeout(way.pace.connect_s + way.pace.login_s):
                key = await asyncssh.get_server_host_key(
                    login.address,
                    login.port,
                    server_host_key_algs=list(PREFERRED),
                    **way.options,
                )
        except _LOST as exc:
            if loop.time() > give_up_s:
                raise HostUnreachable(f"{login.name}: {_dropped(exc, attempt)}") from exc
            await _pause(attempt)
        except _FAILURES as exc:
            raise _classify(login, exc) from exc
        else:
            if key is None:
                raise HostUnreachable(f"{login.name}: {login.address} shows no host key")
            return key
    raise AssertionError("the loop returns or raises")


async def _pause(attempt: int) -> None:
    """Wait longer each time, by chance: all that a busy sshd dropped would come back together."""
    usual_s = min(PAUSE_S_MAX, 0.1 * 2**attempt)
    await asyncio.sleep(usual_s * (0.5 + secrets.randbelow(1_000) / 1_000))


def _dropped(exc: BaseException, attempts: int) -> str:
    return (
        f"the host dropped the connection during the handshake, at attempt {attempts} the last time"
        f" ({_reason(exc)}); MaxStartups of its sshd, or a filter that resets?"
    )


async def _explain_host_key(way: _Way, trust: Trust, exc: asyncssh.Error) -> None:
    """Raise what a failed key exchange means, after a look at the key that is shown now."""
    shown = await _presented_key(way)
    if trust.holds(shown):
        raise HostUnreachable(f"{way.login.name}: {_reason(exc)}") from exc
    raise _changed(way.login, trust.keys, shown) from exc


def _changed(
    login: Login, recorded: list[asyncssh.SSHKey], shown: asyncssh.SSHKey
) -> HostKeyChanged:
    prints = ", ".join(sorted({key.get_fingerprint() for key in recorded})) or "an authority's"
    return HostKeyChanged(
        f"{login.name}: the host key of {login.address} has CHANGED. Recorded: {prints};"
        f" shown now: {shown.get_fingerprint()}. Somebody may be between you and the host, or it"
        " was installed anew; nothing secret was sent. If you know why, remove the old line from"
        " the known_hosts file"
    )


def _classify(login: Login, exc: BaseException, offered: list[str] | None = None) -> Exception:
    who = f"{login.name} ({login.address} port {login.port})"
    kind: type[Exception] = HostUnreachable
    match exc:
        case _ if refusal.is_refusal(exc):
            kind = AuthenticationFailed
            text = refusal.sentence(
                exc,
                user=login.user,
                offered=offered or [],
                keys=_shown(login),
                password=login.password is not None,
            )
        case asyncssh.KeyEncryptionError() | asyncssh.KeyImportError():
            kind = AuthenticationFailed
            text = (
                f"key file {login.key} cannot be used: {_reason(exc)};"
                " a key with a passphrase goes into the SSH agent"
            )
        case FileNotFoundError() | PermissionError():
            kind, text = ConfigError, f"{exc.filename}: {exc.strerror}"
        case asyncssh.ChannelOpenError() if login.via is not None:
            text = f"{login.via.address}, the jump host, does not reach it: {_reason(exc)}"
        case UnicodeError():
            text = f"{login.address[:80]!r} is no name that can be looked up"
        case socket.gaierror():
            text = f"the name is not known: {exc.strerror}"
        case ConnectionRefusedError():
            text = "connection refused; is sshd running on that port?"
        case TimeoutError():
            text = "no answer in time; firewall, or machine down?"
        case _:
            text = _reason(exc)
    return kind(f"{who}: {text}")


def _reason(exc: BaseException) -> str:
    return printable(str(exc)) or type(exc).__name__
