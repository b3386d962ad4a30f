"""The leaves of a schema: every value that can be set, with all that is known about it.

A leaf is a field that is no section: a number, a text, a list, a list of entries. Its key is its
path joined by dots (`network.ports.api`), its environment name the path in upper case joined by two
underscores behind `BZZZ_` (`BZZZ_NETWORK__PORTS__API`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo

from bzzz_core.config.secret_reference import check_reference

ENVIRONMENT_PREFIX: Final = "BZZZ_"
LIST_TEXT_BYTES_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One value that can be set."""

    path: tuple[str, ...]
    label: str
    help: str
    unit: str
    required: bool
    default: Any
    """As plain data; None when there is none."""
    reloadable: bool
    of_node: bool
    """It can never be set for the whole cluster."""
    active: bool
    """Something acts on it; if not, it is only kept."""
    environment: tuple[str, ...]
    """Names of environment variables; the first one, made from the path, goes before the others."""
    kinds: tuple[Any, ...]
    """The types it may have, unions taken apart, annotations removed."""
    holds_reference: bool
    """It says where a secret is."""

    @property
    def key(self) -> str:
        """Return the path as files and messages write it."""
        return ".".join(self.path)

    @property
    def optional(self) -> bool:
        """Return whether it may be empty."""
        return type(None) in self.kinds

    @property
    def choices(self) -> tuple[Any, ...]:
        """Return the values it may have, if they are counted."""
        return tuple(
            v for kind in self.kinds if get_origin(kind) is Literal for v in get_args(kind)
        )

    @property
    def item(self) -> Any:
        """Return the type of its items if it is a list, else None."""
        return next((get_args(kind)[0] for kind in self.kinds if get_origin(kind) is tuple), None)

    @property
    def is_text(self) -> bool:
        """Return whether any text is taken as it stands."""
        return str in self.kinds or any(isinstance(choice, str) for choice in self.choices)


def environment_name(path: tuple[str, ...]) -> str:
    """Return the environment variable that overrides the leaf at `path`."""
    return ENVIRONMENT_PREFIX + "__".join(path).upper()


@cache
def catalogue(model: type[BaseModel]) -> Mapping[str, Leaf]:
    """Return every leaf of a schema by its key, in the order of the fields."""
    return MappingProxyType({leaf.key: leaf for leaf in _leaves(model, ())})


def section_of(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a field holds, or None if it is a leaf."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def _leaves(
    model: type[BaseModel], prefix: tuple[str, ...], *, of_node: bool = False, active: bool = True
) -> Iterator[Leaf]:
    for name, info in model.model_fields.items():
        marks = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        own = of_node or bool(marks.get("of_node"))
        acts = active and bool(marks.get("active", True))
        inner = section_of(info.annotation)
        if inner is not None:
            yield from _leaves(inner, (*prefix, name), of_node=own, active=acts)
        else:
            yield _leaf(info, (*prefix, name), marks, of_node=own, active=acts)


def _leaf(
    info: FieldInfo,
    path: tuple[str, ...],
    marks: Mapping[str, Any],
    *,
    of_node: bool,
    active: bool,
) -> Leaf:
    parts = [*info.metadata, *_parts(info.annotation)]
    reference = any(
        isinstance(part, AfterValidator) and part.func is check_reference for part in parts
    )
    default = None if info.is_required() else info.get_default(call_default_factory=True)
    return Leaf(
        path=path,
        label=info.title or path[-1],
        help=info.description or "",
        unit=str(marks.get("unit") or ""),
        required=info.is_required(),
        default=list(default) if isinstance(default, tuple) else default,
        reloadable=bool(marks.get("reloadable")),
        # What a secret's reference points to is on the node, and a foreign one could make the node
        # send another of its files away.
        of_node=of_node or reference,
        active=active,
        environment=(environment_name(path), *(marks.get("environment") or ())),
        kinds=tuple(part for part in parts if _is_kind(part)),
        holds_reference=reference,
    )


def _parts(annotation: Any) -> Iterator[Any]:
    """Yield the alternatives of an annotation and the marks on them."""
    if get_origin(annotation) in {Union, UnionType}:
        for part in get_args(annotation):
            yield from _parts(part)
    elif get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        yield from _parts(inner)
        yield from marks
    else:
        yield annotation


def _is_kind(part: Any) -> bool:
    return isinstance(part, type) or get_origin(part) in {Literal, tuple}
