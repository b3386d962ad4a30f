"""Units of model servers, programs that setup installed for them, and room for models."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from bzzz_core.deploy.facts.sections import kilobytes, number, pairs, parts, word

UNITS_MAX: Final = 64
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class ModelUnit(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A unit of a model server, of ours or of others."""

    name: str
    """Without `.service`."""
    fragment: str = ""
    ours: bool = False
    """Setup wrote its file."""
    sha256: str = ""
    """Of its file."""
    active: str = "unknown"
    enabled: bool = False
    needs_reload: bool = False
    started_s: int | None = None
    """Seconds since 1970; None: it does not run."""
    dropin_sha256: str = ""
    """Of our drop-in; "": there is none."""
    dropin_changed_s: int | None = None
    dropin_program: str = ""
    """The program that our drop-in puts in the place of the unit's own."""
    user: str = ""
    models_path: str = ""
    """Where its models lie, or would lie."""
    free_bytes: int | None = None
    """There."""


class ModelProgram(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A program that setup installed."""

    name: str
    current: str = ""
    """Name of the directory in use."""
    kept: tuple[str, ...] = ()
    """Newest first."""


class ModelHosting(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Everything about serving models on a host that a plan needs."""

    units: tuple[ModelUnit, ...] = ()
    programs: tuple[ModelProgram, ...] = ()
    account: bool = False
    """Whether the user of our servers is there."""
    free_bytes: int | None = None
    """Where models of a new server would lie."""

    def unit(self, name: str) -> ModelUnit | None:
        """Return a unit by its name."""
        return next((unit for unit in self.units if unit.name == name), None)

    def program(self, name: str) -> ModelProgram:
        """Return what setup installed of a program; nothing is something too."""
        return next((one for one in self.programs if one.name == name), ModelProgram(name=name))


def read_model_hosting(text: str) -> ModelHosting:
    """Return what the section says.

    Raises:
        ValueError: It is not as we print it.
    """
    first, *rest = parts(text)
    said = pairs(first[1])
    units, programs = [], []
    for title, body in rest:
        kind, _, name = title.partition(" ")
        if kind == "unit":
            units.append(_unit(name.removesuffix(".service"), pairs(body)))
        elif kind == "program":
            programs.append(_program(name, body))
    if len(units) > UNITS_MAX:
        raise ValueError("too many units")
    return ModelHosting(
        units=tuple(units),
        programs=tuple(programs),
        account=said.get("account") == "yes",
        free_bytes=_free(said.get("space", "")),
    )


def _unit(name: str, said: dict[str, str]) -> ModelUnit:
    return ModelUnit(
        name=word(name, 100),
        fragment=word(said.get("FragmentPath", "")),
        ours=said.get("ours") == "yes",
        sha256=_digest(said.get("unit", "")),
        active=word(said.get("ActiveState", "unknown"), 40),
        enabled=said.get("UnitFileState") == "enabled",
        needs_reload=said.get("NeedDaemonReload") == "yes",
        started_s=number(said.get("started", "")),
        dropin_sha256=_digest(said.get("dropin", "")),
        dropin_changed_s=number(said.get("changed", "")),
        dropin_program=word(said.get("program", ""), 40),
        user=word(said.get("User", ""), 100),
        models_path=word(said.get("models", ""), 1_000),
        free_bytes=_free(said.get("space", "")),
    )


def _program(name: str, body: str) -> ModelProgram:
    lines = [line.partition("=")[::2] for line in body.splitlines()]
    current = next((value for key, value in lines if key == "current"), "")
    kept = tuple(word(value, 100) for key, value in lines if key == "kept")
    return ModelProgram(name=word(name, 40), current=word(current, 100), kept=kept)


def _free(line: str) -> int | None:
    words = line.split()
    return kilobytes(words[3]) if len(words) > 3 else None  # noqa: PLR2004  `df -Pk`


def _digest(text: str) -> str:
    return text if _SHA256.fullmatch(text) else ""
