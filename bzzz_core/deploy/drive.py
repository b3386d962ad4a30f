"""Carries out the phases in their order: in parallel, with barriers, host by host where it rolls.

What is done and in which order stands in `phases/__init__.py`; this file only drives. A host that
fails is out of the run; the others go on, as long as a majority of the voters is left to activate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

import msgspec

from bzzz_core.deploy import phases, rollback
from bzzz_core.deploy.events import Status, Step
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.goal import Goal, enrolled_voters
from bzzz_core.deploy.phases import Phase, wait_ready
from bzzz_core.deploy.phases.verify_cluster import Verdict, serving_now, verify_cluster
from bzzz_core.deploy.record import Record
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work
from bzzz_core.errors import BzzzError
from bzzz_core.ports import Clock

Regoal = Callable[[Mapping[str, HostFacts]], dict[str, Goal]]
_CLUSTER: Final = ""
"""The name under which the cluster as a whole stands in events."""


class Drive:
    """One pass through all phases."""

    def __init__(
        self,
        *,
        hosts: Mapping[str, RemoteHost],
        work: Work,
        record: Record,
        clock: Clock,
        goals: Regoal,
    ) -> None:
        """Take the connections and how to make goals from facts."""
        self._hosts = hosts
        self._work = work
        self._record = record
        self._clock = clock
        self._regoal = goals
        self._serving: Verdict | None = None
        """What the cluster agreed on before anything was restarted; None: it did not serve."""

    async def run(self, facts: Mapping[str, HostFacts]) -> Verdict | None:
        """Do everything; return what the cluster agreed on, or None if it did not come so far."""
        goals = self._regoal(facts)
        await self._each_for_itself(phases.ENROL, goals)
        learned = {
            name: msgspec.structs.replace(facts[name], enrolled=(enrolled,))
            for name, enrolled in self._work.enrolled.items()
        }
        facts = {**facts, **learned}
        goals = self._regoal(facts)
        if any(goal.nodes is None for goal in goals.values()):
            without = ", ".join(name for name, one in facts.items() if not one.enrolled)
            self._record.skip(goals, "enrol", f"the cluster needs the keys of {without} first")
            return None
        await self._each_for_itself(phases.STAGE, goals)
        voters = [goal.host.name for goal in goals.values() if goal.voter]
        if 2 * len(self._record.standing(voters)) <= len(voters):
            self._record.skip(goals, "stage", "less than a majority of the voters is ready for it")
            return None
        return await self._activate(goals)

    async def _each_for_itself(self, group: Iterable[Phase], goals: Mapping[str, Goal]) -> None:
        async def one(name: str) -> None:
            for phase in group:
                if not await self._phase(phase, goals[name]):
                    return

        await asyncio.gather(*(one(name) for name in self._record.standing(goals)))

    async def _activate(self, goals: Mapping[str, Goal]) -> Verdict | None:
        if _restarting(goals):
            self._serving = await self._serving_now(goals)
        for phase in phases.ACTIVATE:
            await self._on_all(phase, goals)
        await rollback.undo(self._hosts, goals, self._work, self._record, self._clock)
        verdict = await self._verify(goals)
        if verdict is not None:
            for phase in phases.FINISH:
                await self._on_all(phase, goals)
        return verdict

    async def _on_all(self, phase: Phase, goals: Mapping[str, Goal]) -> None:
        standing = self._record.standing(goals)
        # Care not to cost the majority makes sense only where there is one.
        rolling = [name for name in standing if self._serving and _restarts(phase, goals[name])]
        # The leader last: one election instead of several.
        rolling.sort(key=lambda name: self._serving is not None and name == self._serving.leader)
        others = [name for name in standing if name not in rolling]
        await asyncio.gather(*(self._phase(phase, goals[name]) for name in others))
        for index, name in enumerate(rolling):
            if not await self._restarted(phase, goals[name]):
                # One voter is away already: touching another could cost the majority.
                reason = f"{name} did not come back from its restart"
                self._record.skip(rolling[index + 1 :], phase.name, reason)
                return

    async def _restarted(self, phase: Phase, goal: Goal) -> bool:
        name = goal.host.name
        return await self._phase(phase, goal) and await self._guarded(
            name, phase.name, wait_ready.verify(self._hosts[name], goal, self._work)
        )

    async def _serving_now(self, goals: Mapping[str, Goal]) -> Verdict | None:
        """Ask the voters of the cluster that exists, those too that are out of the run."""
        voters = enrolled_voters({name: goal.facts for name, goal in goals.items()})
        return await serving_now(self._hosts, goals, voters)

    async def _phase(self, phase: Phase, goal: Goal) -> bool:
        """Do one phase on one host; return whether the host is still in the run."""
        name = goal.host.name
        changes = phase.plan(goal)
        if not changes and not phase.always_verify:
            self._record.emit(Step(name, phase.name, Status.UNCHANGED))
            return True
        self._record.emit(Step(name, phase.name, Status.STARTED))
        begun_ms = self._clock.now_ms()
        host = self._hosts[name]

        async def act() -> None:
            if changes:
                await phase.apply(host, goal, changes, self._work)
            await phase.verify(host, goal, self._work)

        if not await self._guarded(name, phase.name, act()):
            return False
        self._record.changed(name, len(changes))
        status = Status.CHANGED if changes else Status.UNCHANGED
        detail = "; ".join(change.sentence for change in changes)
        elapsed_ms = self._clock.now_ms() - begun_ms
        self._record.emit(Step(name, phase.name, status, elapsed_ms, detail))
        return True

    async def _verify(self, goals: Mapping[str, Goal]) -> Verdict | None:
        names = self._record.standing(goals)
        if not names:
            return None
        self._record.emit(Step(_CLUSTER, phases.VERIFY_CLUSTER, Status.STARTED))
        begun_ms = self._clock.now_ms()
        spec = next(iter(goals.values())).spec
        try:
            verdict = await verify_cluster(
                {name: self._hosts[name] for name in names},
                {name: goals[name] for name in names},
                self._clock,
                spec.validation.elect_ms_max,
            )
        except BzzzError as exc:
            elapsed_ms = self._clock.now_ms() - begun_ms
            self._record.fail(_CLUSTER, phases.VERIFY_CLUSTER, elapsed_ms, str(exc))
            return None
        detail = f"all nodes name {verdict.leader} in term {verdict.term}"
        elapsed_ms = self._clock.now_ms() - begun_ms
        self._record.emit(
            Step(_CLUSTER, phases.VERIFY_CLUSTER, Status.UNCHANGED, elapsed_ms, detail)
        )
        return verdict

    async def _guarded(self, name: str, phase: str, action: Awaitable[None]) -> bool:
        """Await; an expected failure takes the host out of the run and is no exception."""
        begun_ms = self._clock.now_ms()
        try:
            await action
        except BzzzError as exc:
            self._record.fail(name, phase, self._clock.now_ms() - begun_ms, str(exc))
            return False
        return True


def _restarting(goals: Mapping[str, Goal]) -> bool:
    return any(_restarts(phase, goal) for phase in phases.ACTIVATE for goal in goals.values())


def _restarts(phase: Phase, goal: Goal) -> bool:
    return any(change.action == "restart" for change in phase.plan(goal))
