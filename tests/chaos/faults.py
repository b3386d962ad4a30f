"""The faults: what breaks, whom it hits, and how each is done and undone on a real cluster.

A `Fault` is a value; `resolve` turns its target into places once it is known who leads, `inflict`
breaks, and `heal` makes everything whole, whatever was broken.

    kill        the processes end without warning (SIGKILL)
    stop        the processes are paused (SIGSTOP) and go on where they were
    cut         no packet to or from the others; several targets are cut off from each other, too
    deaf        the targets hear nothing, but are heard
    mute        the targets hear everybody, but are not heard
    lossy       a quarter of the packets is lost, either way
    link        the leader and the stream's leader do not reach each other; everybody else reaches
                both
    disk        the disk that holds the target's data is full
    busy        16 processes compete for the machine's cores
    restart     every host in turn is shut down in order and started again
    power       all hosts lose power at once, and come back
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from bzzz_core.process import die_with_parent
from tests.chaos.cluster import ChaosCluster
from tests.chaos.host import ChaosHost, Part
from tests.chaos.roles import Roles

Kind: TypeAlias = Literal[
    "kill", "stop", "cut", "deaf", "mute", "lossy", "link", "disk", "busy", "restart", "power"
]
Target: TypeAlias = Literal["leader", "stream leader", "both", "follower", "edge", "any", "all"]

HOGS: Final = 16
RECOVERY_MS_MAX: Final = 30_000
"""Twice what a cold start of all brokers takes (research: 5 s, and as long for a stream's election
after it), with room for a loaded machine."""
ROLLING_S_MAX: Final = 60.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of damage to one kind of target."""

    kind: Kind
    target: Target = "all"
    part: Part = "machine"
    """Of a host, for `kill` and `stop`."""
    dice: int = 0
    """Chooses among the places where the target leaves a choice."""

    @property
    def label(self) -> str:
        """Return the fault in words, as a test's name."""
        part = f" {self.part}" if self.kind in {"kill", "stop"} else ""
        return f"{self.kind}{part} of {self.target}"


def resolve(fault: Fault, roles: Roles, cluster: ChaosCluster) -> tuple[int, ...]:
    """Return the places that the fault hits."""
    everybody = tuple(host.number for host in cluster.hosts)
    if fault.kind == "disk":
        fillable = [host.number for host in cluster.hosts if host.fillable]
        wanted = [place for place in _places(fault, roles, everybody) if place in fillable]
        return (wanted or fillable)[:1]
    return _places(fault, roles, everybody)


def _places(fault: Fault, roles: Roles, everybody: tuple[int, ...]) -> tuple[int, ...]:
    if fault.target == "both":
        return (roles.leader, roles.stream_leader)
    choices: dict[Target, tuple[int, ...]] = {
        "leader": (roles.leader,),
        "stream leader": (roles.stream_leader,),
        "follower": roles.followers,
        "edge": roles.edges,
        "any": everybody,
    }
    if fault.target not in choices:
        return everybody
    places = choices[fault.target]
    return (places[fault.dice % len(places)],)


class Damage:
    """What is broken in a cluster at the moment; `heal` undoes all of it."""

    def __init__(self, cluster: ChaosCluster) -> None:
        """Begin with a whole cluster."""
        self._cluster = cluster
        self._hogs: list[subprocess.Popen[bytes]] = []

    async def inflict(self, fault: Fault, places: Sequence[int]) -> None:
        """Break it; returns at once, but for `restart`, which takes its time."""
        hosts = [self._cluster.hosts[place] for place in places]
        match fault.kind:
            case "busy":
                self._hogs += [_hog() for _ in range(HOGS)]
            case "restart":
                await self._restart(hosts)
            case "kill" | "power" | "stop" | "disk":
                for host in hosts:
                    await asyncio.to_thread(_strike, fault, host)
            case _:
                self._disturb(fault.kind, places)

    async def heal(self) -> None:
        """Make everything whole: cables, processes, disks, cores."""
        for hog in self._hogs:
            hog.kill()
            hog.wait()
        self._hogs.clear()
        for host in self._cluster.hosts:
            self._cluster.network.heal(host.number)
            if host.fillable:
                host.free_disk()
            host.resume("machine")
            host.start()

    async def _restart(self, hosts: Sequence[ChaosHost]) -> None:
        for host in hosts:
            await asyncio.to_thread(host.stop)
            host.start()
            await self._cluster.roles(ROLLING_S_MAX)

    def _disturb(self, kind: Kind, places: Sequence[int]) -> None:
        network = self._cluster.network
        everybody = [host.number for host in self._cluster.hosts]
        drop = network.lose_from if kind == "lossy" else network.drop_from
        if kind == "link":
            one, other = places
            drop(one, [other])
            drop(other, [one])
            return
        for place in places:
            others = [other for other in everybody if other != place]
            if kind != "mute":
                drop(place, others)
            if kind != "deaf":
                for other in others:
                    drop(other, [place])


def _strike(fault: Fault, host: ChaosHost) -> None:
    if fault.kind == "disk":
        host.fill_disk()
    elif fault.kind == "stop":
        host.pause(fault.part)
    else:
        host.kill(fault.part)


def _hog() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", "while True: pass"],
        env={"PATH": os.environ.get("PATH", "")},
        preexec_fn=die_with_parent(),  # noqa: PLW1509  a run that is killed must not leave it
    )
