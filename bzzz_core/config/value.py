"""Values of leaves: from a text as somebody typed it, and as plain data that may be shown.

A text comes from an environment variable, from `--set` or from `config set`. What it means follows
from the leaf, never from its look: `123` is a name where the schema wants a name. An empty text is
"not set" for a leaf that may be empty. A list is written as YAML (`[a, b]`) or, if its items are
texts, separated by commas; a list of entries is YAML or JSON (`[{name: a, ...}]`).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import Any, Final

import yaml
from pydantic import BaseModel

from bzzz_core.config.leaf import LIST_TEXT_BYTES_MAX, Leaf, catalogue, section_of
from bzzz_core.errors import ConfigError

_USER_IN_URL: Final = re.compile(r"(?<=://)[^/@\s]*@")
_SECRET_IN_QUERY: Final = re.compile(
    r"([?&][^=&#\s]*(?:key|token|secret|passw|pwd|sig|auth)[^=&#\s]*=)[^&#\s]+", re.IGNORECASE
)


def from_text(leaf: Leaf, text: str, place: str) -> Any:
    """Return what a text says about a leaf; the schema decides later whether that can be.

    Args:
        leaf: What is set.
        text: As it was typed.
        place: Where it was typed, for the message.

    Raises:
        ConfigError: A list that is not one; the text is not repeated.
    """
    if not text and leaf.optional:
        return None
    if leaf.item is not None:
        return _list_from(leaf, text, place)
    if leaf.is_text:
        return text
    if any(isinstance(choice, int) for choice in leaf.choices) and text.isdecimal():
        return int(text)
    return text  # pydantic reads numbers and yes/no from text


def plain(document: BaseModel) -> dict[str, Any]:
    """Return every leaf of a document by its key, as plain data."""
    data = document.model_dump(mode="json")
    return {key: lookup(data, leaf.path) for key, leaf in catalogue(type(document)).items()}


def lookup(data: Any, path: tuple[str, ...]) -> Any:
    """Return what lies at `path` in nested mappings; None if nothing does."""
    for part in path:
        data = data.get(part) if isinstance(data, dict) else None
    return data


def lay(data: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Put a value at `path` into nested mappings, which are made as needed."""
    for part in path[:-1]:
        inner = data.setdefault(part, {})
        if not isinstance(inner, dict):
            return  # no section there; validation will say so
        data = inner
    data[path[-1]] = value


def drop(data: dict[str, Any], place: tuple[str | int, ...], *, keep: Sequence[str]) -> bool:
    """Take out the key at a place, or the nearest above it that is there; return whether it could.

    Args:
        data: Nested mappings and lists.
        place: Keys and indexes.
        keep: Keys that stay, with all below them and all sections above them.
    """
    found: tuple[dict[str, Any], str, str] | None = None
    inner: Any = data
    for depth, part in enumerate(place):
        if isinstance(inner, dict) and part in inner:
            found = (inner, str(part), ".".join(map(str, place[: depth + 1])))
        elif not (isinstance(inner, list) and isinstance(part, int) and part < len(inner)):
            break
        inner = inner[part]
    if found is None:
        return False
    holder, key, path = found
    if any(f"{path}.".startswith(f"{kept}.") or kept.startswith(f"{path}.") for kept in keep):
        return False
    del holder[key]
    return True


def shown(value: Any) -> Any:
    """Return a value without what may be secret in it: logins and keys within URLs."""
    if isinstance(value, str):
        return _SECRET_IN_QUERY.sub(r"\1***", _USER_IN_URL.sub("***@", value))
    if isinstance(value, list | tuple):
        return [shown(item) for item in value]
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    return value


def as_text(value: Any) -> str:
    """Return a value as a person reads it and as `from_text` takes it back."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple | dict):
        flow = yaml.safe_dump(value, default_flow_style=True, width=10**9, allow_unicode=True)
        return flow.removesuffix("\n")
    return str(value)


def _list_from(leaf: Leaf, text: str, place: str) -> Any:
    if section_of(leaf.item) is None and not text.lstrip().startswith("["):
        return [item.strip() for item in text.split(",") if item.strip()]
    if len(text) > LIST_TEXT_BYTES_MAX:
        raise ConfigError(f"{place}: longer than {LIST_TEXT_BYTES_MAX} characters")
    with contextlib.suppress(yaml.YAMLError, RecursionError, ValueError):
        return yaml.safe_load(text)
    # The parser's own words may quote the text, so its error is no part of ours.
    raise ConfigError(f"{place}: not a list in YAML, such as [a, b]")
