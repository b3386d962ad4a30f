"""YAML for tools that read other dialects than PyYAML writes, and for people.

Kubernetes, Compose and Swarm read YAML with Go's library: to it `1e3` is a number and `y` may be a
truth value, where PyYAML sees a text and writes it without quotes. So a text is quoted here unless
it looks like a word, and one of several lines is a block.
"""

from __future__ import annotations

import re
from typing import Final

import yaml

_WORD: Final = re.compile(r"[A-Za-z/][A-Za-z0-9 ._/@-]*[A-Za-z0-9]")


class _Dumper(yaml.SafeDumper):
    """Writes no aliases: what stands in two places is written twice."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002
        del indentless  # Items of a list stand further in than its key.
        super().increase_indent(flow, indentless=False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None if _WORD.fullmatch(text) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def block_yaml(data: object) -> str:
    """Return plain data as YAML, keys in their own order."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**9)
