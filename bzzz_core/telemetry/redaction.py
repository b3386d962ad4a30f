"""Keeps out of the log what must not be in it: secrets that this process holds, and controls.

`config.secrets.Secret` tells every value that it wraps (`learn`). Wherever one of these turns up in
a text that is logged, stars take its place; so does a private key, whoever it belongs to. This is
the last net, not the first: nobody logs secrets on purpose.

A control character in a log that is shown on a terminal can do what a program can (colours, titles,
answers typed into the shell), and one that turns the direction of writing makes a text read as
another. Everything that is not printable is therefore written as its number.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Final
from urllib.parse import quote

STARS: Final = "***"
SECRETS_MAX: Final = 128
CHARACTERS_MIN: Final = 8
"""A shorter text is too likely to be a word that means something else."""
FIELDS_MAX: Final = 32
LINE_CHARACTERS_MAX: Final = 8_000
"""Of the values of one line together."""
_KEY: Final = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.{0,100000}?(-----END|\Z)", re.DOTALL
)
_KEY_MARK: Final = "PRIVATE KEY-----"
_CUT: Final = " ... "

_lock: Final = Lock()
_order: Final[OrderedDict[str, None]] = OrderedDict()
_known: tuple[str, ...] = ()


def learn(value: str) -> None:
    """Let a value never be logged from now on; of many, the newest count."""
    global _known  # noqa: PLW0603  one process has one set of secrets
    if len(value) < CHARACTERS_MIN:
        return
    with _lock:
        for form in {value, quote(value, safe="")}:
            _order[form] = None
            _order.move_to_end(form)
        while len(_order) > SECRETS_MAX:
            _order.popitem(last=False)
        # The longest first: one may be a part of another.
        _known = tuple(sorted(_order, key=len, reverse=True))


def cleaned(text: str, *, characters_max: int, lines: bool = False) -> str:
    """Return a text as it may be logged.

    Args:
        text: Anything.
        characters_max: What is longer loses its middle: the end of a traceback says most.
        lines: Line ends stay.
    """
    for secret in _known:
        if secret in text:
            text = text.replace(secret, STARS)
    if _KEY_MARK in text:
        text = _KEY.sub(STARS, text)
    if len(text) > characters_max:
        text = _shortened(text, characters_max)
    if not text.isprintable():
        text = "".join(c if c.isprintable() or (lines and c == "\n") else _number(c) for c in text)
        if len(text) > characters_max:
            text = _shortened(text, characters_max)
    return text


def cleaned_fields(fields: Mapping[str, object], *, characters_max: int) -> dict[str, str]:
    """Return fields as texts, none longer than that, and all within the bounds of a line."""
    left = LINE_CHARACTERS_MAX
    found: dict[str, str] = {}
    for name, value in fields.items():
        if left <= 0 or len(found) == FIELDS_MAX:
            found["cut"] = f"{len(fields) - len(found)} more fields"
            break
        text = _text(value)
        most = min(characters_max, max(left, 16))
        found[cleaned(name, characters_max=100)] = text = cleaned(
            text, characters_max=most, lines=name == "exception"
        )
        left -= len(text)
    return found


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _shortened(text: str, characters_max: int) -> str:
    head = characters_max // 4
    return text[:head] + _CUT + text[len(text) - (characters_max - head - len(_CUT)) :]


def _number(character: str) -> str:
    code = ord(character)
    if code < 0x100:  # noqa: PLR2004
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004
