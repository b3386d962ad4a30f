"""The schema as form fields: what a form must show, taken from the same place as everything else.

A field's label, help, unit, default and constraint are those of `bzzz_core.config`; nothing about
a field is written down a second time. Values are text here, as they were typed; the schema itself
decides what the text means and whether it is right. No Textual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec
from pydantic import AfterValidator, BaseModel, ValidationError
from pydantic.fields import FieldInfo

from bzzz_core.config.secret_reference import check_reference
from bzzz_core.config.sections import ADDRESS, LOGIN, NAME
from bzzz_core.config.sections.patterns import DIRECTORY, HTTPS_URL, URL
from bzzz_core.config.sections.resources import CPU_LIST
from bzzz_core.config.sections.services import WINDOW

Path = tuple[str, ...]
_YES, _NO = "yes", "no"


class Kind(StrEnum):
    """How a field is edited."""

    TEXT = "text"
    NUMBER = "number"
    LIST = "list"
    """Texts, separated by commas."""
    ENTRIES = "entries"
    """Entries with fields of their own; the text is a JSON list of objects."""
    CHOICE = "choice"
    SWITCH = "switch"
    SECRET = "secret"  # noqa: S105  the name of a kind


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSpec:
    """One leaf of the schema."""

    path: Path
    label: str
    help: str
    unit: str
    default: str
    """As text; empty when there is none."""
    kind: Kind
    choices: tuple[str, ...] = ()
    optional: bool = False
    """Empty means "not set"."""
    active: bool = True
    """Something acts on it; if not, it is only kept."""
    item: type[BaseModel] | None = None
    """What an entry is, if the field holds entries."""

    @property
    def key(self) -> str:
        """Return the path as answers files and messages write it."""
        return ".".join(self.path)


def fields_of(
    model: type[BaseModel], prefix: Path = (), *, active: bool = True
) -> Iterator[FieldSpec]:
    """Yield every leaf of a section in the order of the schema."""
    for name, info in model.model_fields.items():
        kind = info.annotation
        marks = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        acts = active and bool(marks.get("active", True))
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from fields_of(kind, (*prefix, name), active=acts)
        else:
            yield _field(info, (*prefix, name), active=acts)


def to_value(spec: FieldSpec, text: str) -> Any:
    """Return what the schema is given for a typed text; None for "not set"."""
    text = text.strip()
    if spec.kind is Kind.SWITCH:
        return text == _YES
    if spec.kind is Kind.ENTRIES:
        return entries_in(text)
    if spec.kind is Kind.LIST:
        return [item for item in (part.strip() for part in text.split(",")) if item]
    if not text and spec.optional:
        return None
    if spec.kind is Kind.NUMBER:
        return _number(text)
    return text


def _number(text: str) -> int | float | str:
    """Return a typed number, or the text if it is none: the schema then says so."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def entries_in(text: str) -> list[dict[str, Any]]:
    """Return the entries in the text of such a field; none if the text is damaged."""
    try:
        return msgspec.json.decode(text or "[]", type=list[dict[str, Any]])
    except (msgspec.DecodeError, RecursionError):
        return []


def entries_text(entries: Iterable[Mapping[str, Any]]) -> str:
    """Return the text that `entries_in` reads; empty for no entries."""
    found = list(entries)
    return msgspec.json.encode(found).decode() if found else ""


def faults_of(field: FieldSpec, entry: Mapping[str, Any]) -> dict[str, str]:
    """Return what is wrong with one entry, by the name of its field; "" is the entry as a whole."""
    assert field.item is not None, "only lists of entries have any"
    wrong: dict[str, str] = {}
    try:
        field.item.model_validate(entry)
    except ValidationError as exc:
        for error in exc.errors(include_url=False, include_input=False):
            wrong.setdefault(str(error["loc"][0]) if error["loc"] else "", explain(error))
    return wrong


def fields_in(field: FieldSpec) -> tuple[FieldSpec, ...]:
    """Return the fields of an entry."""
    assert field.item is not None, "only lists of entries have any"
    return tuple(fields_of(field.item))


