"""What the phases of one run share: releases, the operator's authorities, and what was learned."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final

from bzzz_core.clock import SystemClock
from bzzz_core.deploy.facts.host import Enrolled, HostFacts
from bzzz_core.deploy.reach import Node
from bzzz_core.deploy.release import Release
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.state import OpenCluster
from bzzz_core.deploy.way import Way
from bzzz_core.errors import HostUnreachable, PreconditionFailed
from bzzz_core.ports import Clock

UPLOADS_MAX: Final = 4
Say = Callable[[str, str], None]
"""Called with a host's name and what goes on there, in a few words."""


Fresh = Callable[[str, Way], AbstractAsyncContextManager[object]]
"""Opens a new connection to a host: new TCP, new login. By name of the host."""


def _no_fresh(host: str, way: Way) -> AbstractAsyncContextManager[object]:
    raise PreconditionFailed(f"{host}: this run opens no fresh connections ({way})")


@dataclass(slots=True, kw_only=True)
class Work:
    """The resources of one run. Phases may read all of it and write only what says so."""

    cluster: OpenCluster
    releases: dict[str, Release]
    """By host."""
    say: Say
    fresh: Fresh = _no_fresh
    nodes: tuple[Node, ...] = ()
    """The hosts of the run, as those who try each other's ports."""
    enrolled: dict[str, Enrolled] = field(default_factory=dict)
    """By host: what each node said about itself. Written by phases."""
    switched: dict[str, str] = field(default_factory=dict)
    """By host: the release that ran before this run switched to another. Written by phases."""
    touched: set[str] = field(default_factory=set)
    """Hosts where this run has switched or started anything. Written by phases."""
    started: set[str] = field(default_factory=set)
    """Hosts whose agent this run has started: they must be of the new release from now on.
    Written by phases."""
    condemned: set[str] = field(default_factory=set)
    """Hosts that answered and on which the release itself did not come through: a link that was
    lost says nothing about it. Written by the drive."""
    allow_downgrade: bool = False
    """The operator asked for a bundle that is older than what runs."""
    joined: dict[str, Callable[[HostFacts], HostFacts]] = field(default_factory=dict)
    """By host that the cluster took in: what that changed about its facts. Written by phases."""
    doubts: dict[str, list[str]] = field(default_factory=dict)
    """By host: what the step at hand could not prove. Written by `doubt`, taken by the drive."""
    hosts: Mapping[str, RemoteHost] = field(default_factory=dict)
    """All connections, for the one phase that asks another host."""
    uploads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(UPLOADS_MAX))
    """Bounds uploads apart from everything else: they fill the operator's uplink."""
    pulling: asyncio.Semaphore | None = None
    """Bounds on how many hosts models are fetched at a time; made by `pulls`."""
    program: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while this machine makes the model server's program ready for all hosts."""
    clock: Clock = field(default_factory=SystemClock)

    def doubt(self, host: str, text: str) -> None:
        """Tell what could not be proved, now and again when the step ends: that is kept."""
        self.say(host, text)
        self.doubts.setdefault(host, []).append(text)

    def pulls(self, most: int) -> asyncio.Semaphore:
        """Return what bounds the pulls of models, to `most` hosts at a time."""
        if self.pulling is None:
            self.pulling = asyncio.Semaphore(most)
        return self.pulling

    async def prove_login(self, host: str, way: Way = Way.ANSWERS, *, patience_s: int = 0) -> None:
        """Log in anew, and leave.

        Args:
            host: Its name.
            way: How.
            patience_s: How long to try again if nobody answers: an sshd that reads its
                configuration anew listens anew too.

        Raises:
            DeployError: That did not work.
        """
        for second in range(patience_s + 1):
            try:
                async with self.fresh(host, way):
                    return
            except HostUnreachable:
                if second == patience_s:
                    raise
                await self.clock.sleep_ms(1_000)
