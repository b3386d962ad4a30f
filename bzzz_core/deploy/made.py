"""What setup made on a host outside of BZZZ's own directories, written down on that host.

Releases, configuration and units lie at places that are known (`layout.py`). Rules of a firewall, a
line among the keys of a login, a file of sshd's do not, and whoever removes BZZZ must remove these
and nothing else. Each phase that makes such a thing notes it before it makes it and offers
`remove`, which undoes one entry; `phases.REMOVERS` says whose it is. Noting twice is once.

The record is `/etc/bzzz/made`, a line of JSON each, root's alone: root acts on it, so nobody else
may write there, which rules out the directories of the user `bzzz`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from bzzz_core.deploy import layout
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.errors import CommandFailed

_LOCK: Final = """
while :; do
  exec 9>>"$1"
  flock -w 10 9
  if [ "$1" -ef /dev/fd/9 ]; then break; fi
done
"""
"""Opens and locks the record; again if it was replaced by another meanwhile."""
_NOTE: Final = (
    """
set -eu
umask 077
[ ! -L "$1" ] || { echo "$1 is a symbolic link" >&2; exit 66; }
mkdir -p -- "${1%/*}"
"""
    + _LOCK
    + """
grep -qxF -e "$2" -- "$1" || printf '%s\\n' "$2" >&9
sync "$1"
"""
)
_FORGET: Final = (
    """
set -eu
umask 077
[ ! -L "$1" ] || { echo "$1 is a symbolic link" >&2; exit 66; }
[ -f "$1" ] || exit 0
"""
    + _LOCK
    + """
part=$(mktemp "${1%/*}/.bzzz-XXXXXXXXXX")
trap 'rm -f -- "$part"' EXIT
grep -vxF -e "$2" -- "$1" >"$part" || [ $? -eq 1 ]
if [ ! -s "$part" ]; then rm -f -- "$1"; exit; fi
sync "$part"
mv -fT -- "$part" "$1"
trap - EXIT
sync "${1%/*}"
"""
)
_READ: Final = '[ -f "$1" ] && cat -- "$1"; :'


class Made(msgspec.Struct, frozen=True):
    """One thing that is on a host because setup made it."""

    phase: str
    """The phase that made it and can remove it."""
    target: str
    """What it is: a backend of firewalls, a login, a path."""
    words: tuple[str, ...] = ()
    """What its phase needs to find it again, each word without line breaks."""

    @property
    def line(self) -> str:
        """Return it as it stands in the record."""
        return msgspec.json.encode(self).decode()


async def note(host: RemoteHost, made: Made) -> None:
    """Write an entry down, durable on return, before the thing itself is made.

    Raises:
        CommandFailed: The record cannot be written.
    """
    await host.run(_NOTE, layout.MADE, made.line, what=f"note what {made.phase} makes")


async def forget(host: RemoteHost, made: Made) -> None:
    """Take an entry out of the record, once the thing is gone."""
    await host.run(_FORGET, layout.MADE, made.line, what=f"forget what {made.phase} made")


async def noted(host: RemoteHost) -> tuple[Made, ...]:
    """Return what the record of a host holds, the latest first: the order of removal.

    Raises:
        CommandFailed: It cannot be read, or a line is none of ours; nothing should be guessed then.
    """
    done = await host.run(_READ, layout.MADE, what="read what setup made")
    return read_lines(host.name, done.stdout.decode("utf-8", errors="replace").splitlines())


def read_lines(host: str, lines: Sequence[str]) -> tuple[Made, ...]:
    """Return the entries in lines of a record, the latest first.

    Raises:
        CommandFailed: A line is none of ours.
    """
    try:
        found = [msgspec.json.decode(line, type=Made) for line in lines if line.strip()]
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise CommandFailed(f"{host}: {layout.MADE} holds a line that setup did not write") from exc
    return tuple(reversed(found))
