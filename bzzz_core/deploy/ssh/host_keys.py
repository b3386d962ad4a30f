"""Which host key belongs to which host, and what to do on first contact.

The library reports an unknown and a changed host key by the same error with the same text, so the
lookup is ours: *unknown* is the operator's to accept, *changed* is never accepted here. Keys are
read from several files and written to one, the cluster's own. A key for another port of the same
address says nothing about this one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncssh

from bzzz_core.errors import ConfigError

SSH_PORT: Final = 22
PREFERRED: Final = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
"""Asked for on first contact, best first; without it the library takes RSA."""


@dataclass(frozen=True, slots=True)
class Trust:
    """What the files say about one host."""

    keys: list[asyncssh.SSHKey] = field(default_factory=list)
    authorities: list[asyncssh.SSHKey] = field(default_factory=list)
    revoked: list[asyncssh.SSHKey] = field(default_factory=list)

    @property
    def known(self) -> bool:
        """Return whether anything vouches for the host."""
        return bool(self.keys or self.authorities)

    def holds(self, key: asyncssh.SSHKey) -> bool:
        """Return whether exactly this key is recorded and not revoked."""
        public = key.public_data
        return not self.revokes(key) and any(other.public_data == public for other in self.keys)

    def revokes(self, key: asyncssh.SSHKey) -> bool:
        """Return whether a file says that this key must not be trusted any more."""
        return any(other.public_data == key.public_data for other in self.revoked)

    def narrowed(self, fingerprint: str) -> Trust:
        """Return this without all that vouches for another key than the one with the fingerprint.

        An authority goes too: it vouches for any key.
        """
        keys = [key for key in self.keys if key.get_fingerprint() == fingerprint]
        return Trust(keys=keys, revoked=self.revoked)


class KnownHosts:
    """The files with the hosts' keys: one of our own, the others only read."""

    def __init__(self, own: Path, others: Sequence[Path] = ()) -> None:
        """Take the file to write to and further ones to read; a missing file is an empty one."""
        self._own = _KeyFile(own)
        self._others = tuple(_KeyFile(path) for path in others)

    def find(self, address: str, port: int) -> Trust:
        """Return what is known of the host at `address` and `port`.

        Raises:
            ConfigError: A file cannot be read or is damaged.
        """
        trust = Trust()
        for file in (self._own, *self._others):
            found = file.load().match(pattern(address, port), "", None)
            trust.keys.extend(found[0])
            trust.authorities.extend(found[1])
            trust.revoked.extend(found[2])
        return trust

    def pin(self, address: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Record the key in our own file unless it is there; return whether it was added.

        Raises:
            ConfigError: The file cannot be read or written.
        """
        own = self._own.load().match(pattern(address, port), "", None)
        if any(other.public_data == key.public_data for other in own[0]):
            return False
        words = key.export_public_key().decode("ascii").split()[:2]
        self._own.append(f"{pattern(address, port)} {' '.join(words)}")
        return True


def pattern(address: str, port: int) -> str:
    """Return how known_hosts files write a host: the port only if it is not 22."""
    return address if port == SSH_PORT else f"[{address}]:{port}"


class _KeyFile:
    """A known_hosts file. It is read each time, and only what was added since is parsed.

    Hundreds of hosts are looked at by one run; each would parse the keys of all before it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text = ""
        self._parsed = asyncssh.SSHKnownHosts()

    def load(self) -> asyncssh.SSHKnownHosts:
        """Return what the file says now.

        Raises:
            ConfigError: It cannot be read or is damaged.
        """
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            text = ""
        except OSError as exc:
            raise ConfigError(f"{self._path}: {exc.strerror}") from exc
        if text == self._text:
            return self._parsed
        grown = text.startswith(self._text) and (not self._text or self._text.endswith("\n"))
        try:
            parsed = self._parsed if grown else asyncssh.SSHKnownHosts()
            parsed.load(text[len(self._text) :] if grown else text)
        except ValueError as exc:
            self._text, self._parsed = "", asyncssh.SSHKnownHosts()
            raise ConfigError(f"{self._path} is no known_hosts file: {exc}") from exc
        self._text, self._parsed = text, parsed
        return parsed

    def append(self, line: str) -> None:
        """Add a line, after what is there: the last line may have been left without an end.

        Raises:
            ConfigError: It cannot be written.
        """
        start = "\n" if self._text and not self._text.endswith("\n") else ""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # One write to a file opened for appending: two runs at once cannot mix their lines.
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            descriptor = os.open(self._path, flags, 0o600)
            with os.fdopen(descriptor, "ab", buffering=0) as file:
                file.write(f"{start}{line}\n".encode("ascii"))
                os.fsync(file.fileno())
        except OSError as exc:
            raise ConfigError(f"{self._path}: {exc.strerror}") from exc
