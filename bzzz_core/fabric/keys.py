"""Which keys, prefixes, values and lifetimes a bucket takes; the same for every adapter."""

from __future__ import annotations

import re
from typing import Final

from bzzz_core.ports import BLOB_BYTES_MAX, VALUE_BYTES_MAX

KEY_CHARACTERS_MAX: Final = 256
TTL_S_MAX: Final = 10 * 366 * 86_400
_KEY: Final = re.compile(r"[A-Za-z0-9_=/-]+(\.[A-Za-z0-9_=/-]+)*")


def check_key(key: str) -> None:
    """Raise ValueError unless `key` is one."""
    if len(key) > KEY_CHARACTERS_MAX or not _KEY.fullmatch(key):
        raise ValueError(
            f"{key[:KEY_CHARACTERS_MAX]!r} is no key: dotted tokens of letters, digits and -_=/,"
            f" {KEY_CHARACTERS_MAX} characters at most"
        )


def check_prefix(prefix: str) -> None:
    """Raise ValueError unless `prefix` is a key or empty."""
    if prefix:
        check_key(prefix)


def check_value(value: bytes) -> None:
    """Raise ValueError if `value` is too large."""
    if len(value) > VALUE_BYTES_MAX:
        raise ValueError(f"a value has at most {VALUE_BYTES_MAX} bytes, not {len(value)}")


def check_blob(data: bytes) -> None:
    """Raise ValueError if `data` is too large."""
    if len(data) > BLOB_BYTES_MAX:
        raise ValueError(f"a blob has at most {BLOB_BYTES_MAX} bytes, not {len(data)}")


def check_ttl(ttl_s: int | None) -> None:
    """Raise ValueError unless `ttl_s` is a lifetime; the store counts whole seconds."""
    if ttl_s is not None and (not isinstance(ttl_s, int) or not 1 <= ttl_s <= TTL_S_MAX):
        raise ValueError(f"a lifetime is a whole number of seconds, at least 1, not {ttl_s!r}")


def is_below(prefix: str, key: str) -> bool:
    """Return whether `key` lies below `prefix`."""
    return not prefix or key.startswith(f"{prefix}.")


def pattern_below(prefix: str) -> str:
    """Return the subject pattern of all keys below `prefix`."""
    return f"{prefix}.>" if prefix else ">"
