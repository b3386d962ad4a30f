"""Which colour theme is in force: a shipped one, or a file of the operator's that may change.

A file of the operator's is looked at again whenever `changed` is asked; a shipped one never is. A
file that is wrong is told, and the colours stay as they were.
"""

from __future__ import annotations

from pathlib import Path

from bzzz_core.config.profile_places import home
from bzzz_core.errors import ConfigError
from themes import loader
from themes.loader import ThemeSpec


class ThemeChoice:
    """The present theme and how to come to another."""

    def __init__(self, spec: ThemeSpec) -> None:
        """Take the theme that is in force."""
        self.spec = spec
        self._path: Path | None = _own(spec.name)
        self._seen = _stamp(self._path)

    def choose(self, name: str = "") -> ThemeSpec:
        """Take a theme by its name (`bzzz-` may be left out), or the next one.

        Raises:
            ConfigError: No such theme, or its file is wrong; the old one stays.
        """
        known = all_names()
        if not name:
            at = known.index(self.spec.name) + 1 if self.spec.name in known else 0
            name = known[at % len(known)]
        spec = named(name)
        self.spec, self._path = spec, _own(spec.name)
        self._seen = _stamp(self._path)
        return spec

    def changed(self) -> ThemeSpec | None:
        """Return the present theme anew if its file has changed since it was looked at.

        Raises:
            ConfigError: The file is wrong now; it is told once.
        """
        if self._path is None:
            return None
        stamp = _stamp(self._path)
        if stamp == self._seen or stamp is None:
            return None
        self._seen = stamp
        self.spec = loader.load_file(self._path)
        return self.spec


def theme_directory() -> Path:
    """Return where an operator puts colour themes of their own."""
    return home() / "themes"


def named(name: str) -> ThemeSpec:
    """Return a theme by its name; `bzzz-` may be left out of a shipped one's.

    Raises:
        ConfigError: No such theme, or its file is wrong.
    """
    path = _own(name)
    if path is not None:
        return loader.load_file(path)
    for each in (name, f"bzzz-{name}"):
        if each in loader.names():
            return loader.load(each)
    raise ConfigError(f"no theme named {name}; choose one of: {', '.join(all_names())}")


def all_names() -> list[str]:
    """Return the names of all themes: the shipped ones, then the operator's own."""
    shipped = loader.names()
    own = sorted(path.stem for path in theme_directory().glob("*.yaml"))
    return [*shipped, *(name for name in own if name not in shipped)]


def _own(name: str) -> Path | None:
    """Return the operator's file of a theme; a shipped name is never taken from there."""
    if name in loader.names():
        return None
    path = theme_directory() / f"{name}.yaml"
    return path if path.parent == theme_directory() and path.is_file() else None


def _stamp(path: Path | None) -> tuple[int, int] | None:
    try:
        status = path.stat() if path is not None else None
    except OSError:
        return None
    return None if status is None else (status.st_mtime_ns, status.st_size)
