"""Gives the login the key that setup shall install, and proves it by a login with that key alone.

A key that is there, with whatever options and comment, is left as it is: type and number decide. A
new line is appended to the first file that sshd reads for this user, under a lock and after a line
break if the last line has none. In the user's home the user writes it, so that nobody is led by a
link to write elsewhere as root. A line is taken away by a new file that replaces the old one whole,
with its owner and mode: half a list of keys locks people out.
"""

from __future__ import annotations

from typing import Final

from bzzz_core.deploy import made
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.way import Way
from bzzz_core.deploy.work import Work
from bzzz_core.errors import AuthenticationFailed

TITLE: Final = "Install the SSH key"
LATER: Final = "a key that is made at the first apply"
_AS_WHO: Final = """
set -eu
user=$1 home=$2 file=$3
shift 3
case $file in
  "$home"/*) runuser -u "$user" -- sh -c "$body" bzzz private "$file" "$@" ;;
  *) sh -c "$body" bzzz shared "$file" "$@" ;;
esac
if command -v restorecon >/dev/null; then restorecon -F "${file%/*}" "$file" 2>/dev/null || :; fi
"""
"""Runs `$body` with whose the file is: private to the user, or root's for sshd to read as the user.

Outside the home sshd reads as the user what root owns, so there modes are made to be read by all,
and those that are there stay.
"""
_LOCKED: Final = """
locked() {
  while :; do
    exec 9>>"$1"
    flock -w 10 9
    if [ "$1" -ef /dev/fd/9 ]; then return; fi
  done
}
"""
"""Opens and locks a file; again if it was replaced by another meanwhile. Stands in quotes."""
_ADD: Final = (
    """
body='
set -eu
umask 077
whose=$1 file=$2 key=$3 comment=$4
directory=${file%/*}
if [ "$whose" = shared ]; then umask 022; fi
[ -d "$directory" ] || mkdir -- "$directory"
"""
    + _LOCKED
    + """
locked "$file"
if grep -v "^[[:space:]]*#" "$file" | sed -e "s/\\\\\\\\\\"//g" -e "s/\\"[^\\"]*\\"//g" |
  tr -s "\\t " " " | grep -qF -- "$key"; then exit 0; fi
if [ -s "$file" ] && [ -n "$(tail -c 1 "$file")" ]; then echo >&9; fi
printf "%s %s\\n" "$key" "$comment" >&9
if [ "$whose" = private ]; then
  case $directory in */.ssh) chmod 700 "$directory" ;; esac
  chmod 600 "$file"
fi
sync "$file"
'
"""
    + _AS_WHO
)
_TAKE: Final = (
    """
body='
set -eu
umask 077
[ -f "$2" ] || exit 0
file=$(readlink -f -- "$2")
"""
    + _LOCKED
    + """
locked "$file"
grep -qxF -- "$3 $4" "$file" || { [ $? -ne 1 ] || exit 0; exit 1; }
part=$(mktemp "${file%/*}/.bzzz-XXXXXXXXXX")
trap "rm -f -- \\"\\$part\\"" EXIT
cp -p -- "$file" "$part"
grep -vxF -- "$3 $4" "$file" >"$part" || [ $? -eq 1 ]
if [ ! -s "$part" ]; then rm -f -- "$2"; exit; fi
sync "$part"
mv -fT -- "$part" "$file"
trap - EXIT
sync "${file%/*}"
'
"""
    + _AS_WHO
)


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return the new line, unless sshd knows the key for this user already."""
    if goal.spec.security.ssh.install_key == "none":
        return ()
    key, login = goal.known.ssh_key, goal.facts.login
    if login is not None and key is not None and key in login.keys:
        return ()
    user = login.user if login else "the login"
    file = login.file if login else ""
    return (
        Change(
            phase="distribute_key",
            action="update",
            target=file or "authorized_keys",
            before=f"{len(login.keys)} keys" if login else "unknown",
            after=key or LATER,
            sentence=f"let {user} log in by the key of {goal.spec.cluster.name}"
            f" ({file or 'where sshd looks for keys'})",
        ),
    )


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Append the line."""
    del changes, work
    entry = _entry(goal)
    await made.note(host, entry)
    await host.run(_ADD, entry.target, *entry.words, what=f"install the key in {entry.words[1]}")


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Log in anew with nothing but that key; one that is refused goes again, if we brought it."""
    try:
        await work.prove_login(host.name, Way.INSTALLED)
    except AuthenticationFailed:
        entry = _entry(goal)
        login = goal.facts.login
        if login is not None and entry.words[2] not in login.keys:
            await remove(host, entry)
            await made.forget(host, entry)
        raise


def _entry(goal: Goal) -> made.Made:
    """Return our line, and where it belongs."""
    key, login = goal.known.ssh_key, goal.facts.login
    assert key is not None, "it was made when the cluster was opened"
    assert login is not None, "preflight has checked"
    return made.Made("distribute_key", login.user, (login.home, login.file, key, comment(goal)))


def comment(goal: Goal) -> str:
    """Return what stands behind the key in its line, so that people know whose it is."""
    return f"bzzz-setup@{goal.spec.cluster.name}"


async def remove(host: RemoteHost, entry: made.Made) -> None:
    """Take exactly our line away; a line that somebody has edited since is theirs."""
    home, file, key, said = entry.words
    await host.run(
        _TAKE, *(entry.target, home, file, key, said), what=f"remove the key from {file}"
    )
