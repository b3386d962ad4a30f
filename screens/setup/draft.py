"""The answers as far as they have been given: text as typed, right or wrong, never lost.

A draft becomes a `ClusterSpec` only when the schema accepts all of it; until then `errors` says,
field by field, what to type. It is the same schema that checks an answers file, so the wizard can
not ask for anything else, nor accept anything else. No Textual.

Rules: going back, jumping and resuming never drop a text; a secret is held as a reference only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
from pydantic import BaseModel, ValidationError

from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.config.secret_reference import is_reference
from bzzz_core.config.sources import to_yaml
from bzzz_tui.fields import (
    FieldSpec,
    Kind,
    entries_in,
    entries_text,
    explain,
    fields_of,
    to_text,
    to_value,
)

if TYPE_CHECKING:
    from bzzz_core.deploy.inventory import Listed

PORT_MAX: Final = 65_535
_LOGIN_IN_URL: Final = re.compile(r"://.*@", re.DOTALL)
"""Up to the last `@`: a password that was pasted may have any character in it."""
_PORT_DIGITS_MAX: Final = 5
_HOST_FIELDS: Final = tuple(HostSpec.model_fields)


class HostDraft(msgspec.Struct, frozen=True, omit_defaults=True):
    """One machine as typed."""

    name: str
    address: str
    port: str = ""
    user: str = ""
    host_key_sha256: str = ""
    roles: str = ""
    """Separated by commas; empty: the schema's own."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at one place."""

    key: str
    """Path joined by dots; `hosts.0.name` for hosts, "" for the whole."""
    words: str


def _all_fields() -> tuple[FieldSpec, ...]:
    sections: list[FieldSpec] = []
    for name, info in ClusterSpec.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            sections += fields_of(kind, (name,))
    return tuple(sections)


FIELDS: Final = {spec.key: spec for spec in _all_fields()}
"""Every leaf of the eight sections by its key."""


class Draft:
    """Answers in the making."""

    def __init__(
        self, texts: dict[str, str] | None = None, hosts: Iterable[HostDraft] = ()
    ) -> None:
        """Start from texts that differ from the defaults, and hosts."""
        self._texts = {key: text for key, text in (texts or {}).items() if key in FIELDS}
        self.hosts: tuple[HostDraft, ...] = tuple(hosts)

    @classmethod
    def of(cls, spec: ClusterSpec) -> Draft:
        """Return the draft that says the same as complete answers."""
        draft = cls(hosts=[_host_draft(host) for host in spec.hosts])
        for key, field in FIELDS.items():
            value: Any = spec
            for part in field.path:
                value = getattr(value, part)
            draft.set(key, to_text(value))
        return draft

    def get(self, key: str) -> str:
        """Return the text of a field: what was typed, or the default."""
        return self._texts.get(key, FIELDS[key].default)

    def set(self, key: str, text: str) -> bool:
        """Take a text; return whether it differs from the one before."""
        before = self.get(key)
        if text == FIELDS[key].default:
            self._texts.pop(key, None)
        else:
            self._texts[key] = text
        return text != before

    def document(self) -> dict[str, Any]:
        """Return the answers in the form of an answers file; defaults are left out."""
        data: dict[str, Any] = {
            "version": 1,
            "hosts": [_host_document(host) for host in self.hosts],
        }
        for key, text in self._texts.items():
            field = FIELDS[key]
            place = data
            for part in field.path[:-1]:
                place = place.setdefault(part, {})
            place[field.path[-1]] = to_value(field, text)
        return data

    def yaml(self) -> str:
        """Return the answers file that says the same."""
        return to_yaml(self.safe_document())

    def safe_document(self) -> dict[str, Any]:
        """Return the document without texts that stand where a reference belongs."""
        return Draft(self.safe_texts(), self.hosts).document()

    def safe_texts(self) -> dict[str, str]:
        """Return the texts without what may be a pasted secret."""
        wrong = {problem.key for problem in self.problems()}
        return {
            key: _safe_text(FIELDS[key], text, right=key not in wrong)
            for key, text in self._texts.items()
            if FIELDS[key].kind is not Kind.SECRET or key not in wrong
        }

    def spec(self) -> ClusterSpec | None:
        """Return the complete answers, or None while something is wrong."""
        try:
            return ClusterSpec.model_validate(self.document())
        except ValidationError:
            return None

    def section(self, name: str) -> Any:
        """Return one section; only after its part of `problems` was found to be empty."""
        kind: Any = ClusterSpec.model_fields[name].annotation
        return kind.model_validate(self.document().get(name, {}))

    def problems(self) -> list[Problem]:
        """Return everything that is wrong, in the order of the schema."""
        try:
            ClusterSpec.model_validate(self.document())
        except ValidationError as exc:
            errors = exc.errors(include_url=False, include_input=False)
            return [_problem(error["loc"], explain(error)) for error in errors]
        return []


def _problem(place: tuple[int | str, ...], words: str) -> Problem:
    """Return the field that an error is about: of a list it is not one item, but the whole."""
    for length in range(len(place), 0, -1):
        key, inside = ".".join(map(str, place[:length])), place[length:]
        if key in FIELDS:
            if FIELDS[key].kind is Kind.ENTRIES and inside:
                number, *field = inside
                words = f"entry {int(number) + 1}: {''.join(f'{f}: ' for f in field)}{words}"
            return Problem(key, words)
    return Problem(".".join(map(str, place)), words)


def _safe_text(field: FieldSpec, text: str, *, right: bool) -> str:
    """Return a text without what may be a secret: no accepted one has a login in a URL."""
    if field.kind is Kind.ENTRIES:
        return _safe_entries(field, text, right=right)
    return text if right else _without_login(text)


def _without_login(text: Any) -> Any:
    return _LOGIN_IN_URL.sub("://***@", text) if isinstance(text, str) else text


def _safe_entries(field: FieldSpec, text: str, *, right: bool) -> str:
    """Return the text of entries without what stands where a reference belongs and is none."""
    assert field.item is not None, "only entries"
    secret = {spec.path[-1] for spec in fields_of(field.item) if spec.kind is Kind.SECRET}
    return entries_text(
        {
            key: value if right else _without_login(value)
            for key, value in entry.items()
            if key not in secret or is_reference(str(value))
        }
        for entry in entries_in(text)
    )


def parse_hosts(text: str, taken: Iterable[str]) -> list[HostDraft]:
    """Return the hosts in a typed or pasted text: `[name=][user@]address[:port]`, any number.

    Separators are blanks, commas and line ends; text after `#` is a comment. A host without a name
    gets the next free `bzzz-N`. IPv6 addresses with a port are written `[::1]:22`. A host may end
    in `+role`, once for each of its roles.
    """
    names = set(taken)
    hosts = []
    for line in text.splitlines():
        for word in line.partition("#")[0].replace(",", " ").split():
            host = _parse_host(word, names)
            names.add(host.name)
            hosts.append(host)
    return hosts


def host_of(listed: Listed) -> HostDraft:
    """Return the host that a file names."""
    return HostDraft(
        name=listed.name,
        address=listed.address,
        port=listed.port,
        user=listed.user,
        host_key_sha256=listed.host_key_sha256,
        roles=", ".join(listed.roles),
    )


def write_host(host: HostDraft) -> str:
    """Return a host in the form that `parse_hosts` reads."""
    address = f"[{host.address}]" if ":" in host.address and host.port else host.address
    port = f":{host.port}" if host.port else ""
    user = f"{host.user}@" if host.user else ""
    roles = "".join(f"+{role}" for role in _roles_in(host.roles))
    return f"{host.name}={user}{address}{port}{roles}"


def _parse_host(word: str, names: set[str]) -> HostDraft:
    name, found, rest = word.rpartition("=")
    user, _, place = rest.rpartition("@")
    place, *roles = place.split("+")
    if place.startswith("["):
        address, _, port = place[1:].partition("]")
        port = port.removeprefix(":")
    elif place.count(":") == 1:
        address, _, port = place.partition(":")
    else:
        address, port = place, ""
    if not found:
        number = 1
        while f"bzzz-{number}" in names:
            number += 1
        name = f"bzzz-{number}"
    return HostDraft(name=name, address=address, port=port, user=user, roles=", ".join(roles))


def _host_draft(host: HostSpec) -> HostDraft:
    values = {name: to_text(getattr(host, name, None)) for name in HostDraft.__struct_fields__}
    if host.roles == HostSpec.model_fields["roles"].default:
        values["roles"] = ""
    return HostDraft(**values)


def port_in(text: str) -> int | None:
    """Return the TCP port that a text says, or None if it says none."""
    number = int(text) if _is_short_number(text) else 0
    return number if 0 < number <= PORT_MAX else None


def _roles_in(text: str) -> list[str]:
    return [role for role in (part.strip() for part in text.split(",")) if role]


def _host_document(host: HostDraft) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for name in HostDraft.__struct_fields__:
        text = getattr(host, name).strip()
        if text and name in _HOST_FIELDS:
            document[name] = _host_value(name, text)
    return document


def _host_value(name: str, text: str) -> Any:
    if name == "roles":
        return _roles_in(text)
    if name == "port":
        return int(text) if _is_short_number(text) else text
    return text


def _is_short_number(text: str) -> bool:
    """Return whether a text is worth reading as a port: Python refuses very many digits."""
    return len(text) <= _PORT_DIGITS_MAX and text.isdecimal()
