"""How the login that setup uses may come in: the keys it has, and what sshd says of passwords."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from bzzz_core.deploy.facts.sections import pairs_list

KEYS_MAX: Final = 500
_KEY: Final = re.compile(r"(?:ssh|ecdsa|sk)-[a-z0-9@.-]{1,60} [A-Za-z0-9+/]{16,20000}={0,2}")


class LoginKeys(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What sshd knows of one user."""

    user: str
    home: str
    file: str = ""
    """The first of its files of keys, where a new key belongs; "": sshd reads none."""
    keys: tuple[str, ...] = ()
    """"TYPE BASE64" of each key in any of them."""
    passwords: bool | None = None
    """Whether a password lets anybody in."""
    dropins: bool = False
    """Whether sshd reads /etc/ssh/sshd_config.d."""


def read_login(text: str) -> LoginKeys:
    """Return what the section `login` printed.

    Raises:
        ValueError: It does not say whom it speaks of.
    """
    said = pairs_list(text) or []
    first = dict(reversed(said))
    if not first.get("user") or not first.get("home"):
        raise ValueError("no user")
    words = [value for key, value in said if key in {"passwords", "keyboard"}]
    keys = [" ".join(value.split()) for key, value in said if key == "key"]
    return LoginKeys(
        user=first["user"],
        home=first["home"],
        file=first.get("file", ""),
        keys=tuple(dict.fromkeys(key for key in keys[:KEYS_MAX] if _KEY.fullmatch(key))),
        passwords="yes" in words if words else None,
        dropins=first.get("dropins") == "yes",
    )
