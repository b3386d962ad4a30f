"""A run of the deploy engine as the screens show it: events in, a picture out. No Textual.

The engine says what happens, step by step; this folds it into a matrix (host x phase), a log for
each host, what preflight found, the plan, and the end.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from bzzz_core.deploy.events import Began, Event, Finding, Planned, Result, Status, Step, Summary
from bzzz_tui.parts import Part
from bzzz_tui.widgets.host_matrix import CellState, MatrixRow
from bzzz_tui.widgets.step_rail import StepState
from bzzz_tui.wording import Tone, clean, span

LOG_LINES_MAX: Final = 500
CLUSTER: Final = "(cluster)"
"""How steps that belong to no single host are called."""

_CELLS: Final = {
    Status.STARTED: CellState.RUNNING,
    Status.PROGRESS: CellState.RUNNING,
    Status.CHANGED: CellState.DONE,
    Status.UNCHANGED: CellState.UNCHANGED,
    Status.FAILED: CellState.FAILED,
    Status.ROLLED_BACK: CellState.DONE,
    Status.SKIPPED: CellState.SKIPPED,
}
_TONES: Final = {
    Status.CHANGED: Tone.OK,
    Status.UNCHANGED: Tone.MUTED,
    Status.FAILED: Tone.BAD,
    Status.ROLLED_BACK: Tone.WARN,
    Status.SKIPPED: Tone.MUTED,
}

_TOLD: Final = {Status.STARTED, Status.PROGRESS, Status.FAILED, Status.ROLLED_BACK}
"""What a row says beside its cells."""


_SEEN: Final = {CellState.UNCHANGED, CellState.FAILED}
"""How a host's probe stands when it is over."""


class Stage(StrEnum):
    """How far a run is."""

    IDLE = "idle"
    LOOKING = "looking"
    ASKING = "asking"
    """The plan waits for the operator's word."""
    WORKING = "working"
    DONE = "done"


@dataclass(slots=True)
class _HostView:
    cells: dict[str, CellState] = field(default_factory=dict)
    note: str = ""
    log: deque[Part] = field(default_factory=lambda: deque(maxlen=LOG_LINES_MAX))


