"""What the house rules are checked on: the files of this checkout, parsed once.

Found by walking the known places, so that it also works in a copy that is no git repository.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("bzzz_core", "bzzz_tui", "screens", "themes")
PLACES = (*PACKAGES, "tests", "scripts", "docs", "changes", ".ci")
MADE_BY_TOOLS = {"__pycache__", "node_modules"}


@dataclass(frozen=True, slots=True)
class Module:
    """One Python file of the product."""

    name: str
    path: Path
    tree: ast.Module
    line_count: int

    @property
    def place(self) -> str:
        """Return the path to show, relative to the root."""
        return str(self.path.relative_to(ROOT))


@cache
def modules() -> tuple[Module, ...]:
    """Return every module of the product, parsed."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            text = path.read_text(encoding="utf-8")
            found.append(Module(name, path, ast.parse(text), text.count("\n")))
    return tuple(found)


def text_files() -> Iterator[tuple[str, str]]:
    """Yield (place, text) of every text file that belongs to the project."""
    roots = [path for path in ROOT.iterdir() if path.is_file()]
    for place in PLACES:
        roots += sorted((ROOT / place).rglob("*"))
    for path in roots:
        if path.is_file() and not MADE_BY_TOOLS & set(path.parts):
            try:
                yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # a picture


def imports(module: Module) -> Iterator[str]:
    """Yield the full name of everything a module imports, at the top or inside a function.

    `from a import b` yields `a.b`: the caller decides whether that is a module or a name in one.
    """
    package = module.name if module.path.name == "__init__.py" else module.name.rpartition(".")[0]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]).rstrip(".")
            yield from (f"{base}.{alias.name}" for alias in node.names)


def is_foreign(name: str) -> bool:
    """Return whether an imported name belongs to a library that has to be installed."""
    top = name.partition(".")[0]
    standard = sys.stdlib_module_names | {"compression"}  # Python has it from 3.14 on.
    return top not in standard and top not in {*PACKAGES, "tests"}
