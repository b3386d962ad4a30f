"""Takes note, on each host, that the upgrade is done: the cluster is well with the new release.

From here on an interruption is no reason to go back, and a release that was tried again by force
is not refused any more.
"""

from __future__ import annotations

from typing import Final

from bzzz_core.deploy import layout
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.phases import keep_config
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work

TITLE: Final = "Finish the upgrade"
_COMMIT: Final = """
set -eu
rm -f -- "$1/pending" "$1/refused/$2"
[ ! -d "$1" ] || sync "$1"
"""


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return the note, if an upgrade is under way or the release was refused before."""
    refused = goal.release.version in (goal.facts.refused or {})
    if not keep_config.upgrades(goal) and not goal.facts.pending and not refused:
        return ()
    return (
        Change(
            phase="commit_release",
            action="remove",
            target=f"{layout.INSTALL}/pending",
            before="under way",
            after="done",
            sentence=f"take note that the upgrade to {goal.release.version} is done",
        ),
    )


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Remove the marks."""
    del changes, work
    await host.run(_COMMIT, layout.INSTALL, goal.release.version, what="finish the upgrade")


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Nothing to look at."""
    del host, goal, work
