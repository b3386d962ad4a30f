"""Runs scripts of setup for a user `bzzz` that this machine lacks, and ends them between steps."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Final

CHANGING: Final = ("chown", "chmod", "rm", "rmdir", "mv", "sync")
_COUNTED: Final = """\
#!/bin/sh
n=$(($(cat "$ROOM/count") + 1))
echo $n >"$ROOM/count"
[ $n != "$CUT" ] || kill -KILL 0
for one; do
  shift
  case $one in --from=bzzz) one=--from={uid} ;; bzzz:bzzz) one={uid}:{uid} ;; esac
  set -- "$@" "$one"
done
exec {program} "$@"
"""


class CutScripts:
    """Scripts run as root; what changes files is counted, and the n-th may find them killed."""

    def __init__(self, room: Path, *, uid: int) -> None:
        """Lay the tools into a room; the user and its group have this number."""
        self._room, self._uid = room, uid
        self._programs = room / "programs"
        self._programs.mkdir()
        for name in CHANGING:
            program = shutil.which(name)
            assert program is not None
            self.tool(name, _COUNTED.format(uid=uid, program=program))
        self.user_is_there(there=True)

    def tool(self, name: str, script: str) -> None:
        """Put a script before a tool of the system."""
        (self._programs / name).write_text(script)
        (self._programs / name).chmod(0o700)

    def user_is_there(self, *, there: bool) -> None:
        """Let the user be known or gone."""
        number = f"echo {self._uid}" if there else "exit 1"
        entry = f"echo 'bzzz:x:{self._uid}:{self._uid}:BZZZ agent:/:'" if there else "exit 2"
        self.tool("id", f"#!/bin/sh\n{number}\n")
        self.tool("getent", f"#!/bin/sh\n{entry}\n")

    def run(self, script: str, *arguments: object, cut: int = 0) -> str | None:
        """Return what a script said; None: it was killed before its n-th step, counted from 1."""
        (self._room / "count").write_text("0")
        done = subprocess.run(
            ["sh", "-c", script, "bzzz", *map(str, arguments)],
            check=False,
            capture_output=True,
            text=True,
            timeout=20,
            start_new_session=True,  # It is its group that is killed.
            env={
                "PATH": f"{self._programs}:{os.environ['PATH']}",
                "LC_ALL": "C",
                "ROOM": str(self._room),
                "CUT": str(cut),
            },
        )
        if done.returncode == -signal.SIGKILL:
            return None
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout
