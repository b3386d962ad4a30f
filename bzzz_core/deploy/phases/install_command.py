"""Puts `bzzz-agent` on the path of whoever logs in to the host.

The command is a few lines of shell that start the present release's program, as the units do: the
release's packages come first, the user's own do not count, and what runs keeps its release when
`current` is switched meanwhile.
"""

from __future__ import annotations

import hashlib
from typing import Final

from bzzz_core.deploy import layout
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.facts.host import HostFacts, Kind, PathFact
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.place import Placed, place
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work

TITLE: Final = "Install the command"


def text(goal: Goal) -> str:
    """Return the command's content."""
    return f"""\
#!/bin/sh
# Written by bzzz-tui setup; changes are overwritten.
site=$(cd {layout.CURRENT}/site && pwd -P) || exit 127
PYTHONPATH=$site exec {goal.python.path} -s -P -m bzzz_core.cli "$@"
"""


def foreign(facts: HostFacts) -> bool:
    """Return whether something of this name is there though BZZZ never was: it is not ours."""
    kind = facts.path(layout.COMMAND).kind
    return kind not in {Kind.ABSENT, Kind.UNKNOWN} and not facts.current and not facts.releases


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return the file, unless it is as it should be, or somebody else's."""
    fact = goal.facts.path(layout.COMMAND)
    sha256 = hashlib.sha256(text(goal).encode()).hexdigest()
    if fact == PathFact(Kind.FILE, "755", "root", "root", sha256) or foreign(goal.facts):
        return ()
    absent = fact.kind is Kind.ABSENT
    return (
        Change(
            phase="install_command",
            action="create" if absent else "update",
            target=layout.COMMAND,
            before=fact.sha256 or fact.kind.value,
            after=sha256,
            sentence=f"{'install' if absent else 'update'} the command {layout.COMMAND}",
        ),
    )


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Write the file."""
    del changes, work
    await place(host, Placed(path=layout.COMMAND, mode="755"), text(goal).encode())


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Have its shell read it."""
    del goal, work
    await host.run('sh -n "$1" && [ -x "$1" ]', layout.COMMAND, what="read the command")
