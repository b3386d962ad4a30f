"""Sends the secrets that the node needs, and no others. They are files 0600 from the first byte."""

from __future__ import annotations

from typing import Final

from bzzz_core.deploy import layout
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.facts.host import Kind, PathFact
from bzzz_core.deploy.goal import AI_KEY, Goal
from bzzz_core.deploy.place import Placed, place
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.state import secret_content
from bzzz_core.deploy.work import Work

TITLE: Final = "Write secrets"
_NAMES: Final = {layout.API_TOKEN: "API token", AI_KEY: "AI endpoint's key"}


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return each secret that is missing, different, or open to others."""
    expected = {layout.API_TOKEN: None, **(goal.known.secrets or {})}
    changes = []
    for path, sha256 in sorted(expected.items()):
        fact = goal.facts.path(path)
        if fact == PathFact(Kind.FILE, "600", layout.USER, layout.USER, sha256):
            continue
        changes.append(
            Change(
                phase="write_secrets",
                action="create" if fact.kind is Kind.ABSENT else "replace",
                target=path,
                before="absent" if fact.kind is Kind.ABSENT else "another content or mode",
                after="secret, 0600",
                secret=True,
                sentence=f"write the {_NAMES[path]} to {path} (0600)",
            )
        )
    left_over = goal.facts.path(AI_KEY).kind not in {Kind.ABSENT, Kind.UNKNOWN}
    if left_over and goal.spec.ai.endpoint.api_key is None:
        changes.append(
            Change(
                phase="write_secrets",
                action="remove",
                target=AI_KEY,
                before="a secret that the answers no longer name",
                after="absent",
                secret=True,
                sentence=f"remove the {_NAMES[AI_KEY]} in {AI_KEY}",
            )
        )
    return tuple(changes)


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Write what the changes name."""
    del goal
    for change in changes:
        if change.action == "remove":
            await host.run('rm -f -- "$1"', change.target, what=f"remove {change.target}")
            continue
        content = secret_content(work.cluster.secrets[change.target])
        target = Placed(path=change.target, mode="600", owner=layout.USER, group=layout.USER)
        await place(host, target, content)


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Look whether anyone else could read anything among the secrets."""
    del goal, work
    script = '[ -z "$(find "$1" ! -type l -perm /077)" ]'
    await host.run(script, layout.SECRETS, what="look for secrets that are open to others")