class RunView:
    """What is known of one run."""

    def __init__(
        self,
        hosts: tuple[str, ...] = (),
        phases: tuple[str, ...] = (),
        shared: tuple[str, ...] = (),
    ) -> None:
        """Start with the hosts that take part and the phases that are known to come.

        Args:
            hosts: In the order of the matrix.
            phases: In their order.
            shared: Those of the phases that are about all hosts at once.
        """
        self._shared = frozenset(shared)
        self.begun_ms: int | None = None
        """When the operator gave the word."""
        self.ended_ms: int | None = None
        self.stage = Stage.IDLE
        self.confirmed = False
        """Whether the word to change hosts was given."""
        self.phases = list(phases)
        self.findings: list[Finding] = []
        self.planned: Planned | None = None
        self.summary: Summary | None = None
        self.failure = ""
        """Why there was no proper end, if there was none."""
        self._hosts: dict[str, _HostView] = {name: _HostView() for name in hosts}

    def state(self, *, same: bool) -> StepState:
        """Return how the step of this run stands; `same`: the answers are still those it is of."""
        if self.stage is Stage.DONE and not self.succeeded:
            return StepState.BAD
        done = StepState.OK if same else StepState.RECHECK
        return {
            Stage.IDLE: StepState.OPEN,
            Stage.LOOKING: StepState.RUNNING,
            Stage.ASKING: StepState.WARN,
            Stage.WORKING: StepState.RUNNING,
            Stage.DONE: done,
        }[self.stage]

    def apply(self, event: Event) -> None:
        """Fold in one event."""
        match event:
            case Began():
                self._hosts = {name: _HostView() for name in self._hosts if name != CLUSTER}
                self.findings, self.planned = [], None
            case Step():
                self._step(event)
            case Finding():
                self.findings.append(event)
                tone = Tone.BAD if event.severity == "error" else Tone.WARN
                fix = f" Fix: {event.fix}" if event.fix else ""
                self._view(event.host).log.append((clean(f"{event.message}{fix}"), tone))
            case Planned():
                self.planned = event
            case Summary():
                self.summary = event
                self.stage = Stage.DONE

    def rows(self) -> list[MatrixRow]:
        """Return the matrix, one row a host."""
        rows = []
        for name, view in self._hosts.items():
            cells = tuple(view.cells.get(phase, self._empty(name, phase)) for phase in self.phases)
            rows.append(MatrixRow(name, cells, view.note))
        return rows

    def _empty(self, name: str, phase: str) -> CellState:
        """Return what stands for a phase that was not heard of on a host."""
        about_this = name != CLUSTER and phase not in self._shared
        return CellState.WAITING if about_this else CellState.NONE

    def log(self, host: str | None) -> list[Part]:
        """Return the lines of one host's log."""
        view = self._hosts.get(host or "")
        return list(view.log) if view else []

    def failed_hosts(self) -> list[str]:
        """Return the hosts on which something failed."""
        if self.summary is None:
            return []
        bad = {Result.FAILED, Result.ROLLED_BACK}
        return [host.name for host in self.summary.hosts if host.result in bad]

    def failing_now(self) -> list[str]:
        """Return the hosts on which a phase failed, as the matrix shows it."""
        return [
            name
            for name, view in self._hosts.items()
            if name != CLUSTER and CellState.FAILED in view.cells.values()
        ]

    def has(self, host: str | None) -> bool:
        """Return whether a row of the matrix is a host."""
        return host in self._hosts and host != CLUSTER

    @property
    def remarks(self) -> list[str]:
        """Return what should be known of hosts that came through."""
        fine = {Result.CHANGED, Result.UNCHANGED}
        hosts = self.summary.hosts if self.summary else ()
        return [
            clean(f"{one.name}: {one.detail}") for one in hosts if one.result in fine and one.detail
        ]

    @property
    def busy(self) -> bool:
        """Return whether the run is under way, or waits for the operator's word."""
        return self.stage in {Stage.LOOKING, Stage.ASKING, Stage.WORKING}

    @property
    def succeeded(self) -> bool:
        """Return whether the run ended well."""
        return self.summary is not None and self.summary.exit_code == 0

    @property
    def standing(self) -> tuple[str, Tone]:
        """Say what has happened to the hosts so far."""
        if self.stage is Stage.WORKING:
            return "hosts are being changed", Tone.WARN
        if not self.confirmed:
            return "nothing is changed until step 6", Tone.OK
        return ("installed", Tone.OK) if self.succeeded else ("partly installed", Tone.BAD)

    @property
    def looking_words(self) -> str:
        """Say what goes on before there is a plan; the first build takes longest."""
        own = self._hosts.get(CLUSTER)
        if own is not None and own.cells.get("build_release") is CellState.RUNNING:
            return "building the release, up to a minute the first time; no host is changed"
        hosts = [view for name, view in self._hosts.items() if name != CLUSTER]
        seen = sum(view.cells.get("probe") in _SEEN for view in hosts)
        return f"connecting and probing, {seen} of {len(hosts)} hosts seen; nothing is changed"

    @property
    def errors(self) -> list[Finding]:
        """Return what preflight holds against going on."""
        return [finding for finding in self.findings if finding.severity == "error"]

    def _step(self, step: Step) -> None:
        if not step.phase:  # What goes on within a phase, in words.
            view = self._view(step.host)
            view.note = clean(step.detail)
            view.log.append((f"  {view.note}", Tone.MUTED))
            return
        if step.phase not in self.phases:
            self.phases.append(step.phase)
        view = self._view(step.host)
        again = step.status is Status.STARTED
        if again or view.cells.get(step.phase) is not CellState.FAILED:
            view.cells[step.phase] = _CELLS[step.status]
        words = clean(step.detail)
        if step.status in _TOLD:
            view.note = " ".join(filter(None, (step.phase, words)))
        elif CellState.FAILED not in view.cells.values():
            view.note = ""
        if step.status is Status.STARTED:
            view.log.append((f"{step.phase} ...", Tone.MUTED))
        elif words or step.status is not Status.PROGRESS:
            took = f" ({span(step.elapsed_ms / 1_000)})" if step.elapsed_ms >= 1_000 else ""  # noqa: PLR2004
            said = f": {words}" if words else ""
            line = f"{step.phase} {step.status.value}{took}{said}"
            view.log.append((line, _TONES.get(step.status, Tone.PLAIN)))

    def _view(self, host: str) -> _HostView:
        return self._hosts.setdefault(clean(host) or CLUSTER, _HostView())
