"""Many hosts as far as setup's first look needs them: SSH servers in one process, on loopback.

    python -m tests.fakes.ssh_fleet COUNT FIRST   prints its ports as JSON, ends with its input

One doorkeeper stands before all of them, as a jump host would: it drops connections that have not
logged in yet as OpenSSH's `MaxStartups 10:30:100` does, by chance from the 10th on and every one
from the 100th; and the FIRST that come at all. Each server has a host key of its own, takes any
login, and answers setup's first command and its probe with what a recorded host printed. A process
of its own, so that what it costs is not counted as ours.
"""

from __future__ import annotations

import asyncio
import json
import random
import shlex
import sys
import time
from dataclasses import dataclass, field
from typing import Final

import asyncssh

from tests.fakes.probe_outputs import WORD, recorded

BEGIN: Final = 10
CHANCE: Final = 0.30
FULL: Final = 100
SEED: Final = 20


@dataclass(slots=True)
class Doorkeeper:
    """Counts who has not logged in yet, and drops some of those that come."""

    first: int
    random: random.Random = field(default_factory=lambda: random.Random(SEED))
    waiting: int = 0
    dropped: int = 0

    def drops(self) -> bool:
        """Decide on one more connection, as sshd's `should_drop_connection` does."""
        rise = (1 - CHANCE) / (FULL - BEGIN) * (self.waiting - BEGIN)
        by_chance = self.waiting >= BEGIN and self.random.random() < CHANCE + rise
        dropped = by_chance or self.dropped < self.first
        self.dropped += dropped
        return dropped


class Door(asyncssh.SSHServer):
    """One connection, as the doorkeeper sees it."""

    def __init__(self, keeper: Doorkeeper) -> None:
        """Take the one doorkeeper of all servers."""
        self._keeper = keeper
        self._waits = False

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Let it in, or drop it before a word is said."""
        if self._keeper.drops():
            conn.abort()
            return
        self._waits = True
        self._keeper.waiting += 1

    def begin_auth(self, username: str) -> bool:
        """Ask for no login."""
        del username
        return False

    def auth_completed(self) -> None:
        """Count it no longer."""
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it no longer."""
        del exc
        self._leave()

    def _leave(self) -> None:
        self._keeper.waiting -= self._waits
        self._waits = False


async def answer(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Answer one command of setup."""
    words = shlex.split(process.command or "")
    script = words.index("-c") + 1
    mark = shlex.split(words[script].split("\n", 2)[1])[2]
    process.stdout.write(f"{mark}\n".encode() + _said(words[script], words[script + 2 :]))
    process.exit(0)


def _said(script: str, arguments: list[str]) -> bytes:
    if "date +%s.%N" in script and not arguments:
        return f"0\n{time.time():.9f}\nthrough=127.0.0.1 1 127.0.0.1 22\n".encode()
    return recorded("server").replace(WORD.encode(), arguments[0].encode())


async def main(count: int, first: int) -> None:
    """Serve until standard input ends, then print how many connections were dropped."""
    keeper = Doorkeeper(first)
    servers = [
        await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=lambda: Door(keeper),
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            process_factory=answer,
            encoding=None,
            backlog=500,
        )
        for _ in range(count)
    ]
    sys.stdout.write(json.dumps([server.get_port() for server in servers]) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    sys.stdout.write(json.dumps({"dropped": keeper.dropped}) + "\n")


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
