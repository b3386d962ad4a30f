"""Why a host refused a login: which methods it offered, which of them were tried, and what to do.

The host names its methods with every refusal (RFC 4252, section 5.1), and asyncssh forgets them by
the time it gives up. It asks its client object whenever a method that the host offers has nothing
left to try, though, and the list is whole then but for the methods before it; `Listener` gathers
it there. No second connection is made for it: hosts count those that log nobody in
(PerSourcePenalties of sshd).
"""

from __future__ import annotations

from typing import Any, Final

import asyncssh

from bzzz_core.deploy.remote import Completed, printable
from bzzz_core.errors import AuthenticationFailed

KEYS: Final = "publickey"
PASSWORDS: Final = frozenset({"keyboard-interactive", "password"})
"""Both take a password: one asks for it in words of the host's own choice."""
_TOO_MANY: Final = "Too many authentication failures"
"""How sshd ends a login after MaxAuthTries, with a code that says nothing of logins."""

_NO_TERMINAL: Final = "must have a tty"
"""In what sudo says where its rules have `requiretty`."""


class Listener(asyncssh.SSHClient):
    """Hears which methods the host offers; has nothing to give but what the options hold."""

    def __init__(self) -> None:
        """Start with nothing heard."""
        self.offered: list[str] = []
        """Methods, as the host calls them, in the order in which they are tried."""
        self._connection: asyncssh.SSHClientConnection | None = None

    def itself(self) -> Listener:
        """Return this one; a connection wants to make its own."""
        return self

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Remember whom to ask."""
        self._connection = conn

    def public_key_auth_requested(self) -> None:
        """Say that there is no further key."""
        self._hear()

    def kbdint_auth_requested(self) -> Any:
        """Leave it to the library: it answers a question for the password by the password."""
        self._hear()
        return NotImplemented

    def password_auth_requested(self) -> None:
        """Say that there is no password, or none after the first."""
        self._hear()

    def _hear(self) -> None:
        assert self._connection is not None, "nothing is asked before there is a connection"
        for method in self._connection.get_server_auth_methods():
            if method not in self.offered:
                self.offered.append(method)


def is_refusal(exc: BaseException) -> bool:
    """Return whether the host ended the connection because it lets nobody in by what was tried."""
    return isinstance(exc, asyncssh.PermissionDenied) or _after_too_many(exc)


def _after_too_many(exc: BaseException) -> bool:
    return isinstance(exc, asyncssh.DisconnectError) and _TOO_MANY in exc.reason


def sentence(
    exc: BaseException, *, user: str, offered: list[str], keys: list[str], password: bool
) -> str:
    """Return what was offered, what was tried, and what to do, as one line.

    Args:
        exc: What ended the connection; see `is_refusal`.
        user: The login.
        offered: What the host offered, as far as it was heard.
        keys: What the keys are called that were shown to it, if it takes keys.
        password: Whether one was sent, if it takes passwords.
    """
    named = ", ".join(keys)
    if _after_too_many(exc):
        return (
            f"login as {user} refused after too many keys ({named}):"
            " name the one that it knows (security.ssh.key)"
        )
    takes_keys, takers = KEYS in offered, [method for method in offered if method in PASSWORDS]
    tried = [f"publickey ({named})"] if keys and takes_keys else []
    if password and takers:
        tried.append(f"the password, once ({' or '.join(takers)})")
        advice = (
            f"Is the password right, and may {user} log in by it (PermitRootLogin, AllowUsers)?"
        )
    else:
        ways = []
        if takes_keys and keys:
            ways.append(f"let the host know the key (`ssh-copy-id -i KEY {user}@HOST`)")
        elif takes_keys:
            ways.append("name a key that it knows (security.ssh.key, or the SSH agent)")
        if takers:
            ways.append(f"give the password of {user} (security.ssh.password)")
        advice = ", or ".join(ways) or "let its sshd take keys (PubkeyAuthentication yes)"
    offer = ", ".join(offered) or "no way in that setup has (publickey, password)"
    return printable(
        f"login as {user} refused; the host offers {offer}; tried: {' and '.join(tried) or 'none'}."
        f" {advice[0].upper()}{advice[1:]}"
    )


def check_terminal(asked: Completed, host: str, user: str) -> None:
    """Say what to change where sudo wants a terminal; see ADR 0040 for why it gets none.

    Raises:
        AuthenticationFailed: It does.
    """
    if asked.status != 0 and _NO_TERMINAL in asked.complaint:
        raise AuthenticationFailed(
            f"{host}: sudo wants a terminal there (requiretty), and setup has none to give; write"
            f" `Defaults:{user} !requiretty` with visudo -f /etc/sudoers.d/bzzz-setup, or log in as"
            " root"
        )
