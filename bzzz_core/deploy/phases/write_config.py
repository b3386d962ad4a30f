"""Writes the node's configuration, resolved from the answers for this host."""

from __future__ import annotations

import hashlib
from typing import Final

from bzzz_core.deploy import layout
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.facts.host import Kind, PathFact
from bzzz_core.deploy.goal import Goal, agent_config
from bzzz_core.deploy.phases.create_identity import AS_NODE
from bzzz_core.deploy.place import Placed, place
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work

TITLE: Final = "Write the configuration"
LATER: Final = "known when all nodes have keys"
ADMITTED: Final = "known when the cluster has taken the host in"


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return the new text, unless the host has it."""
    text = agent_config(goal)
    fact = goal.facts.path(layout.AGENT_CONFIG)
    if text is not None:
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        if fact == PathFact(Kind.FILE, "640", "root", layout.USER, sha256):
            return ()
    return (
        Change(
            phase="write_config",
            action="create" if fact.kind is Kind.ABSENT else "update",
            target=layout.AGENT_CONFIG,
            before=goal.facts.config_text or "",
            after=text if text is not None else ADMITTED if goal.joins else LATER,
            sentence=f"write the configuration to {layout.AGENT_CONFIG}",
        ),
    )


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Write the file, readable by the node's user."""
    del changes, work
    text = agent_config(goal)
    assert text is not None, "the nodes are known by now"
    target = Placed(path=layout.AGENT_CONFIG, mode="640", group=layout.USER, keep=True)
    await place(host, target, text.encode())


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Let the node itself read the file."""
    del work
    await host.run(
        AS_NODE,
        *(layout.site_path(goal.release.version), goal.python.path),
        *("config", "validate", "--config", layout.AGENT_CONFIG),
        what="validate the configuration",
    )
