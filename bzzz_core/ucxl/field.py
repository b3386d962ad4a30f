"""One field of an address: a name or a path segment, its characters and its percent-encoding.

The same rule holds for every field, so that no character has to be looked up by its place. A field
is kept decoded; a wildcard is no text, so `*` written as `%2A` stays a letter.

Rules: positions are those of the whole text; nothing but `AddressError` leaves this file.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from bzzz_core.errors import AddressError

FIELD_BYTES_MAX: Final = 255
"""What common file systems take as one name."""


class Wildcard(Enum):
    """A field that stands for others."""

    ONE = "*"
    """Exactly one name or segment."""
    DEEP = "**"
    """Any number of segments, none included; only in a path."""

    def __repr__(self) -> str:
        """Return the name alone."""
        return self.name


Field = str | Wildcard

_REFUSED_CHARACTERS: Final = (
    "\x00-\x1f\x7f-\x9f"  # controls
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # line ends, and what reorders text
    "\ud800-\udfff"  # halves of a surrogate pair
)
_refused = re.compile(f"[{_REFUSED_CHARACTERS}]").search
_plain = re.compile(r"[A-Za-z0-9._~-]+").fullmatch
_readable = re.compile(
    rf"(?:[A-Za-z0-9._~!$&'()+,;=-]|[^\x00-\x7f{_REFUSED_CHARACTERS}]|%[0-9A-Fa-f]{{2}})*+"
).match
_encoded_runs = re.compile(r"(?:%[0-9A-Fa-f]{2})++").finditer


def read_field(text: str, start: int, end: int, what: str) -> str:
    """Return the decoded field at `text[start:end]`.

    Args:
        text: The whole address.
        start: Where the field begins.
        end: Where it is over.
        what: Its name in messages.

    Raises:
        AddressError: It is empty, too long, or holds what a field may not hold.
    """
    if start == end:
        raise AddressError(f"{what} is empty", position=start)
    found = _readable(text, start, end)
    stopped = found.end() if found else start
    if stopped < end:
        raise AddressError(_objection(text[stopped], what), position=stopped)
    value = text[start:end]
    if "%" in value:
        value = _decode(text, start, end, what)
    _check_whole(value, what, start)
    return value


def decode_fields(fields: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return short fields of unreserved and encoded characters decoded; None if one may be wrong.

    Whoever gets None asks `read_field`, which says what is wrong and where.
    """
    try:
        decoded = tuple(
            [unquote_to_bytes(field).decode() if "%" in field else field for field in fields]
        )
    except UnicodeDecodeError:
        return None
    characters = "".join(decoded)
    # A `%` is an encoded one, or one without its digits, which `unquote_to_bytes` lets stand.
    if "%" in characters or _refused(characters) or "." in decoded or ".." in decoded:
        return None
    return decoded


def check_field(value: str, what: str) -> None:
    """Check a decoded field that comes from a program.

    Raises:
        AddressError: No text can stand for it.
    """
    if not value:
        raise AddressError(f"{what} is empty")
    if found := _refused(value):
        raise AddressError(f"{what} holds {_name(found[0])}, which no address may hold")
    _check_whole(value, what, None)


def write_field(value: Field) -> str:
    """Return a field in its normal form."""
    if isinstance(value, Wildcard):
        return value.value
    return value if _plain(value) else quote(value, safe="")


def _decode(text: str, start: int, end: int, what: str) -> str:
    pieces: list[str] = []
    literal = start
    for run in _encoded_runs(text, start, end):
        pieces += text[literal : run.start()], _decode_run(run[0], run.start(), what)
        literal = run.end()
    return "".join([*pieces, text[literal:end]])


def _decode_run(run: str, position: int, what: str) -> str:
    data = bytes.fromhex(run.replace("%", ""))
    try:
        value = data.decode()
    except UnicodeDecodeError as exc:
        raise AddressError(
            f"{what} is encoded, but not as UTF-8", position=position + 3 * exc.start
        ) from exc
    if found := _refused(value):
        offset = 3 * len(value[: found.start()].encode())
        message = f"{what} holds {_name(found[0])}, which no address may hold"
        raise AddressError(message, position=position + offset)
    return value


def _check_whole(value: str, what: str, position: int | None) -> None:
    if value in {".", ".."}:
        raise AddressError(f"{what} is {value!r}, which file systems resolve", position=position)
    if len(value) > FIELD_BYTES_MAX or len(value.encode()) > FIELD_BYTES_MAX:
        raise AddressError(f"{what} is longer than {FIELD_BYTES_MAX} bytes", position=position)


def _objection(character: str, what: str) -> str:
    if character == "*":
        return (
            f"{what} has a `*` beside other characters; a wildcard is a whole field (%2A: a star)"
        )
    if character == "%":
        return f"{what} has a `%` without two hexadecimal digits (%25: a percent sign)"
    if _refused(character):
        return f"{what} holds {_name(character)}, which no address may hold"
    return f"{what} holds {_name(character)}, which has to be percent-encoded here"


def _name(character: str) -> str:
    code = f"U+{ord(character):04X}"
    return f"`{character}` ({code})" if "!" <= character <= "~" else code
