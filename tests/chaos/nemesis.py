"""Breaks a cluster by a plan and writes down when what was broken and when it was whole again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

from tests.chaos.cluster import ChaosCluster
from tests.chaos.faults import RECOVERY_MS_MAX, Damage, Fault, resolve
from tests.chaos.history import Answered, Healed, HistoryTail, Invoked, now_ns
from tests.chaos.history import Fault as FaultNoted
from tests.chaos.roles import Roles
from tests.chaos.schedule import Step

_LOOK_S: Final = 0.05


class Nemesis:
    """Carries out steps, one after the other."""

    def __init__(self, cluster: ChaosCluster, *, say: Callable[[str], None]) -> None:
        """Take the victim; `say` is told the timeline, a line at a time."""
        self._cluster = cluster
        self.say = say
        """Tell a line of the timeline."""
        self._damage = Damage(cluster)
        self._tail = HistoryTail(cluster.directory)
        self.recoveries_ms: list[int] = []
        """From each healing until every host agreed again."""

    async def run(self, plan: Iterator[Step], *, duration_s: float) -> int:
        """Break and heal until the time is over; return how many steps that were."""
        ends_ns = now_ns() + int(duration_s * 1e9)
        done = 0
        while now_ns() < ends_ns:
            await self.step(next(plan))
            done += 1
        return done

    async def step(self, step: Step) -> None:
        """Carry out one step and wait until the cluster is well again.

        Raises:
            TimeoutError: It is not, long after everything was healed.
        """
        roles = await self._cluster.roles()
        hit: list[str] = []
        for fault in step.faults:
            if hit:
                await asyncio.sleep(step.gap_s)
            hit.append(await self.inflict(fault, roles))
        await asyncio.sleep(step.hold_s)
        await self.heal(" + ".join(hit))
        await asyncio.sleep(step.calm_s)

    async def inflict(self, fault: Fault, roles: Roles) -> str:
        """Break one thing; return it in words."""
        places = resolve(fault, roles, self._cluster)
        names = " ".join(self._cluster.hosts[place].name for place in places)
        what = f"{fault.label} ({names})"
        self._cluster.note(FaultNoted(now_ns(), what))
        self.say(f"fault    {what}")
        await self._damage.inflict(fault, places)
        return what

    async def heal(self, what: str) -> int:
        """Make everything whole and wait; return the milliseconds until all was well.

        Raises:
            TimeoutError: It was not, in four times the time there is: a full disk alone takes 24
                to 54 s, for the broker is started anew after half a minute.
        """
        await self._damage.heal()
        began_ns = now_ns()
        self._cluster.note(Healed(began_ns, what, RECOVERY_MS_MAX))
        self._tail.fresh()
        roles = await self._cluster.roles(4 * RECOVERY_MS_MAX / 1000)
        await self._written_since(began_ns)
        took_ms = (now_ns() - began_ns) // 1_000_000
        self.recoveries_ms.append(took_ms)
        leader = self._cluster.hosts[roles.leader].name
        self.say(f"healed   all agree on {leader} after {took_ms / 1000:.1f} s")
        return took_ms

    async def _written_since(self, began_ns: int) -> None:
        """Wait until a write that was asked for after `began_ns` is acknowledged.

        Raises:
            TimeoutError: None was.
        """
        asked: set[str] = set()
        try:
            async with asyncio.timeout(RECOVERY_MS_MAX / 1000):
                while True:
                    fresh = self._tail.fresh()
                    asked |= {e.op for e in fresh if isinstance(e, Invoked) and e.at_ns > began_ns}
                    written = {
                        e.op for e in fresh if isinstance(e, Answered) and e.outcome == "written"
                    }
                    if asked & written:
                        return
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError as exc:
            raise TimeoutError("all agree, but nothing is written") from exc
