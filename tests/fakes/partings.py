"""Runs by which hosts go, without connections: what they would find is given to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import cast

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.deploy.burial import Burial
from bzzz_core.deploy.change import Change, Plan, make_plan
from bzzz_core.deploy.events import HostResult, Result, Sink, Summary
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.membership import Membership, leavers, membership
from bzzz_core.deploy.operation import Means
from bzzz_core.deploy.removals import Wish
from bzzz_core.deploy.steady import SteadyHost
from bzzz_core.deploy.steering import Stop
from bzzz_core.deploy.uninstall import Uninstall
from bzzz_core.errors import BzzzError
from tests.fakes.deploy_goals import spec
from tests.fakes.deploy_host import FakeHost

NO_PLAN = make_plan(cluster="bzzz", release="", operator=(), hosts={})


class FakePart:
    """A part of a command that changes one host, or fails."""

    def __init__(self, sink: Sink, name: str, *, error: BzzzError | None = None) -> None:
        """Take where its summary goes, the host, and what is raised instead."""
        self._sink, self._name, self._error = sink, name, error
        self.begins: Callable[[], object] = lambda: None
        """What happens when it begins."""
        self.applied = False

    async def apply(self, plan: Plan) -> Summary:
        """Say that the host was changed."""
        del plan
        self.applied = True
        self.begins()
        for _ in range(20):
            await asyncio.sleep(0)  # signals come in between rounds of the loop
        if self._error is not None:
            raise self._error
        summary = Summary((HostResult(self._name, Result.CHANGED, 2),), 0, 1_000)
        self._sink(summary)
        return summary


class FakeBurial(Burial):
    """A burial with voters bzzz-1 and bzzz-2 at hand, of bzzz-3."""

    def __init__(self, facts: dict[str, HostFacts], sink: Sink, base: Path) -> None:
        """Take what the hosts know; a test may change it."""
        super().__init__(spec(2), Means(sink=sink, base=base), dead=frozenset({"bzzz-3"}))
        self.facts = facts
        self.commands: list[str] = []
        voters = {
            name: FakeHost(name, number=number, log=self.commands)
            for number, name in enumerate(("bzzz-1", "bzzz-2"), 1)
        }
        self._hosts = cast("dict[str, SteadyHost]", voters)

    async def _look(self) -> tuple[Membership, dict[str, HostFacts]]:
        cluster = membership(self.facts)
        assert cluster is not None
        return cluster, self.facts


class FakeDeparture(Uninstall):
    """An uninstall of hosts out of a cluster whose other hosts are there too."""

    def __init__(
        self, answers: ClusterSpec, facts: dict[str, HostFacts], *gone: str, sink: Sink, base: Path
    ) -> None:
        """Take what the hosts know, and who goes."""
        chosen = frozenset(gone)
        super().__init__(answers, Means(sink=sink, base=base), chosen=chosen, wish=Wish())
        self._facts = facts
        self._leaving = leavers(chosen, facts, membership(facts))
        self.commands: list[str] = []
        self._hosts: dict[str, FakeHost] = {  # type: ignore[assignment]
            name: FakeHost(name, number=number, log=self.commands)
            for number, name in enumerate(facts, 1)
        }
        self.now: Membership | None = membership(facts)
        """Who belongs to the cluster once the host has left."""

    async def _known_now(self) -> Membership | None:
        return self.now

    def fails(self, host: str, what: str) -> None:
        """Let a command fail on a host."""
        self._hosts[host].failing = what

    @property
    def turns(self) -> list[str]:
        """Return who goes, in turn."""
        return self._in_turn()

    def depart(self) -> HostResult:
        """Let the hosts go and return how it came out for the last one."""
        for name in self.turns:
            asyncio.run(self._depart(name))
        return self._record.result(name)


class FakeUninstall(Uninstall):
    """An uninstall of two hosts that leave one after the other; a stop comes with the first."""

    def __init__(self, sink: Sink, base: Path, *, stops: bool) -> None:
        """Take whether the operator says stop while the first host leaves."""
        names = frozenset({"bzzz-2", "bzzz-3"})
        super().__init__(spec(3), Means(sink=sink, base=base), chosen=names, wish=Wish())
        self._leaving = dict.fromkeys(sorted(names), "id")
        self._stops = stops
        self.breaks: Exception | None = None
        """What ends it when a host is cleared."""
        self.done: list[str] = []

    async def carry_out(self) -> Summary:
        """Do what comes after the leases are held."""
        return await self._changed(await self._look(again=True))

    async def _look(self, *, again: bool) -> Plan:
        del again
        return make_plan(
            cluster="bzzz", release="", operator=(), hosts=dict.fromkeys(self._leaving, ())
        )

    async def _depart(self, name: str) -> None:
        self.done.append(f"{name} leaves")
        if self._stops:
            self.steering.take(Stop())

    async def _clear(self, name: str, changes: tuple[Change, ...]) -> None:
        del changes
        self.done.append(f"{name} is cleared")
        if self.breaks is not None:
            raise self.breaks
