"""The vault: one encrypted file of named secrets, for hosts without a keyring.

    entry   = AES-256-GCM(data key, value), bound to the vault's id and the entry's name
    data key = 32 random bytes, sealed the same way under the lock
    lock    = a key file, or a passphrase through scrypt (n 2^17, r 8, p 1: 128 MiB, about 0.4 s)

What it keeps: whoever gets the file, from a backup or a stolen disk image, learns names, times and
lengths of the secrets and nothing else; an entry that is changed, or moved to another name or
vault, does not open. What it does not: a key file that lies beside it opens it, so let the service
manager hand over the key (a file `bzzz-vault-key` or `bzzz-vault-passphrase` in
`$CREDENTIALS_DIRECTORY`, see systemd.exec); and who can write the file can put an older one back.

Rules: values enter by an argument of type `Secret` and leave as one; no message holds one.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from bzzz_core.config.secrets import Secret
from bzzz_core.errors import SecretError, TrustError
from bzzz_core.trust import private_files

FILE: Final = "vault"
KEY_FILE: Final = "vault.key"
KEY_CREDENTIAL: Final = "bzzz-vault-key"
PASSPHRASE_CREDENTIAL: Final = "bzzz-vault-passphrase"  # noqa: S105  the name of a file
SCRYPT_N: Final = 2**17
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_VALUE_BYTES_MAX: Final = 65_536
_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

Text = Annotated[str, msgspec.Meta(max_length=200_000)]
Passphrase = Callable[[], Secret]


class KeyFileLock(msgspec.Struct, frozen=True, tag="key-file", tag_field="kind"):
    """The data key is sealed under the content of the key file."""


class PassphraseLock(msgspec.Struct, frozen=True, tag="scrypt", tag_field="kind"):
    """The data key is sealed under a passphrase; the bounds keep a forged file from costing us."""

    salt: Annotated[bytes, msgspec.Meta(min_length=16, max_length=64)]
    n: Annotated[int, msgspec.Meta(ge=2**14, le=2**20)] = SCRYPT_N
    r: Annotated[int, msgspec.Meta(ge=8, le=16)] = 8
    p: Annotated[int, msgspec.Meta(ge=1, le=4)] = 1


class Entry(msgspec.Struct, frozen=True):
    """One secret, sealed."""

    sealed: Text
    at: Annotated[str, msgspec.Meta(max_length=40)]
    """When it was put in, for people."""


Name = Annotated[str, msgspec.Meta(pattern=_NAME)]


class _Document(msgspec.Struct, frozen=True):
    format: Literal["bzzz-vault 1"]
    id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    lock: KeyFileLock | PassphraseLock
    key: Text
    entries: Annotated[dict[Name, Entry], msgspec.Meta(max_length=1_000)]


class Vault:
    """The secrets of one directory."""

    def __init__(
        self, directory: Path, *, passphrase: Passphrase | None = None, scrypt_n: int = SCRYPT_N
    ) -> None:
        """Open nothing.

        Args:
            directory: Where `vault` and, if there is one, `vault.key` lie; mode 0700.
            passphrase: Asks for the passphrase of a vault that has one; None: only the service
                manager can hand it over.
            scrypt_n: Cost of the passphrase of a vault that is made: memory is n KiB.
        """
        self._path = directory / FILE
        self._key_path = directory / KEY_FILE
        self._passphrase = passphrase
        self._n = scrypt_n

    @property
    def exists(self) -> bool:
        """Return whether there is one."""
        return self._path.exists()

    def create(self, *, with_passphrase: bool) -> None:
        """Make an empty vault, and its key file unless a passphrase locks it.

        Raises:
            SecretError: There is one already.
            TrustError: The directory cannot be used.
        """
        if self.exists:
            raise SecretError(f"{self._path} is there already; its lock stays as it is")
        private_files.private_directory(self._path.parent)
        vault_id = secrets.token_hex(16)
        lock = (
            PassphraseLock(secrets.token_bytes(16), self._n) if with_passphrase else KeyFileLock()
        )
        needs_key = not self._key_path.exists() and _credential(KEY_CREDENTIAL) is None
        if needs_key and not with_passphrase:
            key = base64.b64encode(secrets.token_bytes(_KEY_BYTES)) + b"\n"
            private_files.create(self._key_path, key)
            _give_to_owner_of(self._path.parent, self._key_path)
        data_key = secrets.token_bytes(_KEY_BYTES)
        sealed = _seal(self._lock_key(lock), data_key, _bound("key", vault_id))
        self._save(_Document("bzzz-vault 1", vault_id, lock, sealed, {}))

    def entries(self) -> dict[str, str]:
        """Return the time at which each entry was put in, by name.

        Raises:
            SecretError: There is no vault, or it is damaged.
        """
        return {name: entry.at for name, entry in sorted(self._load().entries.items())}

    def get(self, name: str) -> Secret:
        """Return one secret.

        Raises:
            SecretError: There is none of that name, or it does not open.
        """
        document = self._load()
        entry = document.entries.get(name)
        if entry is None:
            raise SecretError(
                f"{self._path} has no entry {name}; add it: bzzz-agent config secret set {name}"
            )
        value = _open(
            self._data_key(document),
            entry.sealed,
            _bound("entry", document.id, name),
            f"entry {name} of {self._path}",
        )
        return Secret(value.decode("utf-8"))

    def put(self, name: str, value: Secret, *, at: str) -> None:
        """Add a secret or take the place of the old one.

        Raises:
            SecretError: The vault does not open, or name or value cannot be.
        """
        content = value.reveal().encode()
        if not content or len(content) > _VALUE_BYTES_MAX:
            raise SecretError(f"a secret has 1 to {_VALUE_BYTES_MAX} bytes")
        document = self._load()
        data_key = self._data_key(document)
        sealed = _seal(data_key, content, _bound("entry", document.id, name))
        entries = {**document.entries, name: Entry(sealed, at)}
        self._save(msgspec.structs.replace(document, entries=entries))

    def remove(self, name: str) -> bool:
        """Remove a secret; return whether there was one.

        Raises:
            SecretError: There is no vault, or it is damaged.
        """
        document = self._load()
        entries = {key: entry for key, entry in document.entries.items() if key != name}
        self._save(msgspec.structs.replace(document, entries=entries))
        return len(entries) < len(document.entries)

    def _load(self) -> _Document:
        if not self.exists:
            raise SecretError(f"there is no vault at {self._path}; make it: config secret set NAME")
        try:
            return msgspec.json.decode(private_files.read(self._path), type=_Document)
        except (ValueError, RecursionError):
            raise SecretError(f"{self._path} is damaged; restore it from a backup") from None
        except TrustError as exc:
            raise SecretError(str(exc)) from exc

    def _save(self, document: _Document) -> None:
        try:
            checked = msgspec.convert(msgspec.to_builtins(document), _Document)
        except ValueError as exc:
            raise SecretError("a name has letters, digits and . _ - only, 64 at most") from exc
        content = msgspec.json.format(msgspec.json.encode(checked), indent=2) + b"\n"
        private_files.replace(self._path, content)
        _give_to_owner_of(self._path.parent, self._path)

    def _data_key(self, document: _Document) -> bytes:
        where = f"{self._path} with this {'passphrase' if _has_passphrase(document) else 'key'}"
        lock_key = self._lock_key(document.lock)
        return _open(lock_key, document.key, _bound("key", document.id), where)

    def _lock_key(self, lock: KeyFileLock | PassphraseLock) -> bytes:
        if isinstance(lock, PassphraseLock):
            given = _credential(PASSPHRASE_CREDENTIAL)
            if given is not None:
                passphrase = _text_of(given)
            elif self._passphrase is not None:
                passphrase = self._passphrase()
            else:
                raise SecretError(
                    f"{self._path} wants a passphrase, and the service manager handed over no"
                    f" {PASSPHRASE_CREDENTIAL}"
                )
            kdf = Scrypt(salt=lock.salt, length=_KEY_BYTES, n=lock.n, r=lock.r, p=lock.p)
            return kdf.derive(passphrase.reveal().encode())
        path = _credential(KEY_CREDENTIAL) or self._key_path
        try:
            content = _read_credential(path) if path != self._key_path else private_files.read(path)
            key = base64.b64decode(content.strip(), validate=True)
        except (binascii.Error, OSError, TrustError) as exc:
            raise SecretError(f"the vault's key cannot be used: {path}") from exc
        if len(key) != _KEY_BYTES:
            raise SecretError(f"{path} is not a vault's key")
        return key


def _has_passphrase(document: _Document) -> bool:
    return isinstance(document.lock, PassphraseLock)


def _credential(name: str) -> Path | None:
    """Return the file in which the service manager hands over a credential, if it does."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
    path = Path(directory) / name
    return path if directory.startswith("/") and path.exists() else None


