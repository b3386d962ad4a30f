"""Gives the login the key that setup shall install, and proves it by a login with that key alone.

A key that is there, with whatever options and comment, is left as it is: type and number decide. A
new line is appended to the first file that sshd reads for this user, under a lock and after a line
break if the last line has none. In the user's home the user writes it, so that nobody is led by a
link to write elsewhere as root.
"""

from __future__ import annotations

from typing import Final

from bzzz_core.deploy import made
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.way import Way
from bzzz_core.deploy.work import Work

TITLE: Final = "Install the SSH key"
LATER: Final = "a key that is made at the first apply"
_AS_WHO: Final = """
set -eu
user=$1 home=$2 file=$3
shift 3
case $file in
  "$home"/*) runuser -u "$user" -- sh -c "$body" bzzz "$file" "$@" ;;
  *) sh -c "$body" bzzz "$file" "$@" ;;
esac
"""
_ADD: Final = (
    """
body='
set -eu
umask 077
file=$1 key=$2 comment=$3
directory=${file%/*}
[ -d "$directory" ] || mkdir -m 700 -- "$directory"
exec 9>>"$file"
flock -w 10 9
if grep -v "^[[:space:]]*#" "$file" | sed -e "s/\\\\\\\\\\"//g" -e "s/\\"[^\\"]*\\"//g" |
  tr -s "\\t " " " | grep -qF -- "$key"; then exit 0; fi
if [ -s "$file" ] && [ -n "$(tail -c 1 "$file")" ]; then echo >&9; fi
printf "%s %s\\n" "$key" "$comment" >&9
case $directory in */.ssh) chmod 700 "$directory" ;; esac
chmod 600 "$file"
sync "$file"
'
"""
    + _AS_WHO
    + """
if command -v restorecon >/dev/null; then restorecon -F "${file%/*}" "$file" || :; fi
"""
)
_TAKE: Final = (
    """
body='
set -eu
umask 077
[ -f "$1" ] || exit 0
exec 9>>"$1"
flock -w 10 9
kept=$(grep -vxF -- "$2 $3" "$1" || :)
if [ -n "$kept" ]; then printf "%s\\n" "$kept" >"$1"; else rm -f -- "$1"; fi
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
    key, login = goal.known.ssh_key, goal.facts.login
    assert key is not None, "it was made when the cluster was opened"
    assert login is not None, "preflight has checked"
    entry = made.Made(
        "distribute_key",
        login.user,
        (login.home, login.file, key, comment(goal)),
    )
    await made.note(host, entry)
    await host.run(
        _ADD,
        *(login.user, login.home, login.file, key, comment(goal)),
        what=f"install the key in {login.file}",
    )


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Log in anew with nothing but that key."""
    del goal
    await work.prove_login(host.name, Way.INSTALLED)


def comment(goal: Goal) -> str:
    """Return what stands behind the key in its line, so that people know whose it is."""
    return f"bzzz-setup@{goal.spec.cluster.name}"


async def remove(host: RemoteHost, entry: made.Made) -> None:
    """Take exactly our line away; a line that somebody has edited since is theirs."""
    home, file, key, said = entry.words
    await host.run(
        _TAKE, *(entry.target, home, file, key, said), what=f"remove the key from {file}"
    )
