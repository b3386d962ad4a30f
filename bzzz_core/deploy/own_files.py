"""How root reads on a host what the user `bzzz` could have put there.

A directory of `bzzz` may hold links to files of root, pipes, and files that change while they are
looked at. So a file is read with the rights of whoever owns its directory: what that user could not
read itself stays unread. `facts/frame.sh` has the same function for the probe's sections.
"""

from __future__ import annotations

from typing import Final

AS_OWNER: Final = """
as_owner() {
  if [ "$(id -u)" -eq 0 ]; then owner=$(stat -Lc '%u %g' -- "${1%/*}") || return; else owner=0; fi
  shift
  case $owner in
    "0 "*|0) "$@" ;;
    *) setpriv --reuid "${owner% *}" --regid "${owner#* }" --clear-groups -- "$@" ;;
  esac
}
"""
"""`as_owner FILE TOOL...` in sh: a tool gets the rights of the owner of the file's directory."""

READ_OWN: Final = """
import os, stat
def read_own(path):
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        there = os.fstat(file)
        if not stat.S_ISREG(there.st_mode) or there.st_uid != os.stat(os.path.dirname(path)).st_uid:
            raise OSError("%s is no file of whoever owns its directory" % path)
        return os.read(file, 65536).decode("utf-8", "replace")
    finally:
        os.close(file)
def read_token(path):
    token = read_own(path).strip()
    if not token.isascii() or not token.isprintable() or " " in token or len(token) > 4096:
        raise OSError("%s holds no token" % path)
    return token
"""
"""`read_own(path)` and `read_token(path)` in a host's Python. What they raise repeats no content:
the library would, over a header that it does not like."""
