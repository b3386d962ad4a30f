"""A YAML document as text: what it holds, and on which line.

PyYAML resolves aliases and merges while it composes, and tells no more where they stood; a document
with either can be read, but not edited (`bzzz_core.config.edit`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from bzzz_core.config.leaf import Leaf
from bzzz_core.errors import ConfigError

DOCUMENT_BYTES_MAX: Final = 1_000_000
_QUOTED: Final = re.compile(r"(['\"]).*\1", re.DOTALL)


@dataclass(frozen=True, slots=True)
class YamlText:
    """One document."""

    name: str
    """The file, for messages."""
    text: str
    root: yaml.Node | None
    data: dict[str, Any]

    def line(self, place: tuple[str | int, ...]) -> int:
        """Return the line (from 1) of the deepest node on the way to `place`."""
        return line_of(self.root, place)

    def places(self, leaves: Mapping[str, Leaf]) -> dict[str, str]:
        """Return where the document mentions each leaf that it mentions."""
        return {
            key: f"{self.name}:{self.line(leaf.path)}"
            for key, leaf in leaves.items()
            if _mentions(self.data, leaf.path)
        }


def read_text(path: Path) -> str:
    """Return the text of a document.

    Raises:
        ConfigError: It is missing, too large, or no UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(DOCUMENT_BYTES_MAX + 1)
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    if len(content) > DOCUMENT_BYTES_MAX:
        raise ConfigError(f"{path} is larger than {DOCUMENT_BYTES_MAX} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as exc:
        at = exc.start
    # Raised here, because that error holds the content of the file.
    raise ConfigError(f"{path}: not UTF-8 text (byte {at})")


def parse(text: str, name: str) -> YamlText:
    """Return a document of keys and values.

    Raises:
        ConfigError: It is no YAML, nested too deeply, or holds something else.
    """
    fault, root, data = "", None, None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        mark = getattr(exc, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        # What the parser quotes may be half a secret.
        problem = _QUOTED.sub("...", str(getattr(exc, "problem", None) or "it cannot be read"))
        fault = f"{name}{line}: not valid YAML: {problem}"
    if fault:
        # Raised here, so that the parser's error, which holds the text, is no part of it.
        raise ConfigError(fault)
    if not isinstance(data, dict):
        raise ConfigError(f"{name}: expected keys and values, found {type(data).__name__}")
    twice = _line_of_second(root)
    if twice:
        raise ConfigError(f"{name}:{twice}: this key was given before; keep one of them")
    return YamlText(name, text, root, data)


def line_of(node: yaml.Node | None, place: tuple[str | int, ...]) -> int:
    """Return the line (from 1) of the deepest node on the way to `place`."""
    line = node.start_mark.line + 1 if node else 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            if part >= len(node.value):
                break
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _mentions(data: Any, path: tuple[str, ...]) -> bool:
    for part in path:
        if not isinstance(data, dict) or part not in data:
            return False
        data = data[part]
    return True


def _line_of_second(root: yaml.Node | None) -> int | None:
    """Return the line of a key that its mapping has already; YAML would let the last one win."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue  # an alias, perhaps to itself
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            keys = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                    if key.value in keys:
                        return key.start_mark.line + 1
                    keys.add(key.value)
                waiting.append(value)
    return None
