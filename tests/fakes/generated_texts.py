"""The generated texts that `tests/unit/generated` holds, and how they were made.

A change of them is made anew by this, and looked at as a difference:

    .venv/bin/python -m tests.fakes.generated_texts
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from bzzz_core.deploy.generate.command import Wanted, run

PLACE: Final = Path(__file__).parents[1] / "unit" / "generated"
SIZES: Final = ("one", "three")
_IMAGES: Final = {
    "one": Wanted(image="registry.example/tools/bzzz:0.1.0"),
    "three": Wanted(
        image="registry.example:5000/bzzz@sha256:" + "ab" * 32,
        pull_policy="always",
        pull_secret="registry-login",  # noqa: S106  a name
    ),
}


def wanted(size: str, output: Path) -> Wanted:
    """Return the options with which the texts of a size are made."""
    given = _IMAGES[size]
    return Wanted(
        image=given.image,
        pull_policy=given.pull_policy,
        pull_secret=given.pull_secret,
        cluster_id="d" * 32,
        enrolled=PLACE / "enrolled",
        output=output,
    )


def make(size: str, output: Path) -> dict[str, str]:
    """Write all texts of a size below a directory and return them by path."""
    answers = PLACE / f"{size}.yaml"
    code = run(answers, "all", wanted(size, output), say=_nothing, note=_nothing, base=output)
    assert code == 0
    return read(output)


def kept(size: str) -> dict[str, str]:
    """Return the texts as they are to be."""
    return read(PLACE / size)


def read(directory: Path) -> dict[str, str]:
    """Return the files below a directory by path."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_text() for path in files}


def _nothing(_text: str) -> None:
    """Print nothing."""


if __name__ == "__main__":
    for each in SIZES:
        shutil.rmtree(PLACE / each, ignore_errors=True)
        make(each, PLACE / each)
