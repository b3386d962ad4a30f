"""Points `current` to the new release, in one step. What runs keeps the old one until restarted.

`previous` then points to the one that was there before. Nothing is switched to whose files are not
those of its list of sums any more.
"""

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
(cd "/opt/bzzz/releases/$1/site" && sha256sum -c --quiet --strict ../SHA256SUMS >&2) \
  || { echo "release $1 was changed since it was unpacked" >&2; exit 65; }
cd /opt/bzzz
present=$(readlink current || :)
point() {
  ln -s "$2" ".$1-$$"
  mv -fT -- ".$1-$$" "$1"
}
case $present in
  ""|"releases/$1") ;;
  *) point previous "$present" ;;
esac
point current "releases/$1"
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
    """Compare the release once more, then put the new link over the old one."""
    del changes
    work.touched.add(host.name)
    if goal.facts.current:
        # Before, not after: whether it came to the switch is not known if the link is lost.
        work.switched[host.name] = goal.facts.current
    await host.run(_SWITCH, goal.release.version, what="switch the release")


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Read the link."""
    del work
    script = '[ "$(readlink /opt/bzzz/current)" = "releases/$1" ]'
    await host.run(script, goal.release.version, what="read the current release")
