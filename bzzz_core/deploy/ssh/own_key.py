"""The key that setup installs on the hosts: made for the cluster, or named in the answers.

One that is made is ed25519 and lies at `clusters/<name>/ssh/id_ed25519`, 0600, its public half
beside it. With a passphrase it is locked as PKCS#8 (scrypt-like key stretching of the library's
choice); without one, file permissions guard it alone, as they guard the authorities' passphrase.
"""

from __future__ import annotations

from pathlib import Path

import asyncssh

from bzzz_core.config.secrets import Secret
from bzzz_core.errors import ConfigError
from bzzz_core.trust import private_files

PUBLIC_BYTES_MAX = 20_000


def create(path: Path, *, comment: str, passphrase: Secret | None) -> None:
    """Make a new key and its public half.

    Raises:
        FileExistsError: There is one; it is untouched.
        TrustError: The directory cannot be made private.
    """
    private_files.private_directory(path.parent)
    key = asyncssh.generate_private_key("ssh-ed25519", comment=comment)
    if passphrase is None:
        text = key.export_private_key("openssh")
    else:
        text = key.export_private_key("pkcs8-pem", passphrase.reveal())
    private_files.create(path, text)
    private_files.replace(public_path(path), key.export_public_key("openssh"))


def public_path(path: Path) -> Path:
    """Return where the public half of a key lies."""
    return path.with_name(f"{path.name}.pub")


def public_line(path: Path) -> str:
    """Return "TYPE BASE64" of a key's public half.

    Raises:
        ConfigError: The file beside the private key is missing or holds no public key.
    """
    beside = public_path(path)
    try:
        with beside.open("rb") as file:
            key = asyncssh.import_public_key(file.read(PUBLIC_BYTES_MAX))
    except FileNotFoundError as exc:
        made = f"; make it with: ssh-keygen -y -f {path} > {beside}" if path.exists() else ""
        raise ConfigError(f"{beside} is missing{made}") from exc
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{beside} holds no public key: {exc}") from exc
    return " ".join(key.export_public_key("openssh").decode("ascii").split()[:2])
