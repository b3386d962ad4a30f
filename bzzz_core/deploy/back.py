"""`setup --rollback`: every host to the release before its last upgrade, one after the other.

The same way as after a failed upgrade (`rollback.py`), by command: but certificates and keys stay,
and so does the configuration if the older release understands it. No release is marked. A host
that does not get ready on its old release ends the run; the others are not touched. So does a
voter that cannot be spared, unless nothing serves anyway.
"""

from __future__ import annotations

from collections.abc import Mapping

from bzzz_core.deploy import layout, rollback, sparing
from bzzz_core.deploy.change import Change, Plan, make_plan
from bzzz_core.deploy.events import Finding, Status, Step
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.goal import Goal, enrolled_voters
from bzzz_core.deploy.phases.verify_cluster import serving_now, voters_there
from bzzz_core.deploy.record import Record
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.errors import BzzzError
from bzzz_core.ports import Clock


def destinations(facts: Mapping[str, HostFacts]) -> dict[str, str]:
    """Return, by host, the release that it goes back to; hosts that stay are not in it.

    After a rollout that stopped half-way some hosts run already what the others go back to; going
    back there as well would lead past it.
    """
    before = {one.previous for one in facts.values()}
    return {
        name: one.previous or ""
        for name, one in facts.items()
        if one.current and one.current not in before
    }


def obstacles(facts: Mapping[str, HostFacts]) -> tuple[Finding, ...]:
    """Return why hosts cannot go back."""
    found = []
    for name, release in destinations(facts).items():
        one = facts[name]
        if release and release in (one.releases or ()) and one.kept == release:
            continue
        words = f"release {release}, before {one.current}, is" if release else "nothing is"
        found.append(
            Finding(
                "error",
                "release",
                name,
                f"{words} kept there to go back to",
                "install the release that you want from its bundle: setup --bundle"
                " --allow-downgrade",
            )
        )
    return tuple(found)


def changes(facts: Mapping[str, HostFacts]) -> dict[str, tuple[Change, ...]]:
    """Return what would be done, by host."""
    ways = destinations(facts)
    return {
        name: (
            Change(
                phase=rollback.PHASE,
                action="update",
                target=layout.CURRENT,
                before=one.current or "",
                after=ways[name],
                sentence=f"go back from {one.current} to {ways[name]}, with its units",
            ),
        )
        if name in ways
        else ()
        for name, one in facts.items()
    }


def plan(cluster: str, facts: Mapping[str, HostFacts]) -> Plan:
    """Return the whole run as what is confirmed."""
    releases = sorted(set(destinations(facts).values()))
    return make_plan(
        cluster=cluster,
        release=", ".join(releases) or "nothing to go back to",
        operator=(),
        hosts=changes(facts),
    )


async def go_back(
    hosts: Mapping[str, RemoteHost], goals: Mapping[str, Goal], record: Record, clock: Clock
) -> None:
    """Lead the hosts back, the leader last.

    Args:
        hosts: The connections.
        goals: By host; their release is the one to go back to.
        record: Who is told.
        clock: For durations.
    """
    facts = {name: goal.facts for name, goal in goals.items()}
    ways = destinations(facts)
    voters = enrolled_voters(facts)
    verdict = await serving_now(hosts, goals, voters)
    there = await voters_there(hosts, goals, voters) if verdict is not None else voters
    leader = verdict.leader if verdict is not None else ""
    order = sorted(ways, key=lambda name: (name == leader, name in there))
    for place, name in enumerate(order):
        if verdict is not None and name in voters:
            reason = await sparing.wait_spared(name, hosts, goals, voters, clock)
            if reason:
                record.skip(order[place:], rollback.PHASE, reason)
                return
        record.emit(Step(name, rollback.PHASE, Status.STARTED))
        begun_ms = clock.now_ms()
        try:
            await rollback.return_to(hosts[name], goals[name], ways[name], how=rollback.BY_COMMAND)
        except BzzzError as exc:
            record.fail(name, rollback.PHASE, clock.now_ms() - begun_ms, str(exc))
            record.skip(order[place + 1 :], rollback.PHASE, f"{name} did not come back")
            return
        record.changed(name, 1)
        detail = f"back on {ways[name]}"
        elapsed_ms = clock.now_ms() - begun_ms
        record.emit(Step(name, rollback.PHASE, Status.CHANGED, elapsed_ms, detail))
