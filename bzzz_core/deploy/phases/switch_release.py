"""Points `current` to the new release, in one step. What runs keeps the old one until restarted."""

from __future__ import annotations

from typing import Final

from bzzz_core.deploy import layout
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work

TITLE: Final = "Switch to the release"
_SWITCH: Final = """
set -eu
[ -f "/opt/bzzz/releases/$1/manifest.json" ]
next=/opt/bzzz/.current-$$
ln -s "releases/$1" "$next"
mv -fT -- "$next" /opt/bzzz/current
sync /opt/bzzz
"""


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return the switch, unless it points there."""
    if goal.facts.current == goal.release.version:
        return ()
    return (
        Change(
            phase="switch_release",
            action="update" if goal.facts.current else "create",
            target=layout.CURRENT,
            before=goal.facts.current or "absent",
            after=goal.release.version,
            sentence=f"switch {layout.CURRENT} to {goal.release.version}",
        ),
    )


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Make the new link beside the old one and rename it over."""
    del changes, work
    await host.run(_SWITCH, goal.release.version, what="switch the release")


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Read the link."""
    del work
    script = '[ "$(readlink /opt/bzzz/current)" = "releases/$1" ]'
    await host.run(script, goal.release.version, what="read the current release")
