"""The lock files: reproducible, checked by hash, and free of anybody's network.

Mend them with `scripts/lock`.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.arch.tree import ROOT

RUNTIME, DEVELOPMENT = "requirements.lock", "requirements-dev.lock"
AGENT = "bzzz_core/deploy/agent.lock"
LOCKS = (RUNTIME, DEVELOPMENT, AGENT)


@cache
def project() -> dict[str, Any]:
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def names(requirements: list[str]) -> dict[str, Requirement]:
    """Return the requirements by canonical name."""
    parsed = [Requirement(text) for text in requirements]
    return {canonicalize_name(item.name): item for item in parsed}


def pins(lock: str) -> dict[str, tuple[Version, int]]:
    """Return name -> (version, number of hashes) of a lock file."""
    found: dict[str, tuple[Version, int]] = {}
    name = ""
    for line in (ROOT / lock).read_text().splitlines():
        pin = re.match(r"([A-Za-z0-9._-]+)==(\S+)", line)
        if pin:
            name = canonicalize_name(pin[1])
            found[name] = (Version(pin[2]), 0)
        elif line.strip().startswith("--hash=sha256:"):
            found[name] = (found[name][0], found[name][1] + 1)
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_holds_nothing_but_pins_and_hashes(lock: str) -> None:
    pin = r"[a-z0-9._-]+==[^\s/]+( ; [^\\/]+)? \\"
    line = re.compile(rf"({pin}|    --hash=sha256:[0-9a-f]{{64}}( \\)?)?")
    strange = [text for text in (ROOT / lock).read_text().splitlines() if not line.fullmatch(text)]
    assert not strange, strange


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash(lock: str) -> None:
    bare = [name for name, (_, hashes) in pins(lock).items() if not hashes]
    assert pins(lock)
    assert not bare, bare


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_satisfies_pyproject(lock: str) -> None:
    wanted = names(project()["project"]["dependencies"])
    if lock == DEVELOPMENT:
        wanted |= names(project()["dependency-groups"]["dev"])
    if lock == AGENT:
        operator_only = set(project()["tool"]["bzzz"]["operator-only"])
        assert operator_only <= set(wanted), "operator-only names something that is no dependency"
        wanted = {name: item for name, item in wanted.items() if name not in operator_only}
        assert not operator_only & set(pins(lock)), "a node would get the operator's packages"
    locked = pins(lock)
    stale = [
        f"{name}: {item.specifier} wanted, {locked.get(name, ('nothing',))[0]} locked"
        for name, item in wanted.items()
        if name not in locked or not item.specifier.contains(locked[name][0])
    ]
    assert not stale, f"run scripts/lock: {stale}"


def test_locks_agree_with_each_other() -> None:
    development = pins(DEVELOPMENT)
    differing = [
        f"{lock}: {name} {version}"
        for lock in (RUNTIME, AGENT)
        for name, (version, _) in pins(lock).items()
        if development[name][0] != version
    ]
    assert not differing, f"run scripts/lock: {differing}"
