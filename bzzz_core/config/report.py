"""Configuration as people and programs are shown it. No value leaves here unredacted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from pydantic import BaseModel

from bzzz_core.config.changes import Changed
from bzzz_core.config.layers import DEFAULT, Origin, Source
from bzzz_core.config.leaf import Leaf, catalogue
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sources import Loaded
from bzzz_core.config.value import as_text, plain, shown

_COLUMN_CHARACTERS_MAX: Final = 56
"""One long list should not push every line's end out of sight."""


class Setting(msgspec.Struct, frozen=True):
    """One value and where it comes from."""

    key: str
    value: Any
    source: str
    place: str
    unit: str
    reloadable: bool
    of_node: bool


class Variable(msgspec.Struct, frozen=True):
    """One environment variable, and who says the value that it could say."""

    name: str
    key: str
    alias: bool
    """It is a short name; the long one goes before it."""
    source: str
    place: str
    help: str


class Difference(msgspec.Struct, frozen=True):
    """One value that differs."""

    key: str
    old: Any
    new: Any


def settings(config: AgentConfig, origins: Mapping[str, Origin]) -> tuple[Setting, ...]:
    """Return every leaf of a configuration in the order of the schema."""
    values = plain(config)
    return tuple(
        Setting(
            key=key,
            value=shown(values[key]),
            source=origins.get(key, DEFAULT).source,
            place=origins.get(key, DEFAULT).place,
            unit=leaf.unit,
            reloadable=leaf.reloadable,
            of_node=leaf.of_node,
        )
        for key, leaf in catalogue(AgentConfig).items()
    )


def variables(origins: Mapping[str, Origin]) -> tuple[Variable, ...]:
    """Return every environment variable, with the source of the value that is in force."""
    return tuple(
        Variable(
            name=name,
            key=leaf.key,
            alias=name != leaf.environment[0],
            source=origins.get(leaf.key, DEFAULT).source,
            place=origins.get(leaf.key, DEFAULT).place,
            help=leaf.help,
        )
        for leaf in catalogue(AgentConfig).values()
        for name in leaf.environment
    )


def differences(changes: Iterable[Changed]) -> tuple[Difference, ...]:
    """Return changes as a document; their values are redacted already."""
    return tuple(Difference(change.key, change.old, change.new) for change in changes)


def from_defaults(loaded: Loaded) -> tuple[Difference, ...]:
    """Return what differs from the defaults; a value that has none differs always."""
    values = plain(loaded.config)
    return tuple(
        Difference(key, shown(leaf.default), shown(values[key]))
        for key, leaf in catalogue(AgentConfig).items()
        if leaf.required or values[key] != leaf.default
    )


def from_running(config: AgentConfig, running: Iterable[Setting]) -> tuple[Difference, ...]:
    """Return what differs between a running agent and a configuration."""
    values = plain(config)
    return tuple(
        Difference(one.key, one.value, shown(values[one.key]))
        for one in running
        if one.key in values and one.value != shown(values[one.key])
    )


def as_lines(rows: Iterable[tuple[str, ...]]) -> str:
    """Return rows as text in columns, as wide as they need to be."""
    table = list(rows)
    widths = [
        min(max(map(len, column)), _COLUMN_CHARACTERS_MAX) for column in zip(*table, strict=True)
    ]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )


def show(found: Iterable[Setting]) -> str:
    """Return settings as a person reads them."""
    return as_lines(
        (one.key, as_text(one.value), one.source + (f" {one.place}" if one.place else ""))
        for one in found
    )


def show_variables(found: Iterable[Variable]) -> str:
    """Return environment variables as a person reads them."""
    return as_lines(
        (one.name, one.source + (f" {one.place}" if one.place else ""), one.key) for one in found
    )


def show_differences(found: Iterable[Difference]) -> str:
    """Return differences as a person reads them."""
    return "\n".join(f"{one.key}: {as_text(one.old)} -> {as_text(one.new)}" for one in found)


def json_schema(model: type[BaseModel], name: str) -> dict[str, Any]:
    """Return the JSON Schema of a document, with the environment names of every leaf."""
    schema = model.model_json_schema()
    names: dict[str, list[str]] = {
        leaf.key: list(leaf.environment) for leaf in catalogue(model).values()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:bzzz:{name}",
        **schema,
        **({"x-environment": names} if model is AgentConfig else {}),
    }


def is_overridden(origin: Origin, leaf: Leaf) -> str:
    """Return why a value set for the whole cluster does not hold here; empty if it would."""
    if origin.source in {Source.FILE, Source.ENVIRONMENT, Source.FLAG}:
        return f"{leaf.key} is set by the {origin.source} here ({origin.place}), which goes before"
    return ""
