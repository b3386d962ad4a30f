"""Installs the systemd units. Starting them is another phase's work."""

from __future__ import annotations

import hashlib
from typing import Final

from bzzz_core.deploy import layout
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.facts.host import Kind, PathFact
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.place import Placed, place
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.units import unit_text
from bzzz_core.deploy.work import Work

TITLE: Final = "Install the services"
_PATHS: Final = {layout.FABRIC: layout.FABRIC_UNIT, layout.AGENT: layout.AGENT_UNIT}


def units(goal: Goal) -> tuple[str, ...]:
    """Return the units that belong on the host, in starting order."""
    del (
        goal
    )  # An edge has the broker's unit too: it waits there until the cluster makes it a voter.
    return (layout.FABRIC, layout.AGENT)


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return each unit whose file is missing or differs."""
    changes = []
    for unit in units(goal):
        path = _PATHS[unit]
        fact = goal.facts.path(path)
        sha256 = hashlib.sha256(unit_text(unit, goal).encode()).hexdigest()
        if fact == PathFact(Kind.FILE, "644", "root", "root", sha256):
            continue
        absent = fact.kind is Kind.ABSENT
        changes.append(
            Change(
                phase="install_units",
                action="create" if absent else "update",
                target=path,
                before=fact.sha256 or fact.kind.value,
                after=sha256,
                sentence=f"{'install' if absent else 'update'} the unit {unit}.service",
            )
        )
    return tuple(changes)


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Write the files and let systemd read them."""
    del work
    targets = {change.target for change in changes}
    for unit in units(goal):
        if _PATHS[unit] in targets:
            target = Placed(path=_PATHS[unit], mode="644")
            await place(host, target, unit_text(unit, goal).encode())
    await host.run("systemctl daemon-reload", what="reload systemd")


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Ask systemd whether it could read them."""
    del work
    script = """
for unit in "$@"; do
  [ "$(systemctl show -p LoadState --value "$unit.service")" = loaded ] || exit 1
done
"""
    await host.run(script, *units(goal), what="load the units")
