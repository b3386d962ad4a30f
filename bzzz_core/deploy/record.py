"""What happened so far in a run: who failed, who was left out, what was changed; and who is told.

Every event passes through here, so redaction and journal cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar, cast

import msgspec

from bzzz_core.clock import utc_now
from bzzz_core.deploy.events import (
    Event,
    Finding,
    HostResult,
    Result,
    Sink,
    Status,
    Step,
    Summary,
)
from bzzz_core.deploy.exits import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_PARTIAL,
    EXIT_ROLLED_BACK,
)
from bzzz_core.deploy.host_log import HostLog
from bzzz_core.deploy.journal import Journal, Redactor
from bzzz_core.deploy.remote import Completed
from bzzz_core.errors import BzzzError, NotWritten
from bzzz_core.ports import Clock

_NO_RESULT: Final = frozenset({Status.STARTED, Status.UNCHANGED})
"""Steps of which a run that is gone on with has nothing to learn: an intent comes before an act."""
_WORDS: Final = frozenset({"host", "name", "phase", "check", "severity", "action", "hash"})
"""Fields with names and words of our own, by which a reader tells events apart; never quoted."""
T = TypeVar("T")


class Record:
    """The state of one run."""

    def __init__(self, *, sink: Sink, clock: Clock) -> None:
        """Start the run's time; nobody has failed."""
        self._sink = sink
        self._clock = clock
        self._begun_ms = clock.now_ms()
        self._failures: dict[str, str] = {}
        self._skipped: dict[str, str] = {}
        self._changes: dict[str, int] = {}
        self._returned: dict[str, str] = {}
        self._warnings: dict[str, list[str]] = {}
        self.left_out: dict[str, str] = {}
        """Hosts that this run is not about, and why; they are looked at and not changed."""
        self.stopped = False
        """Whether the operator ended the run before it was through."""
        self._at: dict[str, str] = {}
        self._logs: dict[str, HostLog] = {}
        self.redact = Redactor()
        self.journal: Journal | None = None
        self._told_unwritten = False

    def emit(self, event: Event) -> None:
        """Pass an event on, clean of secrets, and into the journal if one is open."""
        event = self.clean(event)
        progress = isinstance(event, Step) and event.status is Status.PROGRESS
        if isinstance(event, Step) and not progress:
            self._at[event.host] = event.phase if event.status is Status.STARTED else ""
        if self.journal is not None and not progress:
            idle = isinstance(event, Step) and event.status in _NO_RESULT
            with self._going_on():
                self.journal.write(utc_now(), event, durable=not idle)
        self._sink(event)

    @contextmanager
    def _going_on(self) -> Iterator[None]:
        """Write down what happened if that can be done: what was begun is ended, or taken back.

        That nothing further is begun meanwhile is the task of `intend`.
        """
        try:
            yield
        except NotWritten as exc:
            if not self._told_unwritten:
                self._told_unwritten = True
                self._sink(Finding("warning", "journal", "", str(exc), "make room on this machine"))

    def clean(self, value: T) -> T:
        """Return an event, or a part of one, without secrets in any of its texts."""
        cleaned: Any = value
        if type(value) is str:  # an enumeration's member is a word of ours
            # An odd byte of a file's name, say, is no letter, and could not be written down.
            cleaned = self.redact(str(value)).encode(errors="backslashreplace").decode()
        elif isinstance(value, msgspec.Struct):
            fields = {name: getattr(value, name) for name in value.__struct_fields__}
            texts = {name: self.clean(v) for name, v in fields.items() if name not in _WORDS}
            cleaned = msgspec.structs.replace(value, **texts)
        elif isinstance(value, tuple):
            cleaned = tuple(self.clean(part) for part in value)
        elif isinstance(value, dict):
            cleaned = {key: self.clean(part) for key, part in value.items()}
        return cast("T", cleaned)

    def say(self, host: str, text: str) -> None:
        """Tell what goes on at a host within a phase."""
        self.emit(Step(host, self.at(host), Status.PROGRESS, detail=text))

    def log(self, host: str, what: str, elapsed_ms: int, outcome: Completed | BzzzError) -> None:
        """Write down how a command on a host ended, beside the journal if one is open."""
        if self.journal is None:
            return
        if host not in self._logs:
            path = self.journal.path.with_suffix(f".{host}.log")
            self._logs[host] = HostLog(path, self.redact)
        with self._going_on():
            self._logs[host].note(self.at(host) or self.at(""), what, elapsed_ms, outcome)

    def at(self, host: str) -> str:
        """Return the phase that a host ("": the cluster) is in; empty between two of them."""
        return self._at.get(host, "")

    def witness(self, host: str) -> HostWitness:
        """Return whoever is told what goes on at a host."""
        return HostWitness(host, self)

    def standing(self, names: Iterable[str]) -> list[str]:
        """Return those of the hosts that are still in the run, in their order."""
        return [name for name in names if name not in self._failures and name not in self._skipped]

    def failed(self, names: Iterable[str]) -> list[str]:
        """Return those of the hosts that have failed, in their order."""
        return [name for name in names if name in self._failures]

    def readmit(self, name: str) -> None:
        """Take a host that has failed into the run again."""
        del self._failures[name]

    def intend(self, host: str, phase: str, input_sha256: str = "") -> None:
        """Write down that a step is about to act; durable on return.

        Raises:
            NotWritten: It cannot be written, so the step may not begin.
        """
        if self.journal is not None:
            self.journal.write(
                utc_now(),
                {"event": "intent", "host": host, "phase": phase, "input": input_sha256},
            )

    def changed(self, name: str, count: int) -> None:
        """Count changes that were made on a host."""
        self._changes[name] = self._changes.get(name, 0) + count

    def warn(self, name: str, text: str) -> None:
        """Have something said of a host in the summary, though the host came through."""
        self._warnings.setdefault(name, []).append(self.redact(text))

    def fail(self, name: str, phase: str, elapsed_ms: int, reason: str) -> None:
        """Take a host ("" for the cluster as a whole) out of the run and say why."""
        self._failures[name] = self.redact(reason)
        self.emit(Step(name, phase, Status.FAILED, elapsed_ms, reason))

    @property
    def failures(self) -> Mapping[str, str]:
        """Return why hosts are out of the run, by name ("" for the cluster as a whole)."""
        return self._failures

    def rolled_back(self, name: str, phase: str, elapsed_ms: int, detail: str) -> None:
        """Take note that a host that came not through runs its earlier release again."""
        self._returned[name] = self.redact(detail)
        self.emit(Step(name, phase, Status.ROLLED_BACK, elapsed_ms, detail))

    def not_returned(self, name: str, phase: str, elapsed_ms: int, reason: str) -> None:
        """Take note that a host could not even be taken back; it needs a person."""
        first = self._failures.get(name) or self._skipped.get(name, "")
        self.fail(name, phase, elapsed_ms, f"{first}; and the way back failed: {reason}")

    def skip(self, names: Iterable[str], phase: str, reason: str) -> None:
        """Leave hosts out of what remains, and say why."""
        for name in self.standing(names):
            self._skipped[name] = reason
            self.emit(Step(name, phase, Status.SKIPPED, detail=reason))

    def drop(self, names: Iterable[str]) -> None:
        """The operator cut the run off: what was being done is not known to have ended."""
        self.stopped = True
        for name in self.standing(names):
            self._skipped[name] = "cut off by the operator"

    def changes_on(self, name: str) -> int:
        """Return how many changes were made on a host."""
        return self._changes.get(name, 0)

    def summary(
        self, names: Iterable[str], *, operator_changes: int, leader: str | None, term: int
    ) -> Summary:
        """Return how the run ended."""
        results = tuple(self.result(name) for name in names)
        fine = [r for r in results if r.result in {Result.CHANGED, Result.UNCHANGED}]
        exit_code = EXIT_OK
        if len(fine) < len(results) or "" in self._failures:
            exit_code = EXIT_PARTIAL if fine else EXIT_FAILED
        if self._returned:
            exit_code = EXIT_ROLLED_BACK
        elif self.stopped:
            exit_code = EXIT_INTERRUPTED
        return Summary(
            hosts=results,
            exit_code=exit_code,
            elapsed_ms=self._clock.now_ms() - self._begun_ms,
            operator_changes=operator_changes,
            leader=leader,
            term=term,
        )

    def result(self, name: str) -> HostResult:
        """Return how a host has come through so far."""
        count = self._changes.get(name, 0)
        if name in self._returned:
            return HostResult(name, Result.ROLLED_BACK, count, self._returned[name])
        if name in self._failures:
            return HostResult(name, Result.FAILED, count, self._failures[name])
        if name in self._skipped:
            return HostResult(name, Result.SKIPPED, count, self._skipped[name])
        if name in self.left_out:
            return HostResult(name, Result.UNCHANGED, count, self.left_out[name])
        came = Result.CHANGED if count else Result.UNCHANGED
        return HostResult(name, came, count, "; ".join(self._warnings.get(name, ())))


class HostWitness:
    """Passes on what goes on at one host; the contract is `steady.Witness`."""

    def __init__(self, host: str, record: Record) -> None:
        """Take whose commands these are and where to pass them on."""
        self._host = host
        self._record = record

    def runs(self, what: str, elapsed_ms: int, quiet_ms: int, last: str) -> None:
        """Pass on that something takes long."""
        detail = f"{what}: {last}" if last else what
        phase = self._record.at(self._host)
        self._record.emit(
            Step(self._host, phase, Status.PROGRESS, elapsed_ms, detail, quiet_ms=quiet_ms)
        )

    def ended(self, what: str, elapsed_ms: int, outcome: Completed | BzzzError) -> None:
        """Write down how a command ended."""
        self._record.log(self._host, what, elapsed_ms, outcome)
