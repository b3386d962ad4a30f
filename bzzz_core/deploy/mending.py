"""What preflight says of a BZZZ that is on a host already: whole, half, damaged, older or newer.

What is whole is used again and nothing is said. What is half or damaged is repaired by the very
phases that install, and the words here tell why their changes appear in the plan. What is newer
than this program is refused: an older setup knows neither its files nor its data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bzzz_core import __version__
from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.deploy import layout
from bzzz_core.deploy.events import Finding
from bzzz_core.deploy.facts.host import HostFacts, Kind

_SHOWN_MAX = 3


def mending(_spec: ClusterSpec, host: HostSpec, facts: HostFacts) -> Iterator[Finding]:
    """Return what is to be said of the BZZZ on a host; nothing if there is none, or all is well."""
    newer = newer_release(facts)
    if newer is not None:
        yield Finding(
            "error",
            "existing",
            host.name,
            f"it has BZZZ {newer}, and this program installs {__version__}",
            "use the newer bzzz-tui, or uninstall the host first (--uninstall)",
        )
    for text in repairs(facts):
        yield Finding("warning", "existing", host.name, text, "")


def newer_release(facts: HostFacts) -> str | None:
    """Return the host's release if it is newer than this program's, else None."""
    present = facts.current or ""
    here, there = _order(__version__), _order(present)
    return present if there and here and there > here else None


def repairs(facts: HostFacts) -> tuple[str, ...]:
    """Return in words what is not whole and will be made so."""
    if facts.uid != 0:
        return ()
    if not facts.current:
        return _half(facts)
    said = []
    missing = sorted(name for name, unit in (facts.units or {}).items() if not unit.loaded)
    if missing:
        said.append(f"BZZZ is there without {' and '.join(missing)}; installed again")
    if facts.damaged:
        shown = ", ".join(facts.damaged[:_SHOWN_MAX])
        more = len(facts.damaged) - _SHOWN_MAX
        others = f" and {more} more" if more > 0 else ""
        said.append(f"files of release {facts.current} were changed ({shown}{others}); replaced")
    if facts.paths is not None and facts.path(layout.AGENT_CONFIG).kind is Kind.ABSENT:
        said.append(f"BZZZ is there without {layout.AGENT_CONFIG}; written again")
    stopped = sorted(
        name
        for name, unit in (facts.units or {}).items()
        if unit.loaded and unit.active == "failed"
    )
    if stopped:
        said.append(f"{' and '.join(stopped)} failed; started again")
    return tuple(said)


def _half(facts: HostFacts) -> tuple[str, ...]:
    """Return the words for an installation that was cut short, if there are traces of one."""
    if facts.path(layout.BEFORE).kind is not Kind.FILE and not facts.releases:
        return ()
    return ("an installation was cut short here; what is there is used, the rest is made",)


def _order(version: str) -> tuple[int, ...]:
    """Return the numbers before what marks a build, by which releases are older or newer."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    return tuple(int(part) for part in found.groups()) if found else ()
