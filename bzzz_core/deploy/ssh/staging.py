"""The scripts that make the directory of staged files, and look whether it is still ours.

In /var/tmp anybody may make a directory of the same name once ours is gone, and root reads by name
what lies in it.
"""

from __future__ import annotations

from typing import Final

MAKE_STAGE: Final = """
find /var/tmp -maxdepth 1 -type d -name "bzzz-stage-*" -user "$(id -u)" -mmin +30 \
  -exec rm -rf -- {} + 2>/dev/null
umask 077
mktemp -d /var/tmp/bzzz-stage-XXXXXXXXXX
"""
STILL_OURS: Final = """
[ -d "$1" ] && [ ! -L "$1" ] && [ "$(stat -c "%u %a" -- "$1")" = "$(id -u) 700" ]
"""
