"""Starts the brokers of all voters together; one alone never finds a majority.

A broker that listens may still be catching up with its peers, and the next restart would then cost
the majority: it counts as back when its own health says so. At the first installation that is once
the brokers have found each other; nobody waits before all are started (`drive.py`).
"""

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
)
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work

TITLE: Final = "Start the message fabric"


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return the start or restart of the broker's unit; on an edge it runs no broker yet."""
    earlier = (
        *issue_certificates.plan(goal),
        *write_config.plan(goal),
        *install_units.plan(goal),
        *limit_services.plan(goal),
    )
    return services.plan_unit("start_fabric", layout.FABRIC, goal, earlier)


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Start it without waiting: the others have to start too."""
    del goal, changes
    work.touched.add(host.name)
    await services.start(host, layout.FABRIC)


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Wait until the broker says that it is healthy."""
    del work
    if goal.voter:
        port = goal.spec.network.ports.fabric_monitor
        await services.wait_healthy(host, layout.FABRIC, port, goal.python.path)
