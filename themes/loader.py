"""Reads and checks the colour themes that lie beside this file.

A theme is data: a name, two flags and thirteen colours, all of them required, each a hex colour or
one of the terminal's sixteen (`ansi_red`). What is missing or unknown is an error that names the
file and the key, so a theme never fails half-painted.

Status is never told by colour alone (a glyph and a word stand beside it); still, every status
colour must be readable on every ground it is painted on. `contrast` is the WCAG 2.1 ratio; a test
holds each theme to 4.5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import yaml

from bzzz_core.errors import ConfigError

DEFAULT: Final = "bzzz-dark"
SIXTEEN: Final = "bzzz-ansi"
STATUS_COLORS: Final = ("foreground", "muted", "accent", "ok", "warn", "bad", "info")
GROUNDS: Final = ("background", "surface", "panel", "cursor")
_COLOR: Final = re.compile(
    r"#[0-9a-fA-F]{6}"
    r"|ansi_(default|(bright_)?(black|red|green|yellow|blue|magenta|cyan|white))"
)
_FILE_BYTES_MAX: Final = 100_000
_HERE: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Colors:
    """The thirteen colours every theme names."""

    background: str
    surface: str
    """Ground of panels that lie on the background."""
    panel: str
    """Ground of the top and bottom lines."""
    foreground: str
    muted: str
    """Labels, units and whatever is not news."""
    rule: str
    """Lines and empty parts of bars; carries no text."""
    cursor: str
    """Ground of the row under the cursor."""
    accent: str
    """The brand and the leader."""
    on_accent: str
    """Text on a ground of `accent`."""
    ok: str
    warn: str
    bad: str
    info: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThemeSpec:
    """One theme as its file says it."""

    name: str
    dark: bool
    ansi: bool
    """Only the terminal's own sixteen colours are sent."""
    colors: Colors


def names() -> list[str]:
    """Return the names of all shipped themes, in alphabetical order."""
    return sorted(path.stem for path in _HERE.glob("*.yaml"))


def load(name: str) -> ThemeSpec:
    """Read one shipped theme.

    Raises:
        ConfigError: No such theme, or its file says something that cannot be.
    """
    if name not in names():
        raise ConfigError(f"no theme named {name}; choose one of: {', '.join(names())}")
    return parse((_HERE / f"{name}.yaml").read_text(encoding="utf-8"), place=f"{name}.yaml")


def load_file(path: Path) -> ThemeSpec:
    """Read a theme of the operator's; it is named after its file, whatever it calls itself.

    Raises:
        ConfigError: It cannot be read, or says something that cannot be.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_FILE_BYTES_MAX).decode("utf-8")
    except OSError as exc:
        raise ConfigError(f"{path.name}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path.name}: not UTF-8 text") from exc
    return replace(parse(text, place=path.name), name=path.stem)


def parse(text: str, *, place: str) -> ThemeSpec:
    """Check the text of a theme file; `place` names it in messages.

    Raises:
        ConfigError: Not YAML, a key missing or unknown, or no colour where one must be.
    """
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        raise ConfigError(f"{place}: not valid YAML") from exc
    _keys(data, {"name", "dark", "ansi", "colors"}, place)
    _keys(data["colors"], {field.name for field in fields(Colors)}, f"{place}: colors")
    for key, value in data["colors"].items():
        if not isinstance(value, str) or not _COLOR.fullmatch(value):
            raise ConfigError(f"{place}: colors.{key}: expected #rrggbb or ansi_<name>")
    return ThemeSpec(
        name=str(data["name"]),
        dark=bool(data["dark"]),
        ansi=bool(data["ansi"]),
        colors=Colors(**data["colors"]),
    )


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two hex colours, 1 to 21 (WCAG 2.1, 1.4.3)."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: str) -> float:
    """Return the relative luminance of a hex colour (WCAG 2.1, "relative luminance")."""
    parts = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (_linear(part) for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    """Undo the gamma of one sRGB channel; both constants are the standard's."""
    return part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4  # noqa: PLR2004


def _keys(data: Any, wanted: set[str], place: str) -> None:
    if not isinstance(data, dict):
        raise ConfigError(f"{place}: expected keys and values")
    missing, unknown = wanted - set(data), {str(key) for key in data} - wanted
    if missing or unknown:
        wrong = [f"missing {key}" for key in sorted(missing)]
        wrong += [f"unknown {key}" for key in sorted(unknown)]
        raise ConfigError(f"{place}: {', '.join(wrong)}")
