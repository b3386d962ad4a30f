"""What the house rules are checked on: the files of this checkout, parsed once.

Found by walking the known places, so that it also works in a copy that is no git repository. What
git itself keeps there, or is told to ignore, does not belong to the project.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("bzzz_core", "bzzz_tui", "screens", "themes")
PLACES = (*PACKAGES, "tests", "scripts", "docs", "changes", ".ci")
NEVER_OURS = (".git", "node_modules")
"""`.git` is a folder, or in a second working tree a file that says where the first one is."""


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


def text_files(root: Path = ROOT) -> Iterator[tuple[str, str]]:
    """Yield (place, text) of every text file that belongs to the project."""
    foreign = (*NEVER_OURS, *ignored_names(root))
    roots = [path for path in root.iterdir() if path.is_file()]
    for place in PLACES:
        roots += sorted((root / place).rglob("*"))
    for path in roots:
        parts = path.relative_to(root).parts
        if path.is_file() and not any(fnmatch(part, name) for part in parts for name in foreign):
            try:
                yield str(path.relative_to(root)), path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # a picture


def ignored_names(root: Path) -> tuple[str, ...]:
    """Return the patterns of `.gitignore`; each is for the name of a file or folder anywhere."""
    file = root / ".gitignore"
    lines = file.read_text(encoding="utf-8").split() if file.exists() else []
    names = tuple(line.rstrip("/") for line in lines)
    odd = [name for name in names if set(name) & set("/!#")]
    assert not odd, f"{file}: only plain names are understood here, not {odd}"
    return names


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
