"""Who may release: a file of public keys, one a line, as `KEY-ID BASE64 comment`.

The operator's lies at `release-keys` in the operator's directory; a node's own at
`/etc/bzzz/release-keys`. Whoever can write such a file decides what is installed there, so a file
that others may write is refused.
"""

from __future__ import annotations

import base64
import binascii
import stat
from pathlib import Path
from typing import Final

from bzzz_core.config.profile_places import home
from bzzz_core.errors import TrustError
from bzzz_core.trust import private_files
from bzzz_core.trust.keys import node_id_of

FILE: Final = "release-keys"
_BYTES_MAX: Final = 100_000


def trusted_file(base: Path | None = None) -> Path:
    """Return the operator's file of trusted release keys."""
    return (base or home()) / FILE


def key_line(public_key: bytes, comment: str) -> str:
    """Return a public key as it stands in such a file, without an end of line."""
    encoded = base64.b64encode(public_key).decode("ascii")
    return f"{node_id_of(public_key)} {encoded} {' '.join(comment.split())}".rstrip()


def load(path: Path) -> dict[str, bytes]:
    """Return the keys in a file by their ids; none if there is no file.

    Raises:
        TrustError: It is malformed, or others may write it.
    """
    try:
        with path.open("rb") as file:
            mode = path.stat().st_mode
            text = file.read(_BYTES_MAX).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise TrustError(f"{path}: {exc.strerror}") from exc
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise TrustError(f"{path} may be written by others; run: chmod go-w {path}")
    return parse(text, str(path))


def parse(text: str, name: str) -> dict[str, bytes]:
    """Return the keys in a text; empty lines and lines that begin with # say nothing.

    Raises:
        TrustError: A line is no key, or its id does not follow from it.
    """
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            public = base64.b64decode(words[1], validate=True)
            right = node_id_of(public) == words[0]
        except (IndexError, binascii.Error, ValueError, TrustError) as exc:
            raise TrustError(f"{name}, line {number}: no key id and key") from exc
        if not right:
            raise TrustError(f"{name}, line {number}: the id does not follow from the key")
        found[words[0]] = public
    return found


def trust(public_key: bytes, comment: str, path: Path) -> bool:
    """Add a key to a file of trusted keys; return whether it was new.

    Raises:
        TrustError: The file is malformed or in others' hands.
    """
    if node_id_of(public_key) in load(path):
        return False
    # Nothing in it is secret; what counts is that nobody else can write it.
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if text and not text.endswith("\n"):
        text += "\n"
    private_files.replace(path, f"{text}{key_line(public_key, comment)}\n".encode())
    return True
