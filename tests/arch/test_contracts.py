"""Each import contract would notice a violation; `scripts/check` asks them about the tree itself.

A contract with a misspelt module passes for ever. So one violation of each is planted in a copy of
the packages, where it has to turn red.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.arch.tree import PACKAGES, ROOT

PLANTED = (
    ("bzzz_core/model.py", "bzzz_core.ports", "bzzz_core.model is not allowed to import"),
    ("bzzz_core/membership/machine.py", "bzzz_core.election.machine", "bzzz_core.membership is"),
    ("bzzz_core/election/machine.py", "time", "bzzz_core.election.machine is not allowed"),
    ("bzzz_core/errors.py", "bzzz_core.clock", "bzzz_core.membership.machine is not allowed"),
    ("bzzz_core/telemetry/logs.py", "textual", "bzzz_core is not allowed to import textual"),
    ("screens/app.py", "bzzz_core.fabric.store", "screens is not allowed to import bzzz_core"),
    ("bzzz_core/agent.py", "psutil", "bzzz_core is not allowed to import psutil"),
    ("bzzz_core/deploy/goal.py", "asyncssh", "bzzz_core is not allowed to import asyncssh"),
)


def lint_imports(place: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts on the tree at `place`."""
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [program, "--no-logo", "--no-cache", "--config", place / "pyproject.toml"],
        check=False,
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(place), "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the packages, to plant in."""
    place = tmp_path_factory.mktemp("contracts")
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, place / package, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", place)
    return place


@pytest.mark.parametrize(("file", "imported", "verdict"), PLANTED)
def test_planted_import_is_found(copy: Path, file: str, imported: str, verdict: str) -> None:
    module = copy / file
    clean = module.read_text(encoding="utf-8")
    module.write_text(f"{clean}\nimport {imported}\n", encoding="utf-8")
    try:
        done = lint_imports(copy)
    finally:
        module.write_text(clean, encoding="utf-8")
    assert done.returncode == 1
    assert verdict in done.stdout, done.stdout
