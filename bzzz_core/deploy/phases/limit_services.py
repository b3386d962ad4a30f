"""Writes the limits of `resources.limits` beside the units, as drop-ins; none asked for, no file.

The unit's restart follows from the file (`services.plan_unit`): only the service whose limits
changed is started anew.
"""

from __future__ import annotations

import hashlib
from typing import Final

from bzzz_core.deploy import layout, made
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.facts.host import Kind, PathFact
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.limits import dropin_path, dropin_text, of_service
from bzzz_core.deploy.place import Placed, place
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work

TITLE: Final = "Limit the services"
_UNITS: Final = (layout.FABRIC, layout.AGENT)
_DIRECTORY: Final = """
set -eu
[ ! -L "$1" ] || { echo "$1 is a symbolic link" >&2; exit 66; }
install -d -m 755 -o root -g root -- "$1"
"""
_REMOVE: Final = """
rm -f -- "$1"
rmdir -- "${1%/*}" 2>/dev/null || :
systemctl daemon-reload
"""
"""The directory stays if it holds somebody else's drop-ins."""


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return each drop-in that is missing, differs, or is no longer asked for."""
    changes = []
    for unit in _UNITS:
        path = dropin_path(unit)
        text = dropin_text(unit, of_service(goal.spec, unit), goal.facts)
        fact = goal.facts.path(path)
        absent = fact.kind in {Kind.ABSENT, Kind.UNKNOWN}
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        if not text and not absent:
            what: tuple[str, str] = ("remove", "absent")
        elif text and fact != PathFact(Kind.FILE, "644", "root", "root", sha256):
            what = ("create" if absent else "update", text)
        else:
            continue
        changes.append(
            Change(
                phase="limit_services",
                action="remove" if what[0] == "remove" else "create" if absent else "update",
                target=path,
                before="" if absent else fact.sha256 or fact.kind.value,
                after=what[1],
                sentence=f"{what[0]} the limits of {unit}.service in {path}",
            )
        )
    return tuple(changes)


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Write or remove the files and let systemd read them."""
    del work
    texts = {dropin_path(u): dropin_text(u, of_service(goal.spec, u), goal.facts) for u in _UNITS}
    for change in changes:
        if change.action == "remove":
            await remove(host, _made(change.target))
            await made.forget(host, _made(change.target))
            continue
        await made.note(host, _made(change.target))
        directory = change.target.rpartition("/")[0]
        await host.run(_DIRECTORY, directory, what=f"create {directory}")
        placed = Placed(path=change.target, mode="644")
        await place(host, placed, texts[change.target].encode())
    await host.run("systemctl daemon-reload", what="reload systemd")


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Ask systemd whether it has read the drop-ins without complaint."""
    del work
    wanted = [u for u in _UNITS if dropin_text(u, of_service(goal.spec, u), goal.facts)]
    script = """
for path in "$@"; do
  unit=${path%.d/*}
  case " $(systemctl show -p DropInPaths --value "${unit##*/}") " in
    *" $path "*) ;;
    *) echo "systemd does not know $path" >&2; exit 1 ;;
  esac
done
"""
    await host.run(script, *map(dropin_path, wanted), what="load the limits")


async def remove(host: RemoteHost, entry: made.Made) -> None:
    """Remove a drop-in and let systemd forget it."""
    await host.run(_REMOVE, entry.target, what=f"remove {entry.target}")


def _made(path: str) -> made.Made:
    return made.Made("limit_services", path)
