"""Changing a YAML document without disturbing the rest of it: comments, order, quotes stay.

A changed value is replaced where it stands; a new key goes to the end of its section; a key that is
taken out goes with its line. Whatever comes out is read again and compared with what was wanted.
Where the document is written in a way that this cannot follow, it is written anew instead, without
its comments, and `Edited.comments_lost` says how many.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from bzzz_core.config.document import YamlText, parse
from bzzz_core.errors import ConfigError

Path = tuple[str, ...]
_ABSENT: Final = object()
_COMMENT: Final = re.compile(r"(?:^|[ \t])#.*$", re.MULTILINE)
_STEP: Final = 2


@dataclass(frozen=True, slots=True)
class Edited:
    """A document after a change."""

    text: str
    comments_lost: int


def edited(document: YamlText, wanted: dict[str, Any]) -> Edited:
    """Return the document's text changed so that it holds `wanted`.

    Raises:
        ConfigError: It has anchors and aliases: a change in one place would be one in another.
    """
    _refuse_aliases(document)
    text = document.text
    try:
        for path, value in _differences(document.data, wanted, ()):
            now = parse(text, document.name)
            text = _without(now, path) if value is _ABSENT else _with(now, path, value)
        same = _canonical(parse(text, document.name).data) == _canonical(wanted)
    except (ConfigError, LookupError):
        same = False
    if not same:
        text = yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True)
    before, after = len(_COMMENT.findall(document.text)), len(_COMMENT.findall(text))
    return Edited(text, max(0, before - after))


def _refuse_aliases(document: YamlText) -> None:
    for token in yaml.scan(document.text, Loader=yaml.SafeLoader):
        if isinstance(token, yaml.AnchorToken | yaml.AliasToken):
            line = token.start_mark.line + 1
            raise ConfigError(
                f"{document.name}:{line}: has YAML anchors or aliases; edit this file by hand"
            )


def _differences(old: Any, new: dict[str, Any], above: Path) -> Iterator[tuple[Path, Any]]:
    for key in old:
        if key not in new:
            yield (*above, key), _ABSENT
    for key, value in new.items():
        before = old.get(key, _ABSENT)
        if isinstance(before, dict) and isinstance(value, dict) and before and value:
            yield from _differences(before, value, (*above, key))
        elif before is _ABSENT or _canonical(before) != _canonical(value):
            yield (*above, key), value


def _with(document: YamlText, path: Path, value: Any) -> str:
    """Return the text with `value` at `path`; the sections above it exist or are made."""
    text, node = document.text, document.root
    for depth, part in enumerate(path):
        assert isinstance(node, yaml.MappingNode)
        pair = _pair(node, part)
        rest = path[depth + 1 :]
        if pair is None:
            return _inserted(text, node, part, _nested(rest, value))
        if not rest or not isinstance(pair[1], yaml.MappingNode):
            return _replaced(text, pair, _nested(rest, value))
        node = pair[1]
    raise LookupError(path)


def _without(document: YamlText, path: Path) -> str:
    """Return the text without the key at `path`."""
    text, node = document.text, document.root
    for part in path[:-1]:
        assert isinstance(node, yaml.MappingNode)
        pair = _pair(node, part)
        if pair is None:
            raise LookupError(path)
        node = pair[1]
    assert isinstance(node, yaml.MappingNode)
    pair = _pair(node, path[-1])
    if pair is None or node.flow_style or len(node.value) == 1:
        raise LookupError(path)
    start = text.rfind("\n", 0, pair[0].start_mark.index) + 1
    return text[:start] + text[_line_end(text, _end(pair[1])) :]


def _replaced(text: str, pair: tuple[yaml.Node, yaml.Node], value: Any) -> str:
    key, node = pair
    if isinstance(node, yaml.ScalarNode) and node.style not in {"|", ">"}:
        start, end = node.start_mark.index, node.end_mark.index
        lead = " " if start == end else ""
        return text[:start] + lead + _flow(value) + text[end:]
    if isinstance(node, yaml.CollectionNode) and node.flow_style:
        return text[: node.start_mark.index] + _flow(value) + text[node.end_mark.index :]
    colon = text.index(":", key.end_mark.index) + 1
    end = _end(node)
    newline = "\n" if text[end - 1 : end] == "\n" else ""
    return f"{text[:colon]} {_flow(value)}{newline}{text[end:]}"


def _inserted(text: str, node: yaml.MappingNode, key: str, value: Any) -> str:
    if node.flow_style:
        end = node.end_mark.index - 1
        comma = ", " if node.value else ""
        return f"{text[:end].rstrip()}{comma}{_flow(key)}: {_flow(value)}{text[end:]}"
    last_key, last_value = node.value[-1]
    at = _line_end(text, max(_end(last_value), last_key.end_mark.index))
    newline = "" if text[:at].endswith("\n") else "\n"
    lines = "\n".join(_block(key, value, last_key.start_mark.column))
    return f"{text[:at]}{newline}{lines}\n{text[at:]}"


def _pair(node: yaml.MappingNode, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    return next((pair for pair in node.value if pair[0].value == key), None)


def _end(node: yaml.Node) -> int:
    """Return where a node's text ends; a block collection's own mark is at the next token."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _line_end(text: str, at: int) -> int:
    """Return where the next line begins."""
    if at and text[at - 1] == "\n":
        return at
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


def _nested(path: Path, value: Any) -> Any:
    for part in reversed(path):
        value = {part: value}
    return value


def _block(key: str, value: Any, indent: int) -> Iterator[str]:
    if isinstance(value, dict) and value:
        yield f"{' ' * indent}{_flow(key)}:"
        for inner, item in value.items():
            yield from _block(inner, item, indent + _STEP)
    else:
        yield f"{' ' * indent}{_flow(key)}: {_flow(value)}"


def _flow(value: Any) -> str:
    """Return a value on one line, quoted so that it can stand anywhere."""
    text = yaml.safe_dump(
        [value], default_flow_style=True, width=10**9, allow_unicode=True, sort_keys=False
    )
    text = text.removesuffix("\n")
    if "\n" in text:
        return json.dumps(value, ensure_ascii=False)
    return text[1:-1]


def _canonical(value: Any) -> str:
    """Return a text that is the same for the same data, and tells 1 from true."""
    return json.dumps(value, sort_keys=True, default=repr)
