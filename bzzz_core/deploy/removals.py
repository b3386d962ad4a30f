"""What uninstalling would take off a host: decided purely, from what a survey found there.

A *survey* prints one thing a line, `KIND<TAB>NAME`, of everything that may be ours, and the lines
of the note that was made before the first installation (`phases/note_before.py`). To these come the
things that phases noted to have made elsewhere (`made.py`). From all follows the list of removals;
what was there before stays, with the owner and mode it had.

Kept always: the system's journal. Kept unless asked: the logs (`--purge` takes them). Kept if
asked: data (`--keep-data`), and then the user to whom they belong.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from bzzz_core.deploy import layout
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.made import Made

_WORDS: Final = {
    "unit": ("installed", "stop, disable and remove {name}"),
    "made": ("noted", "take back what {name}"),
    "file": ("ours", "remove {name}"),
    "config": ("configuration and keys", "remove {name} (configuration and keys)"),
    "data": ("data", "remove {name} (data)"),
    "logs": ("logs", "remove {name} (logs)"),
    "user": ("present", "remove the system user {name}"),
    "group": ("present", "remove the system group {name}"),
}
"""Kind -> what is there, and the removal in words."""
KINDS: Final = ("unit", "made", "file", "config", "data", "logs", "user", "group")
"""The order in which things are removed; `/opt/bzzz` and the note in it come last of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the operator wants to be kept or not."""

    purge: bool = False
    """Logs go too."""
    keep_data: bool = False


@dataclass(frozen=True, slots=True)
class Before:
    """One thing that was there before BZZZ."""

    kind: str
    name: str
    mode: str = ""
    owner: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a host has of ours."""

    found: tuple[tuple[str, str], ...]
    """(kind, name) in the order of the survey."""
    before: tuple[Before, ...] = ()
    made: tuple[Made, ...] = ()
    """What phases noted that they made elsewhere, the latest first."""

    def has(self, kind: str) -> bool:
        """Return whether anything of a kind is there."""
        return any(one == kind for one, _ in self.found)

    def was(self, kind: str, name: str) -> Before | None:
        """Return what was there before under a name."""
        return next((b for b in self.before if (b.kind, b.name) == (kind, name)), None)


def read_survey(text: str) -> Survey:
    """Return what the survey's output says; lines that make no sense are left out."""
    found, before = [], []
    for line in text.splitlines():
        words = line.split("\t")
        if words[0] == "was" and len(words) >= 3:  # noqa: PLR2004  was, kind, name
            before.append(Before(*words[1:6]))
        elif len(words) == 2:  # noqa: PLR2004  kind and name
            found.append((words[0], words[1]))
    return Survey(found=tuple(found), before=tuple(before))


def removals(survey: Survey, wish: Wish) -> tuple[Change, ...]:
    """Return what would be done, in order; nothing on a host without anything of ours."""
    noted = tuple(("made", f"{one.phase} made: {one.target}") for one in survey.made)
    changes = [
        change
        for kind in KINDS
        for found, name in (*noted, *survey.found)
        if found == kind and (change := _removal(survey, wish, kind, name)) is not None
    ]
    if survey.has("root"):
        changes.append(
            _change("root", layout.ROOT, "releases and the note", f"remove {layout.ROOT}")
        )
    return tuple(changes)


def _removal(survey: Survey, wish: Wish, kind: str, name: str) -> Change | None:
    if kind == "logs" and not wish.purge:
        return _kept_logs(survey, wish, name)
    if _stays(survey, wish, kind, name):
        return None
    if survey.was("directory", name):
        return _change(kind, name, "shared", f"empty {name} of what is BZZZ's; it was there before")
    what, sentence = _WORDS[kind]
    return _change(kind, name, what, sentence.format(name=name))


def _stays(survey: Survey, wish: Wish, kind: str, name: str) -> bool:
    """Return whether a thing that was found is to be left alone."""
    if kind in {"user", "group"}:
        owns_data = wish.keep_data and survey.has("data")
        return owns_data or survey.was(kind, name) is not None
    return (kind == "data" and wish.keep_data) or survey.was("file", name) is not None


def _kept_logs(survey: Survey, wish: Wish, name: str) -> Change | None:
    """Logs stay, but whoever gets the number of a user that is gone must not read them."""
    if not survey.has("user") or survey.was("user", layout.USER) or wish.keep_data:
        return None
    return Change(
        phase="uninstall",
        action="update",
        target=name,
        before=layout.USER,
        after="root",
        sentence=f"keep the logs in {name}, owned by root (--purge removes them)",
    )


def _change(kind: str, name: str, before: str, sentence: str) -> Change:
    return Change(
        phase="uninstall",
        action="remove",
        target=name,
        before=f"{kind}: {before}",
        after="absent",
        sentence=sentence,
    )


def kind_of(change: Change) -> str:
    """Return the kind of thing that a removal is about."""
    return change.before.partition(":")[0] if change.action == "remove" else "kept"


def without(changes: Iterable[Change], kinds: frozenset[str]) -> tuple[Change, ...]:
    """Return the removals of other kinds than these."""
    return tuple(change for change in changes if kind_of(change) not in kinds)
