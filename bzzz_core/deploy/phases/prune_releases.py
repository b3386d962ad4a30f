"""Removes releases that are too old to go back to; the one in use never is."""

from __future__ import annotations

from typing import Final

from bzzz_core.deploy import layout
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work

TITLE: Final = "Remove old releases"
_REMOVE: Final = """
set -eu
case $1 in */*|.*|"") exit 64 ;; esac
rm -rf -- "/opt/bzzz/releases/$1"
"""


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return the removal of all but the newest releases (the probe lists them newest first).

    Those that were rolled back here are not kept at all.
    """
    running = {unit.release for unit in (goal.facts.units or {}).values()}
    used = {goal.release.version, goal.facts.current, *running}
    if goal.facts.current == goal.release.version:
        used.add(goal.facts.previous)
    others = [name for name in goal.facts.releases or () if name != goal.release.version]
    refused = [name for name in others if name in (goal.facts.refused or {})]
    good = [name for name in others if name not in refused]
    old = [*refused, *good[goal.spec.services.releases_kept - 1 :]]
    return tuple(
        Change(
            phase="prune_releases",
            action="remove",
            target=layout.release_path(name),
            before=name,
            after="absent",
            sentence=f"remove the old release {name}",
        )
        for name in old
        if name not in used
    )


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Remove what the changes name."""
    del goal, work
    for change in changes:
        await host.run(_REMOVE, change.before, what=f"remove release {change.before}")


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Nothing to look at."""
    del host, goal, work
