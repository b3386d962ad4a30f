"""Puts staged files into their places on a host, whole or not at all.

Each file's checksum is compared on the host before anything is replaced, the new file is complete
and durable beside the old one before it takes its place in one step, and a symlink in that place is
refused. Two ways, because root must not write by name into a directory that another user controls:
files of root are placed by root, files of `bzzz` by `bzzz`, which reads the content from a file
descriptor that root opened.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from bzzz_core.deploy import layout
from bzzz_core.deploy.remote import RemoteHost

_CHECK: Final = """
set -eu
umask 077
source=$1 sum=$2 target=$3 owner=$4 group=$5 mode=$6
[ ! -L "$target" ] || { echo "$target is a symbolic link" >&2; exit 66; }
printf '%s  %s\\n' "$sum" "$source" | sha256sum -c --status \\
  || { echo "the upload of $target is damaged" >&2; exit 65; }
"""
_AS_ROOT: Final = (
    _CHECK
    + """
# What somebody wrote there by hand is not lost with what we write: three stay, by their times.
if [ -n "$7" ] && [ -f "$target" ] && [ "$(sha256sum <"$target")" != "$sum  -" ]; then
  last=$(ls -1d -- "$target".bzzz-bak-* 2>/dev/null | tail -n 1)
  if [ -z "$last" ] || [ "$(sha256sum <"$target")" != "$(sha256sum <"$last")" ]; then
    cp -p -- "$target" "$target.bzzz-bak-$(date -u +%Y%m%dT%H%M%SZ)"
  fi
  ls -1d -- "$target".bzzz-bak-* | head -n -3 | while read -r old; do rm -f -- "$old"; done
fi
part=$(mktemp "${target%/*}/.bzzz-XXXXXXXXXX")
trap 'rm -f -- "$part"' EXIT
cat "$source" >"$part"
chown "$owner:$group" "$part"
chmod "$mode" "$part"
sync "$part"
mv -fT -- "$part" "$target"
trap - EXIT
sync "${target%/*}"
rm -f -- "$source"
"""
)
_AS_OWNER: Final = (
    _CHECK
    + """
runuser -u "$owner" -- sh -c '
set -eu
umask 077
part=$(mktemp "${1%/*}/.bzzz-XXXXXXXXXX")
cat >"$part"
chmod "$2" "$part"
sync "$part"
mv -fT -- "$part" "$1"
sync "${1%/*}"
' place "$target" "$mode" <"$source"
rm -f -- "$source"
"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What a file on a host should be, apart from its content."""

    path: str
    mode: str
    owner: str = "root"
    group: str = "root"
    keep: bool = False
    """Another content that is there now stays beside it, as `PATH.bzzz-bak-TIME`; root's only."""


async def place(host: RemoteHost, target: Placed, content: bytes) -> None:
    """Write a file on a host.

    Raises:
        CommandFailed: It could not be written; the old file is untouched.
        HostUnreachable: The connection was lost; the file is the old or the new one.
    """
    staged = await host.stage(content)
    await host.run(
        _AS_OWNER if target.owner == layout.USER else _AS_ROOT,
        *(staged, hashlib.sha256(content).hexdigest()),
        *(target.path, target.owner, target.group, target.mode),
        "keep" if target.keep else "",
        what=f"write {target.path}",
    )