def to_text(value: Any) -> str:
    """Return a value as a form shows it."""
    if isinstance(value, tuple) and any(isinstance(item, BaseModel) for item in value):
        return entries_text(item.model_dump(mode="json", exclude_defaults=True) for item in value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return _YES if value else _NO
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    return str(value)


def _field(info: FieldInfo, path: Path, *, active: bool) -> FieldSpec:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    kinds = list(_alternatives(info.annotation))
    optional = type(None) in kinds
    choices = tuple(str(word) for kind in kinds for word in _literals(kind))
    item = next((found for kind in kinds if (found := _item_of(kind)) is not None), None)
    if bool in kinds:
        form, choices = Kind.SWITCH, (_NO, _YES)
    elif choices:
        form = Kind.CHOICE
    elif _is_secret(info, kinds):
        form = Kind.SECRET
    elif item is not None:
        form = Kind.ENTRIES
    elif any(get_origin(kind) is tuple for kind in kinds):
        form = Kind.LIST
    else:
        form = Kind.NUMBER if {int, float} & set(kinds) else Kind.TEXT
    default = "" if info.is_required() else to_text(info.get_default(call_default_factory=True))
    return FieldSpec(
        path=path,
        label=info.title or path[-1],
        help=info.description or "",
        unit=str(extra.get("unit") or ""),
        default=default,
        kind=form,
        choices=choices,
        optional=optional,
        active=active,
        item=item,
    )


def _item_of(kind: Any) -> type[BaseModel] | None:
    """Return what the entries of a list are, if they have fields."""
    if get_origin(kind) is not tuple:
        return None
    item = get_args(kind)[0]
    return item if isinstance(item, type) and issubclass(item, BaseModel) else None


def _alternatives(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) in {Union, UnionType}:
        for part in get_args(annotation):
            yield from _alternatives(part)
    else:
        yield annotation


def _literals(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()


def _is_secret(info: FieldInfo, kinds: list[Any]) -> bool:
    marks = list(info.metadata)
    for kind in kinds:
        if get_origin(kind) is Annotated:
            marks += get_args(kind)[1:]
    return any(isinstance(mark, AfterValidator) and mark.func is check_reference for mark in marks)


_SENTENCES: Final = {
    NAME: "use lower-case letters, digits and dashes, such as bzzz-1",
    ADDRESS: "write an IP address or a host name",
    LOGIN: "write a user name",
    "^/": "write a path that starts with /",
    DIRECTORY: "write a path that starts with /, without blanks and quotes",
    CPU_LIST: "write processors as 0-3,8",
    URL: "write a URL that starts with http:// or https://, without a login",
    HTTPS_URL: "write a URL that starts with https://, without a login",
    r"^ldaps?://[^@\s]+$": "write a URL such as ldaps://ldap.example.org",
    r"^[^@\s]+@[^@\s]+$": "write an e-mail address",
    WINDOW: "write a day and times, such as sun 03:00-05:00 or daily 02:00-03:00",
    r"^(https?://[^@\s]+$|/|~/)": "write a URL without a login, or a path as /x or ~/x",
    r"^[0-9a-f]{64}$": "write a SHA-256: 64 digits and letters a to f",
    r"^SHA256:[A-Za-z0-9+/]{43}$": "write a fingerprint as `ssh-keygen -l` prints it: SHA256:...",
}


_EXPLAIN: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "string_pattern_mismatch": lambda context: _SENTENCES.get(
        str(context.get("pattern")), "this form is not accepted"
    ),
    "greater_than_equal": lambda context: f"must be at least {context.get('ge')}",
    "less_than_equal": lambda context: f"must be at most {context.get('le')}",
    "int_parsing": lambda _context: "write a whole number",
    "int_type": lambda _context: "write a whole number",
    "missing": lambda _context: "this is needed",
    "string_too_short": lambda _context: "this is needed",
    "too_short": lambda _context: "this is needed",
    "literal_error": lambda context: f"choose one of: {context.get('expected')}",
}


def explain(error: Any) -> str:
    """Return what to type instead, for one of pydantic's errors."""
    words = _EXPLAIN.get(error["type"])
    if words is not None:
        return words(error.get("ctx", {}))
    return str(error["msg"]).removeprefix("Value error, ")
