"""`bzzz-agent ucxl`: read, normalise and compare addresses; needs no agent and no configuration."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from bzzz_core.commands.options import JSON, reports_errors
from bzzz_core.errors import AddressError

if TYPE_CHECKING:
    from bzzz_core.ucxl.address import Address
    from bzzz_core.ucxl.field import Field

NO_MATCH = 1
"""Exit code, as of grep."""


@click.group()
def ucxl() -> None:
    """UCXL addresses: read, normalise, compare."""


@ucxl.command("parse")
@click.argument("address")
@JSON
@reports_errors
def ucxl_parse(address: str, *, as_json: bool) -> None:
    """Show the fields of ADDRESS. Exit 2: it is none."""
    from bzzz_core.ucxl.address import parse

    found = _documenting_errors(as_json, lambda: parse(address))
    if as_json:
        _print(_document(found))
    else:
        click.echo("\n".join(f"{name:<9} {text}" for name, text in _lines(found).items()))


@ucxl.command("normalize")
@click.argument("address")
@JSON
@reports_errors
def ucxl_normalize(address: str, *, as_json: bool) -> None:
    """Print the normal form of ADDRESS. Exit 2: it is none."""
    from bzzz_core.ucxl.address import normalize

    normal = _documenting_errors(as_json, lambda: normalize(address))
    if as_json:
        _print({"normal": normal})
    else:
        click.echo(normal)


@ucxl.command("match")
@click.argument("pattern")
@click.argument("address")
@JSON
@reports_errors
def ucxl_match(pattern: str, address: str, *, as_json: bool) -> None:
    """Say whether PATTERN matches ADDRESS. Exit 0: yes; 1: no; 2: one of them is no address."""
    from bzzz_core.ucxl.address import parse
    from bzzz_core.ucxl.pattern import matches

    matched = _documenting_errors(as_json, lambda: matches(parse(pattern), parse(address)))
    if as_json:
        _print({"match": matched})
    else:
        click.echo("match" if matched else "no match")
    if not matched:
        sys.exit(NO_MATCH)


def _documenting_errors(as_json: bool, do: Callable[[], Any]) -> Any:  # noqa: FBT001  as given
    """Return what `do` returns; before an error leaves, print it as a document if so asked."""
    try:
        return do()
    except AddressError as exc:
        if as_json:
            error = {"code": exc.code, "message": str(exc), "position": exc.position}
            _print({"error": error})
        raise


def _document(address: Address) -> dict[str, object]:
    return {
        "normal": str(address),
        "agent": _shown(address.agent),
        "role": _shown(address.role),
        "project": _shown(address.project),
        "task": _shown(address.task),
        "path": [_shown(segment) for segment in address.path],
        "temporal": str(address.temporal),
        "pattern": address.is_pattern,
    }


def _lines(address: Address) -> dict[str, str]:
    """Return the fields as an address writes them, so that `%2A` and `*` are told apart."""
    from bzzz_core.ucxl.field import write_field

    names = zip(("agent", "role", "project", "task"), address.names, strict=True)
    return {
        "normal": str(address),
        **{name: write_field(field) for name, field in names},
        "path": "/".join(write_field(segment) for segment in address.path) or "(empty)",
        "temporal": str(address.temporal),
        "pattern": "yes" if address.is_pattern else "no",
    }


def _shown(field: Field) -> object:
    return field if isinstance(field, str) else {"wildcard": field.value}


def _print(document: object) -> None:
    import msgspec

    click.echo(msgspec.json.encode(document))
