"""What a run tells, as lines: one JSON object each for programs, plain text for people.

Whoever reads them may go (`| head`) or stand still (`| less`), the disk they are written to may be
full, a terminal may have no letters for what a host said, or obey it. None of it is the run's
concern: it goes on, and keeps its exit code. Only where nobody reads for long, progress is left
out, which is without end, and how much of it is said. All else that a run tells is bounded by its
hosts and phases; it waits for its reader.
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from typing import Final, TextIO

import msgspec

from bzzz_core.deploy.change import Change
from bzzz_core.deploy.events import (
    Began,
    Event,
    Finding,
    Planned,
    Refusal,
    Status,
    Step,
    Summary,
)
from bzzz_core.deploy.output import Output
from bzzz_core.deploy.remote import visible
from bzzz_core.ports import Clock

_DIFF_LINES_MAX: Final = 40
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")
WAITING_MAX: Final = 1_000
"""Lines that wait for their reader before progress is left out; it comes again at half of them."""
END_S_MAX: Final = 3_600
"""How long a run that is over waits for its reader, `less` say; a signal ends that at once."""
AT_ONCE_S_MAX: Final = 1.0
"""How long somebody waits who does not want to."""


class Lines:
    """Prints events, each at once; waits for no reader before the end."""

    def __init__(self, out: TextIO | None, *, as_json: bool, clock: Clock) -> None:
        """Take where to print (None: nowhere), how, and what time it is for people."""
        self._output = Output(out)
        self._as_json = as_json
        self._clock = clock
        self._begun_ms = clock.now_ms()
        self._left_out = 0

    def __call__(self, event: Event | Refusal) -> None:
        """Print an event, or leave progress out for which there is no reader."""
        full = self._output.waiting >= (WAITING_MAX // 2 if self._left_out else WAITING_MAX)
        if full and isinstance(event, Step) and event.status is Status.PROGRESS:
            self._left_out += 1
            return
        if self._left_out and (not full or isinstance(event, Summary)):
            words = f"{self._left_out} lines of progress are left out: they were not read in time"
            self._print(Finding("warning", "output", "", words))
            self._left_out = 0
        self._print(event)

    def settle(self, limit_s: float | None = None) -> None:
        """Wait until all is printed, or cannot be; None: as long as the reader takes."""
        self._output.settle(limit_s)

    def end(self, limit_s: float) -> None:
        """Print what is left to print, in that time; nothing is tried again afterwards."""
        self._output.end(limit_s)

    def _print(self, event: Event | Refusal) -> None:
        if self._as_json:
            self._output.put(_as_json(event) + "\n")
        elif not isinstance(event, Refusal):
            seconds = (self._clock.now_ms() - self._begun_ms) / 1_000
            lines = (f"{seconds:7.1f}s  {visible(line)}\n" for line in render(event))
            self._output.put("".join(lines))


def complain(message: str) -> None:
    """Say something to the person, beside what is printed, and wait for nobody to read it."""
    words = "\n".join(visible(line) for line in message.split("\n"))
    output = Output(sys.stderr)  # None: it was closed before we began
    output.put(f"bzzz-tui setup: {words}\n")
    output.end(AT_ONCE_S_MAX)


def _as_json(event: Event | Refusal) -> str:
    """Return an event as JSON in ASCII, for which every encoding has letters.

    What is no letter, an odd byte of a file's name say, is a question mark: readers refuse it.
    """
    text = json.dumps(msgspec.to_builtins(event), ensure_ascii=False, separators=(",", ":"))
    letters = text.encode("utf-8", "replace").decode("utf-8")
    return _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], letters)


def render(event: Event) -> list[str]:
    """Return an event as plain lines, without the time in front."""
    match event:
        case Step(status=Status.UNCHANGED, elapsed_ms=0):
            return []
        case Step():
            who = event.host or "cluster"
            took = f" {event.elapsed_ms / 1_000:.1f}s" if event.elapsed_ms else ""
            if event.quiet_ms:
                took += f" (silent for {event.quiet_ms / 1_000:.0f}s)"
            detail = f": {event.detail}" if event.detail else ""
            return [f"{who:<12} {event.phase:<18} {event.status.value}{took}{detail}"]
        case Finding():
            where = f"{event.host}: " if event.host else ""
            fix = f" -> {event.fix}" if event.fix else ""
            return [f"{event.severity.upper():<8} {where}{event.message}{fix}"]
        case Planned():
            return _render_plan(event)
        case Summary():
            return _render_summary(event)
        case Began():
            return [f"run {event.run}, process {event.pid}"]


def _render_plan(plan: Planned) -> list[str]:
    lines = [f"PLAN {plan.hash[:12]}, release {plan.release}"]
    lines.extend(f"  {change.sentence}" for change in plan.operator)
    for host, changes in plan.hosts.items():
        lines.append(f"  {host}: {len(changes) or 'no'} changes")
        for change in changes:
            lines.append(f"    {change.action:<8} {change.sentence}")
            lines.extend(f"             {line}" for line in _difference(change))
    return lines


def _difference(change: Change) -> list[str]:
    """Return what differs, for a change of text; nothing secret is in a `Change`."""
    if "\n" not in change.before or "\n" not in change.after:
        return []
    lines = difflib.unified_diff(
        change.before.splitlines(), change.after.splitlines(), "before", "after", "", "", 1
    )
    shown = [line.rstrip() for line in lines][2:]
    more = len(shown) - _DIFF_LINES_MAX
    return shown[:_DIFF_LINES_MAX] + ([f"... {more} more lines"] if more > 0 else [])


def _render_summary(summary: Summary) -> list[str]:
    lines = [
        f"{host.name:<12} {host.result}, {host.changes} changes"
        + (f": {host.detail}" if host.detail else "")
        for host in summary.hosts
    ]
    if summary.leader:
        lines.append(f"leader {summary.leader}, term {summary.term}")
    took = f" after {summary.elapsed_ms / 1_000:.1f}s" if summary.elapsed_ms else ""
    return [*lines, f"exit {summary.exit_code}{took}"]
