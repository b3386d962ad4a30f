"""`bzzz-tui setup --unlock`: who holds the hosts, and (`--yes`) that they do no longer.

For the lease of a run that is dead and does not go away by itself. Nothing else is changed: a unit
that still works goes on, and whoever is at work and loses the lease stops at its next heartbeat,
also if nobody else has taken it by then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.deploy.events import HostResult, Result, Status, Step, Summary
from bzzz_core.deploy.exits import EXIT_OK, EXIT_PREFLIGHT
from bzzz_core.deploy.lease import Holding, Owner, ask
from bzzz_core.deploy.operation import Means, Operation
from bzzz_core.deploy.together import together
from bzzz_core.deploy.unforeseen import foreseen
from bzzz_core.errors import BzzzError

ANY = "any"
"""Stands for whatever run holds a lease."""
_ANYBODY = Owner(who="", host="", pid=0, run=ANY, origin="")


class Unlocking(Operation):
    """One look at the leases of all hosts, and what came of it."""

    def __init__(self, spec: ClusterSpec, means: Means, *, yes: bool) -> None:
        """Take the answers; `yes`: what is held is freed."""
        super().__init__(spec, means, names=[host.name for host in spec.hosts], run_id=ANY)
        self._yes = yes

    async def run(self) -> int:
        """Print each host's owner, free it if that was said, and return the exit code."""
        self._learn_secrets()
        found: dict[str, HostResult] = {}

        async def one(host: HostSpec) -> None:
            try:
                with foreseen(host.name):
                    await self._fleet.connected(host)
                    by = partial(ask, self._hosts[host.name].quiet, owner=_ANYBODY)
                    found[host.name] = await self._free(host.name, by)
            except BzzzError as exc:
                self._record.emit(Step(host.name, "unlock", Status.FAILED, 0, str(exc)))
                found[host.name] = HostResult(host.name, Result.FAILED, 0, str(exc))

        async with self:
            await together(one(host) for host in self._spec.hosts)
        results = tuple(found[name] for name in self._names)
        left = any(r.result in {Result.FAILED, Result.SKIPPED} for r in results)
        exit_code = EXIT_PREFLIGHT if left else EXIT_OK
        self._record.emit(Summary(hosts=results, exit_code=exit_code, elapsed_ms=0))
        return exit_code

    async def _free(self, name: str, verb: Callable[[str], Awaitable[Holding]]) -> HostResult:
        holding = await verb("show")
        words = f"held by {holding.words}" if holding.state == "held" else "held by nobody"
        if holding.units:
            words += f"; at work there: {', '.join(holding.units)} (systemctl stop ends it)"
        if holding.unproved:
            words += f"; not proved, the next run takes it back: {', '.join(holding.unproved)}"
        if holding.state != "held":
            self._record.emit(Step(name, "unlock", Status.UNCHANGED, 1, words))
            return HostResult(name, Result.UNCHANGED, 0, words)
        if not self._yes:
            self._record.emit(Step(name, "unlock", Status.SKIPPED, 0, f"{words}; --yes frees it"))
            return HostResult(name, Result.SKIPPED, 0, f"{words}; --yes frees it")
        await verb("free")
        self._record.emit(Step(name, "unlock", Status.CHANGED, 1, f"freed; it was {words}"))
        return HostResult(name, Result.CHANGED, 1, f"freed; it was {words}")
