"""Which programming languages this machine has the tools for, judged by what is on its path.

A language counts if its compiler or interpreter is there; whether it works is found out by whoever
runs it. Looking costs some directory reads, so it is done once, at the start.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Final

TOOLS: Final[Mapping[str, tuple[str, ...]]] = {
    "c": ("cc", "gcc", "clang"),
    "c++": ("c++", "g++", "clang++"),
    "c#": ("dotnet",),
    "go": ("go",),
    "java": ("javac",),
    "javascript": ("node", "deno", "bun"),
    "php": ("php",),
    "python": ("python3",),
    "ruby": ("ruby",),
    "rust": ("rustc",),
    "shell": ("bash", "sh"),
    "typescript": ("tsc", "deno", "bun"),
}
"""Language -> programs of which one is enough."""


def languages(*, path: str | None = None) -> tuple[str, ...]:
    """Return the languages in alphabetical order; `path` is searched instead of PATH."""
    return tuple(
        language
        for language, programs in sorted(TOOLS.items())
        if any(shutil.which(program, path=path) for program in programs)
    )
