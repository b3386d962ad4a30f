"""Whether the directories for data and logs can become BZZZ's own on a host. Pure.

Which paths are the system's, the schema says (`config/sections/directories.py`). Here it is what a
host has there: setup would give it to the user `bzzz`, so it must be nobody else's, and root must
not be led elsewhere by a link that somebody else may place above it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.deploy import layout
from bzzz_core.deploy.events import Finding
from bzzz_core.deploy.facts.host import HostFacts, PathFact, Place

_FIX: Final = "give another directory (resources.paths)"
_AGAIN: Final = "try again; if it stays, look for a file system that does not answer"
_NOT_SEEN: Final = "could not be looked at, and it is about to be given to the user bzzz"
_WRITABLE: Final = frozenset("2367")
"""Octal digits of a mode that let a group or others write."""
_STATES: Final = {
    "link": "is a symbolic link",
    "other": "is no directory",
    "unknown": "could not be looked into",
}


def check(spec: ClusterSpec, host: HostSpec, facts: HostFacts) -> Iterator[Finding]:
    """Yield why a directory cannot be ours."""
    if facts.uid != 0:
        return  # that we are not root is said already, and what is unknown for that reason
    paths = spec.resources.paths
    if facts.places is None:
        # What is ours already was looked at when it became so.
        for path in (paths.data, paths.logs):
            if facts.path(path).owner != layout.USER:
                yield Finding("error", "paths", host.name, f"{path} {_NOT_SEEN}", _AGAIN)
    for place in facts.places or ():
        fault = _fault(place, facts.path(place.path))
        if fault:
            yield Finding("error", "paths", host.name, f"{place.path} {fault}", _FIX)


def _fault(place: Place, there: PathFact) -> str:
    if place.open_above:
        return f"lies in {place.open_above}, where others than root may put things"
    if place.state in _STATES:
        return _STATES[place.state]
    if place.state == "absent" or there.owner == layout.USER:
        return ""
    if place.state == "filled":
        return f"holds files and belongs to {there.owner or 'somebody else'}, not to {layout.USER}"
    return _not_free(there)


def _not_free(there: PathFact) -> str:
    """Return who else means to put things into a directory that is empty or has our kept logs."""
    if (there.owner, there.group) != ("root", "root"):
        owner = f"{there.owner}:{there.group}" if there.owner else "somebody else"
        return f"belongs to {owner}, neither to root:root nor to {layout.USER}"
    if not there.mode or _WRITABLE & set(there.mode[-2:]):
        return f"is root's with mode {there.mode}: others than root may put things there"
    return ""
