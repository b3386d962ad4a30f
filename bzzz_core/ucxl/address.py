"""`ucxl://agent:role@project:task/path*temporal/`: read, written, and in one normal form.

Two ways through the same grammar. Most addresses hold nothing but unreserved characters and
percent-encoded ones, and one regular expression takes them apart. Everything else, and everything
wrong, goes through the reader, which knows the place of each mistake. A property test holds the two
to the same answer.

Rules: `str(address)` is the normal form, and reading it gives the same address again; no text makes
`parse` raise anything but `AddressError` with a position.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bzzz_core.errors import AddressError
from bzzz_core.ucxl.field import (
    Field,
    Wildcard,
    check_field,
    decode_fields,
    read_field,
    write_field,
)
from bzzz_core.ucxl.temporal import LATEST, Temporal, read_temporal

CHARACTERS_MAX: Final = 4_096
"""Of the text, and of the normal form."""
SEGMENTS_MAX: Final = 128
_SHORT_MAX: Final = 255
"""In a text this short no field and no path can be too long."""
_GROWTH_MAX: Final = 12
"""How many characters of a normal form one character of the text can become: four bytes, %XX."""
_TOO_LONG: Final = f"the normal form is longer than {CHARACTERS_MAX} characters"
_SCHEME: Final = "ucxl://"
_NAMES: Final = ("agent", "role", "project", "task")
_SELECTORS: Final = ("*^", "*~", "*@")
_UNDOTTED: Final = r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*+"
_ENCODED: Final = r"[A-Za-z0-9_~%-][A-Za-z0-9._~%-]*+"


def _whole(field: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(
        rf"ucxl://({field}):({field})@({field}):({field})"
        rf"(?:/(?!/)({field}(?:/{field})*+)?+(?:\*([\^~@][^*/]*+))?/?)?"
    ).fullmatch


_plain, _encoded = _whole(_UNDOTTED), _whole(_ENCODED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One thing and one of its versions, or with wildcards a pattern of such."""

    agent: Field
    role: Field
    project: Field
    task: Field
    path: tuple[Field, ...] = ()
    """Segments, decoded; empty for the task itself."""
    temporal: Temporal = LATEST

    def __post_init__(self) -> None:
        """Refuse what cannot be written.

        Raises:
            AddressError: A field or the whole is out of bounds; without a position.
        """
        for name in _NAMES:
            value = getattr(self, name)
            if value is Wildcard.DEEP:
                raise AddressError(f"{name} is `**`, which only a path may hold")
            if not isinstance(value, Wildcard):
                check_field(value, name)
        if len(self.path) > SEGMENTS_MAX:
            raise AddressError(f"the path has more than {SEGMENTS_MAX} segments")
        for segment in self.path:
            if not isinstance(segment, Wildcard):
                check_field(segment, "a segment")
        if len(str(self)) > CHARACTERS_MAX:
            raise AddressError(_TOO_LONG)

    @property
    def names(self) -> tuple[Field, Field, Field, Field]:
        """Return agent, role, project and task."""
        return self.agent, self.role, self.project, self.task

    @property
    def is_pattern(self) -> bool:
        """Return whether a wildcard is among the fields."""
        return any(isinstance(field, Wildcard) for field in (*self.names, *self.path))

    def __str__(self) -> str:
        """Return the normal form."""
        agent, role, project, task = map(write_field, self.names)
        path = "/".join(map(write_field, self.path))
        temporal = "" if self.temporal == LATEST else f"*{self.temporal}"
        return f"{_SCHEME}{agent}:{role}@{project}:{task}/{path}{temporal}"


_new, _set = object.__new__, object.__setattr__


def _build(names: Sequence[Field], path: tuple[Field, ...], temporal: Temporal) -> Address:
    """Return an address of fields that were read, and need no second look: it costs as much."""
    address = _new(Address)
    agent, role, project, task = names
    _set(address, "agent", agent)
    _set(address, "role", role)
    _set(address, "project", project)
    _set(address, "task", task)
    _set(address, "path", path)
    _set(address, "temporal", temporal)
    return address


def parse(text: str) -> Address:
    """Read an address.

    Raises:
        AddressError: It is none; `position` is that of the first character at fault.
    """
    if len(text) > _SHORT_MAX:
        return _read(text)
    encoded = "%" in text
    found = _encoded(text) if encoded else _plain(text)
    if found is None:
        return _read(text)
    agent, role, project, task, path, selector = found.groups()
    names: tuple[str, ...] = (agent, role, project, task)
    segments: tuple[str, ...] = tuple(path.split("/")) if path else ()
    if encoded:
        fields = decode_fields((*names, *segments))
        if fields is None:
            return _read(text)
        names, segments = fields[:4], fields[4:]
    temporal = read_temporal(text, *found.span(6)) if selector else LATEST
    return _build(names, segments, temporal)


def normalize(text: str) -> str:
    """Return the normal form of an address.

    Raises:
        AddressError: It is none.
    """
    return str(parse(text))


def _read(text: str) -> Address:
    if len(text) > CHARACTERS_MAX:
        message = f"an address has at most {CHARACTERS_MAX} characters"
        raise AddressError(message, position=CHARACTERS_MAX)
    _read_scheme(text)
    slash = text.find("/", len(_SCHEME))
    end = len(text) if slash < 0 else slash
    names = _read_names(text, end)
    address = _build(names, *_read_rest(text, end + 1))
    if len(text) > CHARACTERS_MAX // _GROWTH_MAX and len(str(address)) > CHARACTERS_MAX:
        raise AddressError(_TOO_LONG, position=len(text))
    return address


def _read_scheme(text: str) -> None:
    for position, wanted in enumerate(_SCHEME):
        found = text[position : position + 1]
        if found != wanted and not (found.isascii() and found.lower() == wanted):
            raise AddressError(f"an address begins with {_SCHEME}", position=position)


def _read_names(text: str, end: int) -> list[Field]:
    names: list[Field] = []
    start = len(_SCHEME)
    for name, delimiter in zip(_NAMES, (":", "@", ":", None), strict=True):
        found = end if delimiter is None else text.find(delimiter, start, end)
        over = end if found < 0 else found
        one = text[start:over] == Wildcard.ONE.value
        names.append(Wildcard.ONE if one else read_field(text, start, over, name))
        if found < 0:
            raise AddressError(f"`{delimiter}` is missing behind the {name}", position=end)
        start = over + 1
    return names


def _read_rest(text: str, start: int) -> tuple[tuple[Field, ...], Temporal]:
    """Read what follows the slash behind the task; `start` may be past the end."""
    end = len(text)
    if end - start > 1 and text[-1] == "/":
        end -= 1
    star = max(text.rfind(selector, start, end) for selector in _SELECTORS)
    if star < 0:
        return _read_path(text, start, end), LATEST
    if star > start and text[star - 1] == "/":
        message = "an empty segment before the temporal part (/**^ is the wildcard of /*, latest)"
        raise AddressError(message, position=star)
    return _read_path(text, start, star), read_temporal(text, star + 1, end)


def _read_path(text: str, start: int, end: int) -> tuple[Field, ...]:
    if start >= end:
        return ()
    path: list[Field] = []
    for piece in text[start:end].split("/"):
        if len(path) == SEGMENTS_MAX:
            message = f"the path has more than {SEGMENTS_MAX} segments"
            raise AddressError(message, position=start)
        over = start + len(piece)
        if piece in ("*", "**"):
            path.append(Wildcard(piece))
        else:
            path.append(read_field(text, start, over, "a segment"))
        start = over + 1
    return tuple(path)
