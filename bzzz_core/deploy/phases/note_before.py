"""Notes what is on a host before anything of ours is, so that uninstalling can leave it as it was.

Most of what setup makes is known by its name. But the user may have been there, or the directory
for logs; those stay, with the owner and mode that they had. The note is made first of all, once:
`was KIND NAME [MODE OWNER GROUP]`, one a line, fields apart by tabs. No line of it is ever changed.
A host on which an older setup worked gets none: there everything of ours is taken to be ours.

A line is added only where the answers name another directory for data or logs than the host has
been using, and something is there already: it is about to be given to our user.

What an uninstall with `--keep-data` left is ours and is not noted: a user with our words in its
name field, and directories that belong to it. Neither is a directory of logs that an uninstall
kept, but for one whose mark says that the directory itself was there before: it has been given back
in the state it had.
"""

from __future__ import annotations

from typing import Final

from bzzz_core.deploy import layout
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.facts.host import Kind
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.kept_logs import MARK
from bzzz_core.deploy.paths_in_use import paths_in_use
from bzzz_core.deploy.phases import create_account
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work

TITLE: Final = "Note what was there before"
_NOTE: Final = (
    MARK
    + """
set -eu
umask 022
note=$1 kept=$2
shift 2
part=$(mktemp "/tmp/bzzz-before-XXXXXXXXXX")
trap 'rm -f -- "$part"' EXIT
case $(getent passwd bzzz) in
  *:'BZZZ agent':*) kept_user=yes ;;
  ?*) kept_user=; printf 'was\\tuser\\tbzzz\\n' >>"$part" ;;
  *) kept_user= ;;
esac
if [ -z "$kept_user" ] && getent group bzzz >/dev/null; then
  printf 'was\\tgroup\\tbzzz\\n' >>"$part"
fi
for path in "$@"; do
  if [ -L "$path" ] || { [ -e "$path" ] && [ ! -d "$path" ]; }; then
    printf 'was\\tfile\\t%s\\n' "$path"
  elif [ "$kept_user" ] && [ -d "$path" ] && [ "$(stat -c %U:%G -- "$path")" = bzzz:bzzz ]; then
    continue
  elif [ -d "$path" ] && { [ -s "$path/$kept" ] || ! marked "$path/$kept"; }; then
    printf 'was\\tdirectory\\t%s\\t%s\\n' "$path" "$(was "$path" "$kept")"
  fi
done >>"$part"
install -d -m 0755 -o root -g root "${note%/*}"
install -m 0644 -o root -g root "$part" "$note.part"
sync "$note.part"
mv -fT -- "$note.part" "$note"
"""
)
_ADD: Final = """
set -eu
umask 022
note=$1 tab=$(printf '\\t')
shift
part=$(mktemp "/tmp/bzzz-before-XXXXXXXXXX")
trap 'rm -f -- "$part"' EXIT
if [ -f "$note" ]; then cat -- "$note" >"$part"; fi
for path in "$@"; do
  [ -d "$path" ] && [ ! -L "$path" ] || continue
  grep -qF -- "was${tab}directory$tab$path$tab" "$part" && continue
  printf 'was\\tdirectory\\t%s\\t%s\\n' "$path" "$(stat -c '%a %U %G' -- "$path" | tr ' ' '\\t')"
done >>"$part"
install -m 0644 -o root -g root "$part" "$note.part"
sync "$note.part"
mv -fT -- "$note.part" "$note"
"""


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return the note on a host on which BZZZ never was, else what has to be added to it."""
    facts = goal.facts
    fresh = facts.path(layout.BEFORE).kind is Kind.ABSENT
    if fresh and not (facts.current or facts.releases):
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
    return tuple(
        Change(
            phase="note_before",
            action="update",
            target=path,
            before="not noted",
            after="noted as there before",
            sentence=f"note in {layout.BEFORE} that {path} was there already",
        )
        for path in _taken(goal)
    )


def _taken(goal: Goal) -> list[str]:
    """Return directories that are there, are not the host's yet, and are about to become so."""
    paths, in_use = goal.spec.resources.paths, paths_in_use(goal.facts.config_text or "")
    used = {in_use.data, in_use.logs} if in_use else set[str]()
    return [
        one.path
        for one in create_account.directories(goal)
        if one.path in {paths.data, paths.logs} - used
        and (fact := goal.facts.path(one.path)).kind is Kind.DIRECTORY
        and not one.is_right(fact)
    ]


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Look and write."""
    del work
    what = "note what was there before"
    if all(change.action == "update" for change in changes):
        await host.run(_ADD, layout.BEFORE, *(change.target for change in changes), what=what)
        return
    paths = goal.spec.resources.paths
    await host.run(
        _NOTE,
        *(layout.BEFORE, layout.KEPT_LOGS, layout.ROOT, layout.CONFIG, paths.data, paths.logs),
        *(layout.COMMAND, layout.FABRIC_UNIT, layout.AGENT_UNIT),
        what=what,
    )


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Nothing to look at: the file came whole into its place."""
    del host, goal, work
