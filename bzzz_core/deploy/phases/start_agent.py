"""Starts the agents. Whether they become ready is the next phase's question."""

from __future__ import annotations

from typing import Final

from bzzz_core.deploy import layout, services
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.phases import (
    install_units,
    issue_certificates,
    limit_services,
    write_config,
    write_secrets,
)
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work

TITLE: Final = "Start the agent"


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return the start or restart."""
    earlier = (
        *issue_certificates.plan(goal),
        *write_secrets.plan(goal),
        *write_config.plan(goal),
        *install_units.plan(goal),
        *limit_services.plan(goal),
    )
    return services.plan_unit("start_agent", layout.AGENT, goal, earlier)


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Start it without waiting: it is ready only when a majority is."""
    del goal, changes
    work.touched.add(host.name)
    work.started.add(host.name)
    await services.start(host, layout.AGENT)


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Nothing to look at before a majority runs; `wait_ready` does."""
    del host, goal, work
