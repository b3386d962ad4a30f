"""Makes the system user `bzzz` and the directories that belong to BZZZ.

Logs that an uninstall kept belong to root since then. They are ours by the mark that lies beside
them, and are handed to the new user with their directory: a broker that cannot write to the log it
finds does not start, and a node that cannot run a broker is given a vote in vain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bzzz_core.deploy import layout
from bzzz_core.deploy.above import ABOVE
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.facts.host import Kind, PathFact
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.kept_logs import HAND_OVER
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work

TITLE: Final = "Create account and directories"
_NO_ACCOUNT: Final = """
set -eu
getent group bzzz >/dev/null || groupadd --system bzzz
getent passwd bzzz >/dev/null || useradd --system --gid bzzz --home-dir "$1" --no-create-home \\
  --shell /usr/sbin/nologin --comment "BZZZ agent" bzzz
"""
_DIRECTORY: Final = f"""
set -eu
{ABOVE}
install -d -m "$2" -o "$3" -g "$4" -- "$1"
"""
_KEPT_LOGS: Final = f"""
set -eu
[ -f "$1/$2" ] || exit 0
{ABOVE}
{HAND_OVER}
"""
_TRY: Final = """
set -eu
logs=$1
for directory in "$@"; do
  runuser -u bzzz -- test -w "$directory" || { echo "bzzz cannot write to $directory" >&2; exit 1; }
done
for log in "$logs/agent.log" "$logs/nats.log"; do
  if [ -e "$log" ] && ! runuser -u bzzz -- test -w "$log"; then
    echo "$log belongs to $(stat -c %U -- "$log") and bzzz cannot write to it: move it away" >&2
    exit 1
  fi
done
"""


@dataclass(frozen=True, slots=True)
class _Directory:
    path: str
    mode: str
    owner: str
    group: str

    def is_right(self, fact: PathFact) -> bool:
        return fact == PathFact(Kind.DIRECTORY, self.mode, self.owner, self.group)

    @property
    def words(self) -> str:
        return f"{self.owner}:{self.group} {self.mode}"


def directories(goal: Goal) -> tuple[_Directory, ...]:
    """Return the directories that must be there, parents first."""
    paths = goal.spec.resources.paths
    return (
        _Directory(layout.CONFIG, "750", "root", layout.USER),
        _Directory(layout.SECRETS, "700", layout.USER, layout.USER),
        _Directory(paths.data, "750", layout.USER, layout.USER),
        _Directory(paths.logs, "750", layout.USER, layout.USER),
    )


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return the account and each directory that is missing or differs."""
    changes = []
    if not goal.facts.account:
        changes.append(
            Change(
                phase="create_account",
                action="create",
                target=layout.USER,
                before="absent",
                after="system user",
                sentence=f"create the system user {layout.USER}",
            )
        )
    for directory in directories(goal):
        fact = goal.facts.path(directory.path)
        if directory.is_right(fact):
            continue
        absent = fact.kind is Kind.ABSENT
        before = f"{fact.owner}:{fact.group} {fact.mode}" if fact.mode else fact.kind.value
        changes.append(
            Change(
                phase="create_account",
                action="create" if absent else "update",
                target=directory.path,
                before=before,
                after=directory.words,
                sentence=f"{'create' if absent else 'correct'} the directory {directory.path}"
                f" ({directory.words})",
            )
        )
    return tuple(changes)


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Make what the changes name."""
    del work
    targets = {change.target for change in changes}
    if layout.USER in targets:
        home = goal.spec.resources.paths.data
        await host.run(_NO_ACCOUNT, home, what=f"create the user {layout.USER}")
    logs = goal.spec.resources.paths.logs
    if logs in targets:  # First: by their directory a run that was cut off knows what is left.
        await host.run(_KEPT_LOGS, logs, layout.KEPT_LOGS, what="hand over logs that were kept")
    for directory in directories(goal):
        if directory.path in targets:
            await host.run(
                _DIRECTORY,
                *(directory.path, directory.mode, directory.owner, directory.group),
                what=f"create {directory.path}",
            )


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Look whether the account can write to its own directories, and to logs that are there."""
    del work
    paths = goal.spec.resources.paths
    await host.run(_TRY, paths.logs, layout.SECRETS, paths.data, what="try the account")
