"""What every run on a cluster's hosts is built on: setup, uninstalling, revoking from afar.

A run has the answers and the means to carry them out, connections that are opened anew when they
break, and a record through which everything is told. What changes hosts has their leases, and a
journal; however it ends, a summary is the last that is heard of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from bzzz_core.clock import SystemClock, utc_now
from bzzz_core.config.schema import ClusterSpec
from bzzz_core.deploy.change import Plan
from bzzz_core.deploy.events import Sink, Status, Step, Summary
from bzzz_core.deploy.fleet import Fleet, OpenSession
from bzzz_core.deploy.journal import Journal, Redactor, new_run_id
from bzzz_core.deploy.lease import Owner, held
from bzzz_core.deploy.lease_keeper import while_kept
from bzzz_core.deploy.record import Record
from bzzz_core.deploy.ssh.session import session
from bzzz_core.deploy.state import ClusterState
from bzzz_core.deploy.steady import SteadyHost
from bzzz_core.deploy.steering import Steering
from bzzz_core.deploy.unforeseen import foreseen
from bzzz_core.errors import BzzzError, LeaseLost, plainly
from bzzz_core.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a run has beside its answers."""

    sink: Sink
    """Receives every event."""
    base: Path | None = None
    """The operator's directory; None: the user's own."""
    clock: Clock = field(default_factory=SystemClock)
    """For durations and pauses."""
    open_session: OpenSession = session
    """How to connect."""
    steering: Steering = field(default_factory=Steering)
    """Takes orders while the run works."""


class Operation:
    """One run. An async context manager: its connections end with it."""

    def __init__(
        self, spec: ClusterSpec, means: Means, *, names: Iterable[str], run_id: str | None = None
    ) -> None:
        """Take the answers; nothing happens yet.

        Args:
            spec: The answers.
            means: Whom to tell, where to keep things, how to connect.
            names: The hosts of the summary.
            run_id: What the run is called; None: a new name.
        """
        self._spec = spec
        self._names = list(names)
        self._clock = means.clock
        self._record = Record(sink=means.sink, clock=means.clock)
        self._state = ClusterState(spec.cluster.name, means.base)
        self._fleet = Fleet(
            spec, self._state.known_hosts, means.open_session, own_key=self._state.ssh_key(spec)
        )
        self._wished_id = run_id
        self.steering = means.steering
        """Takes orders while the run works."""
        self.summary: Summary | None = None
        """How the run ended, once it did; also of one that was cut off."""

    async def __aenter__(self) -> Self:
        """Return the run itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all connections."""
        await self._fleet.close()

    def redact(self, text: str) -> str:
        """Return a text, of an error say, without the secrets of this run."""
        return self._record.redact(text)

    def finish(
        self, *, operator_changes: int = 0, leader: str | None = None, term: int = 0
    ) -> Summary:
        """End with the summary, also where nothing was done.

        Args:
            operator_changes: How much was changed on this machine.
            leader: Whom all nodes named, if they were asked.
            term: Its term.
        """
        self.summary = self._record.summary(
            self._names, operator_changes=operator_changes, leader=leader, term=term
        )
        self._record.emit(self.summary)
        return self.summary

    @cached_property
    def _run_id(self) -> str:
        """Made when it is first needed: the names of runs are in the order of their beginnings."""
        return self._wished_id or new_run_id(self._state.directory)

    @cached_property
    def _hosts(self) -> dict[str, SteadyHost]:
        return self._fleet.steady(
            [host.name for host in self._spec.hosts],
            run_id=self._run_id,
            clock=self._clock,
            witness=self._record.witness,
        )

    @property
    def _owner(self) -> Owner:
        return self._state.owner(self._run_id)

    def _learn_secrets(self) -> None:
        """Keep what the answers hold secret out of all that is told from now on."""
        self._record.redact = Redactor(self._state.secrets(self._spec))

    async def _leased(
        self, names: Iterable[str], work: Callable[[], Awaitable[Summary]]
    ) -> Summary:
        """Do the work while these hosts are this run's alone; one that is taken away is barred."""

        def lost(name: str, reason: LeaseLost) -> None:
            self._hosts[name].bar(reason)

        quiet = {name: self._hosts[name].quiet for name in names}
        async with held(quiet, self._owner, self._clock) as leases:
            return await while_kept(
                leases, work, clock=self._clock, step=self._record.at, lost=lost
            )

    @contextmanager
    def _step(self, name: str, phase: str) -> Iterator[Callable[[int, str], None]]:
        """Tell of a step on a host; what goes wrong there takes that host out of the run.

        Yields:
            What is called in the end, with the number of changes and what was done.
        """
        begun_ms = self._clock.now_ms()
        self._record.emit(Step(name, phase, Status.STARTED))

        def done(count: int, detail: str) -> None:
            self._record.changed(name, count)
            elapsed_ms = self._clock.now_ms() - begun_ms
            self._record.emit(Step(name, phase, Status.CHANGED, elapsed_ms, detail))

        try:
            with foreseen(name, self._record.redact):
                yield done
        except BzzzError as exc:
            self._record.fail(name, phase, self._clock.now_ms() - begun_ms, str(exc))

    @contextmanager
    def _journaled(self, event: str, plan: Plan, **headline: object) -> Iterator[None]:
        """Write down what is done; what does not come to its own end is summed up here."""
        changes = len(plan.operator)
        with Journal(self._state.journal, self._run_id) as journal:
            journal.write(utc_now(), {"event": event, "plan": plan.hash, **headline})
            self._record.journal = journal
            try:
                with foreseen("this run", self._record.redact), plainly():
                    yield
            except asyncio.CancelledError:
                self._record.drop(self._names)  # the next run reads here how far it came
                self.finish(operator_changes=changes)
                raise
            except BzzzError as exc:
                self._record.fail("", event, 0, str(exc))
                self.finish(operator_changes=changes)
                raise
            finally:
                self._record.journal = None
