"""Whether a voter may be taken away for a moment, which every restart does.

Asked right before each, because voters get lost at any time: by their own failure, by an earlier
step of the run, or before it began. One that is away already costs nothing. Otherwise a majority
has to be left without it; in a cluster of one or two voters none ever is, and there all the others
have to be there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.phases.verify_cluster import voters_there
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.ports import Clock

_PAUSE_MS: Final = 300


def why_not(name: str, voters: Collection[str], there: Collection[str]) -> str:
    """Return why a voter cannot be spared now; empty: it can.

    Args:
        name: The voter.
        voters: All voters of the cluster.
        there: Those that are part of what serves.
    """
    others = [voter for voter in voters if voter != name]
    away = sorted(voter for voter in others if voter not in there)
    left = len(others) - len(away)
    if not away or 2 * left > len(voters):
        return ""
    return (
        f"{', '.join(away)} did not come back: without {name} only {left} of {len(voters)} voters"
        " would be left"
    )


async def wait_spared(
    name: str,
    hosts: Mapping[str, RemoteHost],
    goals: Mapping[str, Goal],
    voters: Collection[str],
    clock: Clock,
) -> str:
    """Wait until a voter can be spared, as long as an election may take; return why it cannot.

    Args:
        name: The voter.
        hosts: The connections.
        goals: By host.
        voters: All voters of the cluster.
        clock: For the pauses.
    """
    deadline_ms = clock.now_ms() + goals[name].spec.validation.elect_ms_max
    while True:
        reason = why_not(name, voters, await voters_there(hosts, goals, voters))
        if not reason or clock.now_ms() >= deadline_ms:
            return reason
        await clock.sleep_ms(_PAUSE_MS)
