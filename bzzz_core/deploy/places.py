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
from bzzz_core.deploy.facts.host import HostFacts, Place

_FIX: Final = "give another directory (resources.paths)"
_STATES: Final = {
    "link": "is a symbolic link",
    "other": "is no directory",
    "unknown": "could not be looked into",
}


def check(spec: ClusterSpec, host: HostSpec, facts: HostFacts) -> Iterator[Finding]:
    """Yield why a directory cannot be ours."""
    del spec
    if facts.uid != 0:
        return  # that we are not root is said already, and what is unknown for that reason
    for place in facts.places or ():
        fault = _fault(place, facts)
        if fault:
            yield Finding("error", "paths", host.name, f"{place.path} {fault}", _FIX)


def _fault(place: Place, facts: HostFacts) -> str:
    there = facts.path(place.path)
    if place.open_above:
        return f"lies in {place.open_above}, where others than root may put things"
    if place.state == "filled" and there.owner != layout.USER:
        return f"holds files and belongs to {there.owner or 'somebody else'}, not to {layout.USER}"
    return _STATES.get(place.state, "")