def _read_credential(path: Path) -> bytes:
    """Read what the service manager handed over; it sees to it who may, in its own way."""
    with path.open("rb") as file:
        return file.read(_VALUE_BYTES_MAX)


def _text_of(path: Path) -> Secret:
    try:
        return Secret(_read_credential(path).decode("utf-8").removesuffix("\n"))
    except (OSError, UnicodeDecodeError):
        raise SecretError(f"{path} cannot be read as text") from None


def _bound(*parts: str) -> bytes:
    """Return what a sealed text is bound to, so that it opens nowhere else."""
    return "\0".join(("bzzz vault 1", *parts)).encode()


def _seal(key: bytes, content: bytes, bound_to: bytes) -> str:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, content, bound_to)).decode()


def _open(key: bytes, sealed: str, bound_to: bytes, what: str) -> bytes:
    try:
        content = base64.b64decode(sealed, validate=True)
        return AESGCM(key).decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], bound_to)
    except (InvalidTag, binascii.Error, ValueError):
        raise SecretError(f"{what} does not open: wrong key, or it was changed") from None


def _give_to_owner_of(directory: Path, path: Path) -> None:
    """Let the service read what root wrote for it."""
    wanted, found = directory.stat(), path.stat()
    if os.geteuid() == 0 and (wanted.st_uid, wanted.st_gid) != (found.st_uid, found.st_gid):
        os.chown(path, wanted.st_uid, wanted.st_gid)
