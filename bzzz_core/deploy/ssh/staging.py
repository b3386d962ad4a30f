"""The scripts that make the directory of staged files, and look whether it is still ours.

In /var/tmp anybody may make a directory of the same name once ours is gone, and root reads by name
what lies in it.
"""

from __future__ import annotations

import re
from typing import Final

from bzzz_core.deploy.remote import printable
from bzzz_core.errors import CommandFailed

MAKE_STAGE: Final = """
find /var/tmp -maxdepth 1 -type d -name "bzzz-stage-*" -user "$(id -u)" -mmin +30 \
  -exec rm -rf -- {} + 2>/dev/null
umask 077
mktemp -d /var/tmp/bzzz-stage-XXXXXXXXXX
"""
_STAGE: Final = re.compile(r"/var/tmp/bzzz-stage-[A-Za-z0-9]{10}")  # noqa: S108  on a host
STILL_OURS: Final = """
[ -d "$1" ] && [ ! -L "$1" ] && [ "$(stat -c "%u %a" -- "$1")" = "$(id -u) 700" ]
"""


def stage_of(host: str, said: str) -> str:
    """Return the directory that a host says it has made, in its last line.

    Raises:
        CommandFailed: It is none of ours.
    """
    made = said.rpartition("\n")[2]
    if not _STAGE.fullmatch(made):
        raise CommandFailed(f"{host}: mktemp made no private directory: {printable(made)[:80]!r}")
    return made
