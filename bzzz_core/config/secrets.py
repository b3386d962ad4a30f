"""Secrets by reference: configuration holds where a secret is, never what it is.

    env:NAME               a variable of this process; seen by whoever may read its environment
    file:/path             a file of its own, mode 0600
    keyring:SERVICE/NAME   the system's keyring; operators' machines have one, hosts rarely
    vault:NAME             an entry of the encrypted vault in the secrets directory

`Secret` is the only type that carries a value. It prints as `***` in repr, str, format, JSON and
YAML, so a log line or traceback that catches one stays clean. And it tells `telemetry.redaction`
its value, so that the log has stars in its place should it get there as a plain text.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bzzz_core.config.profile_places import home
from bzzz_core.config.secret_reference import check_reference
from bzzz_core.config.typed_path import expanded
from bzzz_core.errors import SecretError
from bzzz_core.telemetry import redaction

if TYPE_CHECKING:
    from bzzz_core.config.schema import AgentConfig

_TOO_OPEN: Final = stat.S_IRWXG | stat.S_IRWXO
_BYTES_MAX: Final = 65_536


class Secret:
    """A secret value that does not print."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Wrap `value`; keep the wrapper as long as possible, reveal as late as possible."""
        self._value = value
        redaction.learn(value)

    def reveal(self) -> str:
        """Return the value itself; the one place to look for when auditing."""
        return self._value

    def __repr__(self) -> str:
        """Return stars."""
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        """Return stars, whatever the format."""
        del spec
        return "***"

    def __reduce__(self) -> str:
        """Refuse pickling and copying, which would write the value somewhere."""
        raise TypeError("a Secret is not serialised")


def resolve(reference: str, *, vault: Path | None = None) -> Secret:
    """Fetch the secret that a reference points to.

    Args:
        reference: One of the forms above.
        vault: Directory of the vault; on a node `security.directory`. None: the operator's own.

    Raises:
        SecretError: It is not there, empty, or its file is readable by others; the message names
            the place, never the value.
    """
    kind, _, place = check_reference(reference).partition(":")
    if kind == "env":
        value = os.environ.get(place)
        if not value:
            raise SecretError(f"environment variable {place} is not set; export it and try again")
        return Secret(value)
    if kind == "keyring":
        return _from_keyring(place)
    if kind == "vault":
        # Deferred: most processes never open a vault, and the cipher's library is large.
        from bzzz_core.trust.vault import Vault  # noqa: PLC0415

        return Vault(vault or operators_vault()).get(place)
    return read_secret_file(expanded(place))


def operators_vault() -> Path:
    """Return the directory of the vault on an operator's machine."""
    return home() / "secrets"


def check_references(config: AgentConfig) -> None:
    """Fetch every secret that a configuration refers to, and forget it again.

    Raises:
        SecretError: One of them cannot be read; the message names the key.
    """
    vault = Path(config.security.directory)
    for key, reference in references(config):
        try:
            resolve(reference, vault=vault)
        except SecretError as exc:
            raise SecretError(f"{key}: {exc}") from exc


def references(config: AgentConfig) -> Iterator[tuple[str, str]]:
    """Yield every reference to a secret in a configuration, with the key where it stands."""
    # Deferred: whoever only resolves a reference, as the monitor does, needs no schema.
    from bzzz_core.config.leaf import catalogue  # noqa: PLC0415
    from bzzz_core.config.schema import AgentConfig  # noqa: PLC0415
    from bzzz_core.config.value import plain  # noqa: PLC0415

    values = plain(config)
    for key, leaf in catalogue(AgentConfig).items():
        if leaf.holds_reference and values[key] is not None:
            yield key, values[key]
    yield from config.security.references()


def _from_keyring(place: str) -> Secret:
    service, _, name = place.partition("/")
    try:
        import keyring  # noqa: PLC0415  no host has it, and no host needs it
        from keyring.errors import KeyringError  # noqa: PLC0415
    except ImportError:
        raise SecretError(
            "keyring: is for operators' machines; on a host use vault:NAME or file:/path"
        ) from None
    try:
        value = keyring.get_password(service, name)
    except KeyringError as exc:
        raise SecretError(f"keyring {place}: {type(exc).__name__}; is it unlocked?") from None
    if not value:
        raise SecretError(f"keyring {place}: no such entry; store it with: keyring set")
    return Secret(value)


def read_secret_file(path: Path) -> Secret:
    """Return the secret that a file holds, without the newline at its end.

    Raises:
        SecretError: It is missing, empty, too large or no text, or others may read it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise SecretError(f"secret file {path} is no file")
            if mode & _TOO_OPEN:
                raise SecretError(
                    f"{path} can be read by others (mode {stat.S_IMODE(mode):04o});"
                    f" run: chmod 600 {path}"
                )
            content = file.read(_BYTES_MAX + 1)
    except OSError as exc:
        raise SecretError(f"secret file {path}: {exc.strerror}") from exc
    if len(content) > _BYTES_MAX:
        raise SecretError(f"secret file {path} is larger than {_BYTES_MAX} bytes")
    value = None
    with contextlib.suppress(UnicodeDecodeError):
        value = content.decode("utf-8").removesuffix("\n")
    if value is None:
        # Raised here, because the decoder's error holds the content.
        raise SecretError(f"secret file {path} is not UTF-8 text")
    if not value:
        raise SecretError(f"secret file {path} is empty")
    return Secret(value)
