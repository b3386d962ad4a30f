"""Keeps what an upgrade will change, so that the way back leads to exactly what ran before.

Configuration, certificates, units and their drop-ins are packed into `/opt/bzzz/install/before`,
for root alone, before the first of them is touched. One snapshot is kept; an upgrade that goes on
after an interruption keeps the one it made first, for what lies in `/etc/bzzz` is half new by then.
"""

from __future__ import annotations

from typing import Final

from bzzz_core.deploy import layout
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work

TITLE: Final = "Keep what is there"
_KEEP: Final = """
set -eu
umask 077
place=$1 present=$2 next=$3
[ "$(readlink /opt/bzzz/current)" = "releases/$present" ] \\
  || { echo "the present release is not $present any more" >&2; exit 66; }
install -d -m 0755 -o root -g root "$place"
if [ -f "$place/pending" ] && [ "$(cat "$place/before/release" 2>/dev/null)" = "$present" ]; then
  printf '%s\\n' "$next" >"$place/pending"
  exit 0
fi
part=$place/before.part
rm -rf -- "$part"
mkdir -m 0700 -- "$part"
trap 'rm -rf -- "$part"' EXIT
printf '%s\\n' "$present" >"$part/release"
readlink /opt/bzzz/previous >"$part/previous" || :
cd /
set -- etc/bzzz
for path in etc/systemd/system/bzzz-fabric.service etc/systemd/system/bzzz-agent.service \\
  etc/systemd/system/bzzz-fabric.service.d etc/systemd/system/bzzz-agent.service.d \\
  usr/local/bin/bzzz-agent
do [ -e "$path" ] && set -- "$@" "$path"; done
tar -cf "$part/files.tar" "$@"
sync -f "$part"
rm -rf -- "$place/before"
mv -T -- "$part" "$place/before"
trap - EXIT
printf '%s\\n' "$next" >"$place/pending"
sync "$place"
"""


def upgrades(goal: Goal) -> bool:
    """Return whether another release runs on the host, so that there is a way back."""
    return goal.facts.current not in {None, "", goal.release.version}


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return the snapshot, if another release is the present one."""
    if not upgrades(goal):
        return ()
    return (
        Change(
            phase="keep_config",
            action="replace",
            target=f"{layout.INSTALL}/before",
            before=goal.facts.pending or "nothing pending",
            after=f"configuration of {goal.facts.current}",
            secret=True,
            sentence=f"keep configuration, certificates and units of {goal.facts.current},"
            " for the way back",
        ),
    )


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Pack it."""
    del changes, work
    assert goal.facts.current, "the plan has looked"
    await host.run(
        _KEEP,
        *(layout.INSTALL, goal.facts.current, goal.release.version),
        what="keep what is there",
    )


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Read the list of what is packed."""
    del goal, work
    script = 'tar -tf "$1/before/files.tar" etc/bzzz >/dev/null && [ -s "$1/pending" ]'
    await host.run(script, layout.INSTALL, what="read what was kept")
