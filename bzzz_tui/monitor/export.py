"""A table as a file: CSV and JSON with plain numbers, text as it is read.

A file is new unless the operator says otherwise, and its owner's alone: names and addresses of a
cluster are nobody else's business.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from bzzz_core.config.typed_path import expanded
from bzzz_core.errors import ConfigError
from bzzz_tui.monitor.tables import TableSpec
from bzzz_tui.query import Kind
from bzzz_tui.store import Store

R = TypeVar("R")
FORMATS: Final = ("csv", "json", "txt", "svg")
_UNITS: Final = {Kind.PERCENT: "_percent", Kind.BYTES: "_bytes", Kind.MS: "_ms"}
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def as_csv(spec: TableSpec[R], store: Store, ids: Sequence[str]) -> str:
    """Return rows as CSV (RFC 4180), units in the titles; what is not known is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([field.key + _UNITS.get(field.kind, "") for field in spec.fields])
    rows = spec.rows(store)
    for row_id in ids:
        writer.writerow([_cell(field.get(rows[row_id])) for field in spec.fields])
    return out.getvalue()


def as_json(spec: TableSpec[R], store: Store, ids: Sequence[str]) -> str:
    """Return the documents behind rows as one JSON array."""
    rows = spec.rows(store)
    documents = [spec.raw(rows[row_id]) for row_id in ids]
    return msgspec.json.format(msgspec.json.encode(documents)).decode() + "\n"


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, int | float):
        return value
    text = value if isinstance(value, str) else " ".join(value)
    # A spreadsheet would take it for a formula; names come from the network.
    return f"'{text}" if text.startswith(_FORMULA) else text


def write(path: Path, content: str, *, replace: bool) -> None:
    """Write a file, mode 0600. Blocks: use a thread.

    Raises:
        ConfigError: There is one already and it was not to be replaced, or it cannot be written.
    """
    if replace:
        from bzzz_core.trust import private_files  # noqa: PLC0415

        try:
            private_files.replace(path, content.encode())
        except OSError as exc:
            raise ConfigError(f"{path}: {exc.strerror}") from exc
        return
    try:
        # O_EXCL follows no link and takes the place of nothing.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as exc:
        raise ConfigError(f"{path} is there already; write ! to replace it") from exc
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        file.write(content)


def parse(argument: str, *, view: str, at: str) -> tuple[str, Path, bool]:
    """Return format, file and whether to replace it, of `csv`, `json! out.json` or `svg ! x.svg`.

    Args:
        argument: What stands behind `:export`.
        view: Names the file if none is given.
        at: The time, the same.

    Raises:
        ConfigError: No such format.
    """
    words = argument.replace("!", " ! ").split(maxsplit=1)
    kind = words[0] if words and words[0] != "!" else "csv"
    rest = argument.strip().removeprefix(kind).strip()
    replace = rest.startswith("!")
    name = rest.removeprefix("!").strip()
    if kind not in FORMATS:
        raise ConfigError(f"no format is called {kind!r}; there are {', '.join(FORMATS)}")
    stamp = at[:19].replace(":", "").replace("-", "")
    return kind, expanded(name or f"bzzz-{view}-{stamp}.{kind}"), replace
