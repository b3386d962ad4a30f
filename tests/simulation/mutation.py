"""Loads the election with one planted bug, without touching the real modules.

The election's pure modules are compiled anew under names of their own, in the order in which they
import each other, one of them with the bug; whatever imports them is pointed at the copies.
"""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from bzzz_core import election

_FOLDER = Path(election.__file__).parent
_COPIED = (
    "memory",
    "quarantine",
    "stages",
    "state",
    "leader",
    "candidate",
    "voter",
    "deadlines",
    "machine",
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One entry of `mutants.toml`."""

    name: str
    file: str
    seed: int
    """A seed that shows the bug."""
    edits: tuple[tuple[str, str], ...]

    def apply(self, source: str) -> str:
        """Return the source with the bug in it."""
        for old, new in self.edits:
            found = source.count(old)
            if found != 1:
                raise ValueError(f"mutant {self.name!r} is stale: its text occurs {found} times")
            source = source.replace(old, new)
        return source


def load_mutants() -> list[Mutant]:
    """Read the list beside this file."""
    with Path(__file__).with_name("mutants.toml").open("rb") as file:
        entries = tomllib.load(file)["mutant"]
    return [
        Mutant(
            entry["name"],
            entry["file"],
            entry["seed"],
            tuple(
                (entry[prefix + "old"], entry[prefix + "new"])
                for prefix in ("", "also_")
                if prefix + "old" in entry
            ),
        )
        for entry in entries
    ]


@contextmanager
def planted(mutant: Mutant) -> Iterator[ModuleType]:
    """Yield a copy of `bzzz_core.election.machine` with the bug."""
    assert mutant.file.removesuffix(".py") in _COPIED, mutant.file
    names = {f"bzzz_core.election.{name}": f"mutant_election_{name}" for name in _COPIED}
    try:
        for name in _COPIED:
            path = _FOLDER / f"{name}.py"
            source = path.read_text("utf-8")
            if path.name == mutant.file:
                source = mutant.apply(source)
            for real, copy in names.items():
                source = source.replace(f"from {real} import", f"from {copy} import")
            module = ModuleType(f"mutant_election_{name}")
            sys.modules[module.__name__] = module
            exec(compile(source, f"mutant {path.name}", "exec"), module.__dict__)  # noqa: S102
        machine = importlib.import_module("mutant_election_machine")
        quarantine = importlib.import_module("mutant_election_quarantine")
        vars(machine)["Quarantine"] = quarantine.Quarantine
        yield machine
    finally:
        for copy in names.values():
            sys.modules.pop(copy, None)
