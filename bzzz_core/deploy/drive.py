"""Carries out the phases in their order: in parallel, with barriers, in waves where it rolls.

What is done and in which order stands in `phases/__init__.py`; this file only drives. A host that
fails is out of the run; the others go on, as long as a majority of the voters is left to activate.
A first formation starts all voters together, phase by phase; a cluster that serves is activated
host by host (`rollout.py`). Between two steps the operator's orders count (`steering.py`). A step
during which the link was lost is done again from its start: what it did is not known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

import msgspec

from bzzz_core.deploy import phases, reach, rollback, sparing
from bzzz_core.deploy import rollout as rollouts
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.events import Status, Step
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.goal import Goal, enrolled_voters
from bzzz_core.deploy.phases import Phase
from bzzz_core.deploy.phases.verify_cluster import (
    Verdict,
    serving_now,
    verify_cluster,
    voters_there,
)
from bzzz_core.deploy.record import Record
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.steering import Steering
from bzzz_core.deploy.together import together
from bzzz_core.deploy.unforeseen import foreseen
from bzzz_core.deploy.work import Work
from bzzz_core.errors import BzzzError, CommandFailed, LinkLost
from bzzz_core.ports import Clock

Regoal = Callable[[Mapping[str, HostFacts]], dict[str, Goal]]
LOSSES_MAX: Final = 4
"""How often one step may lose its link."""
_GATE: Final = frozenset(phase.name for phase in phases.ACTIVATE)
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
        steering: Steering | None = None,
    ) -> None:
        """Take the connections, how to make goals from facts, and who may steer."""
        self._hosts = hosts
        self._work = work
        self._record = record
        self._clock = clock
        self._regoal = goals
        self._steering = steering or Steering()
        self._serving: Verdict | None = None
        """What the cluster agreed on before anything was restarted; None: it did not serve."""

    async def run(self, facts: Mapping[str, HostFacts]) -> Verdict | None:
        """Do everything; return what the cluster agreed on, or None if it did not come so far."""
        goals = self._regoal(facts)
        for group in (phases.ENROL, phases.OPEN, phases.ADMIT):
            # Who is out of the run proves no other host's ports: it may be silent.
            in_run = self._record.standing(goals)
            self._work.nodes = tuple(node for node in self._work.nodes if node.name in in_run)
            await self._each_for_itself(group, goals)
        learned = {
            name: msgspec.structs.replace(facts[name], enrolled=(enrolled,))
            for name, enrolled in self._work.enrolled.items()
        }
        facts = {**facts, **learned}
        facts |= {name: learn(facts[name]) for name, learn in self._work.joined.items()}
        goals = self._regoal(facts)
        unknown = [name for name in self._record.standing(goals) if goals[name].nodes is None]
        if unknown:
            without = ", ".join(name for name, one in facts.items() if not one.enrolled)
            self._record.skip(unknown, "enrol", f"the cluster needs the keys of {without} first")
        if not self._record.standing(goals):
            return None
        await self._each_for_itself(phases.STAGE, goals)
        voters = [goal.host.name for goal in goals.values() if goal.voter]
        if voters and 2 * len(self._record.standing(voters)) <= len(voters):
            self._record.skip(goals, "stage", "less than a majority of the voters is ready for it")
            return None
        return await self._activate(goals)

    async def _each_for_itself(self, group: Iterable[Phase], goals: Mapping[str, Goal]) -> None:
        async def one(name: str) -> None:
            for phase in group:
                if not self._may_begin(name, phase.name) or not await self._phase(
                    phase, goals[name]
                ):
                    return

        await self._with_second_chances(one, self._record.standing(goals))

    async def _with_second_chances(
        self,
        one: Callable[[str], Awaitable[None]],
        names: list[str],
        why_not: Callable[[str], Awaitable[str]] | None = None,
    ) -> None:
        """Do something on hosts together; then again on those that failed, if that is ordered.

        Args:
            one: What is done.
            names: The hosts.
            why_not: Returns why a host that failed cannot be tried again at the moment; empty: it
                can.
        """
        before = set(self._record.failed(names))
        while names:
            await together(one(name) for name in names)
            failed = [name for name in self._record.failed(names) if name not in before]
            if failed and self._steering.hold:
                for name in failed:
                    self._record.say(name, "waits for a word: try again, or go on without it")
            names = await self._to_retry(failed, why_not) if failed else []
            for name in names:
                self._record.readmit(name)

    async def _to_retry(
        self, failed: list[str], why_not: Callable[[str], Awaitable[str]] | None
    ) -> list[str]:
        """Return who is tried again; one that cannot be at the moment needs another word."""
        while names := await self._steering.to_retry(failed):
            reasons = {name: await why_not(name) if why_not else "" for name in names}
            for name, reason in reasons.items():
                if reason:
                    self._record.say(name, f"is not tried again: {reason}")
            if able := [name for name in names if not reasons[name]]:
                return able
        return []

    async def _activate(self, goals: Mapping[str, Goal]) -> Verdict | None:
        if _restarting(goals):
            self._serving = await self._serving_now(goals)
        try:
            if not _due(goals):
                await self._each_for_itself(phases.ACTIVATE, goals)
            elif self._serving is None:
                for phase in phases.ACTIVATE:
                    await self._on_all(phase, goals)
            else:
                await self._in_waves(goals, self._serving.leader)
        except Exception:
            # Whatever ends this: what failed so far has its earlier release again.
            await self._undo(goals)
            raise
        await self._undo(goals)
        verdict = await self._verify(goals)
        if verdict is not None:
            for phase in phases.FINISH:
                await self._on_all(phase, goals)
        return verdict

    async def _undo(self, goals: Mapping[str, Goal]) -> None:
        if not self._record.stopped or self._record.failed(self._work.switched):
            await rollback.undo(self._hosts, goals, self._work, self._record, self._clock)

    async def _on_all(self, phase: Phase, goals: Mapping[str, Goal]) -> None:
        """Do one phase on all hosts before the next begins: brokers find each other only so."""

        async def one(name: str) -> None:
            if self._may_begin(name, phase.name):
                await self._phase(phase, goals[name])

        await self._with_second_chances(one, self._record.standing(goals))

    async def _in_waves(self, goals: Mapping[str, Goal], leader: str) -> None:
        """Activate a cluster that serves, few hosts at a time; stop after too many failures."""
        rollout = next(iter(goals.values())).spec.services.rollout
        standing = self._record.standing(goals)
        voters = [name for name in standing if goals[name].voter]
        enrolled = enrolled_voters({name: goal.facts for name, goal in goals.items()})
        there = await voters_there(self._hosts, goals, enrolled)
        restarting = [n for n in standing if self._chosen(n) and _restarts(goals[n])]
        ahead = rollouts.waves(
            standing,
            restarting=restarting,
            voters=voters,
            leader=leader,
            batch=rollout.batch,
            away=enrolled - there,
        )

        async def why_not(name: str) -> str:
            """Return why a host may not be restarted at this moment."""
            if name not in enrolled or name not in restarting:
                return ""
            return await sparing.wait_spared(name, self._hosts, goals, enrolled, self._clock)

        while ahead:
            for name in ahead[0]:
                if reason := await why_not(name):
                    rest = [one for wave in ahead for one in wave]
                    self._record.skip(rest, "activate", reason)
                    return
            wave = ahead.pop(0)
            await self._with_second_chances(lambda name: self._host(goals[name]), wave, why_not)
            failed = self._record.failed(standing)
            lost = [name for name in failed if name in voters]
            if lost or len(failed) >= rollout.max_failures:
                # One voter is away already: touching another could cost the majority.
                names = ", ".join(lost or failed)
                rest = [name for wave in ahead for name in wave]
                self._record.skip(rest, "activate", f"{names} did not come back")
                return

    async def _host(self, goal: Goal) -> None:
        """Activate one host from the first phase to the last: no order comes in between."""
        if self._may_begin(goal.host.name, phases.ACTIVATE[0].name):
            for phase in phases.ACTIVATE:
                if not await self._phase(phase, goal):
                    return

    def _may_begin(self, name: str, phase: str) -> bool:
        """Return whether a step may begin; a host that may not go on is out of the run."""
        if self._steering.stopping:
            self._record.stopped = True
            self._record.skip([name], phase, "stopped by the operator")
        elif self._steering.skips(name):
            self._record.skip([name], phase, "left out by the operator")
        return bool(self._record.standing([name]))

    def _chosen(self, name: str) -> bool:
        return name not in self._record.left_out

    async def _serving_now(self, goals: Mapping[str, Goal]) -> Verdict | None:
        """Ask the voters of the cluster that exists, those too that are out of the run."""
        voters = enrolled_voters({name: goal.facts for name, goal in goals.items()})
        return await serving_now(self._hosts, goals, voters)

    async def _phase(self, phase: Phase, goal: Goal) -> bool:
        """Do one phase on one host; return whether the host is still in the run."""
        name = goal.host.name
        if not self._chosen(name):
            return True
        changes = phase.plan(goal)
        if not changes and not phase.always_verify:
            self._record.emit(Step(name, phase.name, Status.UNCHANGED))
            return True
        self._record.emit(Step(name, phase.name, Status.STARTED))
        begun_ms = self._clock.now_ms()
        if not await self._guarded(name, phase.name, self._act(phase, goal, changes)):
            return False
        self._record.changed(name, len(changes))
        status = Status.CHANGED if changes else Status.UNCHANGED
        doubts = self._work.doubts.pop(name, ())
        for doubt in doubts:
            self._record.warn(name, doubt)
        detail = "; ".join([*(change.sentence for change in changes), *doubts])
        elapsed_ms = self._clock.now_ms() - begun_ms
        self._record.emit(Step(name, phase.name, status, elapsed_ms, detail))
        return True

    async def _act(self, phase: Phase, goal: Goal, changes: tuple[Change, ...]) -> None:
        """Make the changes and look at the result; from the start again after a lost link."""
        host = self._hosts[goal.host.name]
        if changes:
            self._record.intend(host.name, phase.name, input_sha256(changes))
        for attempt in range(1, LOSSES_MAX + 1):
            try:
                if changes:
                    await phase.apply(host, goal, changes, self._work)
                await phase.verify(host, goal, self._work)
            except LinkLost as exc:
                if attempt == LOSSES_MAX:
                    raise
                self._record.say(goal.host.name, f"{exc}; this step is done again")
            else:
                return

    async def _verify(self, goals: Mapping[str, Goal]) -> Verdict | None:
        names = self._record.standing(goals)
        if not names or self._record.stopped:
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
            changed = any(self._record.changes_on(name) for name in goals)
            # Where nothing was changed, our rules were found in force and the nodes see each other;
            # who suspects another firewall has the wizard prove it.
            matrix = await self._reach(goals, names) if changed else reach.Matrix(())
        except BzzzError as exc:
            elapsed_ms = self._clock.now_ms() - begun_ms
            self._record.fail(_CLUSTER, phases.VERIFY_CLUSTER, elapsed_ms, str(exc))
            return None
        detail = f"all nodes name {verdict.leader} in term {verdict.term}{matrix.praise()}"
        elapsed_ms = self._clock.now_ms() - begun_ms
        self._record.emit(
            Step(_CLUSTER, phases.VERIFY_CLUSTER, Status.UNCHANGED, elapsed_ms, detail)
        )
        return verdict

    async def _reach(self, goals: Mapping[str, Goal], names: list[str]) -> reach.Matrix:
        """Let every node of the run connect anew to the brokers of all others.

        Raises:
            CommandFailed: One was not reached; with who and how.
        """
        goals = {name: goals[name] for name in names}
        nodes = [node for node in self._work.nodes if node.name in goals]
        ports = next(iter(goals.values())).spec.network.ports
        brokers = (ports.fabric_client, ports.fabric_cluster)
        targets = {name: brokers for name, goal in goals.items() if goal.voter}
        matrix = await reach.reach(nodes, targets, nodes)
        if not matrix.whole:
            raise CommandFailed(matrix.sentence())
        return matrix

    async def _guarded(self, name: str, phase: str, action: Awaitable[None]) -> bool:
        """Await; a failure takes the host out of the run and is no exception."""
        begun_ms = self._clock.now_ms()
        try:
            with foreseen(name, self._record.redact):
                await action
        except BzzzError as exc:
            if isinstance(exc, CommandFailed) and phase in _GATE:
                self._work.condemned.add(name)
            self._record.fail(name, phase, self._clock.now_ms() - begun_ms, str(exc))
            return False
        self._work.condemned.discard(name)
        return True


def input_sha256(changes: tuple[Change, ...]) -> str:
    """Return what tells one step's work from another's: a checksum over all it would change."""
    return hashlib.sha256(msgspec.json.encode(changes, order="deterministic")).hexdigest()


def _due(goals: Mapping[str, Goal]) -> bool:
    return any(phase.plan(goal) for goal in goals.values() for phase in phases.ACTIVATE)


def _restarting(goals: Mapping[str, Goal]) -> bool:
    return any(_restarts(goal) for goal in goals.values())


def _restarts(goal: Goal) -> bool:
    plans = (phase.plan(goal) for phase in phases.ACTIVATE)
    return any(change.action == "restart" for changes in plans for change in changes)
