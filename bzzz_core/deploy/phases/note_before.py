"""Notes what is on a host before anything of ours is, so that uninstalling can leave it as it was.

Most of what setup makes is known by its name. But the user may have been there, or the directory
for logs; those stay, with the owner and mode that they had. The note is made first of all, once,
and never written again: `was KIND NAME [MODE OWNER GROUP]`, one a line, fields apart by tabs. A
host on which an older setup worked gets none: there everything of ours is taken to be ours.
"""

from __future__ import annotations

from typing import Final

from bzzz_core.deploy import layout
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.facts.host import Kind
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work

TITLE: Final = "Note what was there before"
_NOTE: Final = """
set -eu
umask 022
note=$1 kept=$2
shift 2
part=$(mktemp "/tmp/bzzz-before-XXXXXXXXXX")
trap 'rm -f -- "$part"' EXIT
if getent passwd bzzz >/dev/null; then printf 'was\\tuser\\tbzzz\\n'; fi >>"$part"
if getent group bzzz >/dev/null; then printf 'was\\tgroup\\tbzzz\\n'; fi >>"$part"
for path in "$@"; do
  if [ -L "$path" ] || { [ -e "$path" ] && [ ! -d "$path" ]; }; then
    printf 'was\\tfile\\t%s\\n' "$path"
  elif [ -d "$path" ] && [ ! -f "$path/$kept" ]; then
    printf 'was\\tdirectory\\t%s\\t%s\\n' "$path" "$(stat -c '%a %U %G' -- "$path" | tr ' ' '\\t')"
  fi
done >>"$part"
install -d -m 0755 -o root -g root "${note%/*}"
install -m 0644 -o root -g root "$part" "$note.part"
sync "$note.part"
mv -fT -- "$note.part" "$note"
"""


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return the note, on a host on which BZZZ never was."""
    facts = goal.facts
    if facts.path(layout.BEFORE).kind is not Kind.ABSENT or facts.current or facts.releases:
        return ()
    return (
        Change(
            phase="note_before",
            action="create",
            target=layout.BEFORE,
            before="absent",
            after="a list of what was there",
            sentence=f"note in {layout.BEFORE} what is there already, for a later uninstall",
        ),
    )


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Look and write."""
    del changes, work
    paths = goal.spec.resources.paths
    await host.run(
        _NOTE,
        *(layout.BEFORE, layout.KEPT_LOGS, layout.ROOT, layout.CONFIG, paths.data, paths.logs),
        *(layout.COMMAND, layout.FABRIC_UNIT, layout.AGENT_UNIT),
        what="note what was there before",
    )


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Nothing to look at: the file came whole into its place."""
    del host, goal, work
