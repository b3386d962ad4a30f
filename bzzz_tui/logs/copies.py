"""Lines of a log outside of the screen: as text, as JSON, as everything that one says. Pure."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from bzzz_tui.logs.entry import Entry
from bzzz_tui.parts import Line
from bzzz_tui.wording import Tone

_WORDS_WIDTH: Final = 64
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def at_of(entry: Entry) -> str:
    """Return the time of a line, UTC."""
    if entry.at_ms is None:
        return ""
    at = datetime.fromtimestamp(entry.at_ms / 1_000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_text(entry: Entry) -> str:
    """Return a line as one line of text."""
    return f"{at_of(entry)} {entry.node} {entry.level_name} {entry.component} {entry.words}"


def document(entry: Entry) -> dict[str, Any]:
    """Return what a line says, for programs."""
    found: dict[str, Any] = {
        "at": at_of(entry),
        "node": entry.node,
        "number": entry.number,
        "level": entry.level_name,
        "component": entry.component,
        "text": entry.text,
    }
    if entry.trace:
        found["trace"] = entry.trace
    if fields := entry.fields:
        found["fields"] = dict(fields)
    return found


def as_file(entries: Iterable[Entry], kind: str) -> str:
    """Return lines as a file of a kind: csv, json (one array), or txt."""
    if kind == "json":
        documents = [document(entry) for entry in entries]
        return msgspec.json.format(msgspec.json.encode(documents)).decode() + "\n"
    if kind == "csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(["at", "node", "level", "component", "text", "trace", "fields"])
        for entry in entries:
            fields = " ".join(f"{name}={value}" for name, value in entry.fields.items())
            cells = (entry.component, entry.text, entry.trace, fields)
            row = [at_of(entry), entry.node, entry.level_name, *cells]
            # A spreadsheet would take it for a formula; words come from the network.
            writer.writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in row])
        return out.getvalue()
    return "".join(f"{as_text(entry)}\n" for entry in entries)


def details(entry: Entry) -> list[Line]:
    """Return everything that a line says, one thing a line, long words wrapped."""
    facts = [
        ("time", at_of(entry) or "none that can be read"),
        ("node", entry.node),
        ("number", str(entry.number)),
        ("level", entry.level_name),
        ("component", entry.component),
        ("trace", entry.trace or "none: no request"),
        ("text", entry.text),
        *entry.fields.items(),
    ]
    width = min(24, max(len(name) for name, _ in facts))
    lines: list[Line] = []
    for name, words in facts:
        label = name
        for row in textwrap.wrap(words, _WORDS_WIDTH) or [""]:
            lines.append([(f"{label[:width]:<{width}}  ", Tone.MUTED), (row, Tone.PLAIN)])
            label = ""
    return lines
