"""Removes what is too old to go back to: releases, Pythons of ours, programs of model servers.

What is in use never goes, nor what the way back needs. Of each kind the newest are kept, as many as
of releases, and the probe lists all of them newest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from bzzz_core.deploy import layout, model_servers
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work

TITLE: Final = "Remove old releases"
_REMOVE: Final = """
set -eu
case $1 in
  */.*) exit 64 ;;
  /opt/bzzz/releases/?* | /opt/bzzz/runtimes/?* | /opt/bzzz/model-servers/?*/?*) ;;
  *) exit 64 ;;
esac
rm -rf -- "$1"
"""


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return the removal of all but the newest, of each kind."""
    return (*_releases(goal), *_runtimes(goal), *_programs(goal))


def _releases(goal: Goal) -> Iterator[Change]:
    """Those that were rolled back here are not kept at all."""
    running = {unit.release for unit in (goal.facts.units or {}).values()}
    used = {goal.release.version, goal.facts.current, *running}
    if goal.facts.current == goal.release.version:
        used.add(goal.facts.previous)
    others = [name for name in goal.facts.releases or () if name != goal.release.version]
    refused = [name for name in others if name in (goal.facts.refused or {})]
    good = [name for name in others if name not in refused]
    for name in (*refused, *_old(goal, good)):
        if name not in used:
            yield _removal(layout.RELEASES, name, "release")


def _runtimes(goal: Goal) -> Iterator[Change]:
    """Nothing while it is not known which of them the units start with."""
    if goal.facts.runtimes_used is None:
        return
    used = {*goal.facts.runtimes_used, goal.release.runtime.name if goal.release.runtime else ""}
    others = [
        name
        for name in goal.facts.runtimes or ()
        if name not in used and not goal.python.path.startswith(f"{layout.RUNTIMES}/{name}/")
    ]
    for name in _old(goal, others):
        yield _removal(layout.RUNTIMES, name, "Python runtime")


def _programs(goal: Goal) -> Iterator[Change]:
    hosting, servers = goal.facts.model_hosting, goal.spec.ai.servers
    for program in hosting.programs if hosting else ():
        used = {program.current}
        if program.name == servers.program:
            used.add(model_servers.release_name(servers))
        others = [name for name in program.kept if name not in used]
        for name in _old(goal, others):
            yield _removal(f"{layout.MODEL_SERVERS}/{program.name}", name, program.name)


def _old(goal: Goal, others: Iterable[str]) -> list[str]:
    """Return those that go, of whatever there is beside the one that is wanted."""
    return list(others)[goal.spec.services.releases_kept - 1 :]


def _removal(base: str, name: str, kind: str) -> Change:
    return Change(
        phase="prune_releases",
        action="remove",
        target=f"{base}/{name}",
        before=name,
        after="absent",
        sentence=f"remove the old {kind} {name}",
    )


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Remove what the changes name."""
    del goal, work
    for change in changes:
        await host.run(_REMOVE, change.target, what=f"remove {change.target}")


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Nothing to look at."""
    del host, goal, work
