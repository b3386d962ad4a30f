"""What a run tells, as lines: one JSON object each for programs, plain text for people.

Whoever reads them may go (`| head`), the disk they are written to may be full, a terminal may have
no letters for what a host said. None of it is the run's concern: it goes on, and keeps its exit
code.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
from contextlib import suppress
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
from bzzz_core.ports import Clock

_DIFF_LINES_MAX: Final = 40
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")


class Lines:
    """Prints events, each at once."""

    def __init__(self, out: TextIO | None, *, as_json: bool, clock: Clock) -> None:
        """Take where to print (None: nowhere), how, and what time it is for people."""
        self._out = out
        self._as_json = as_json
        self._clock = clock
        self._begun_ms = clock.now_ms()

    def __call__(self, event: Event | Refusal) -> None:
        """Print an event."""
        if self._as_json:
            self._print(_as_json(event) + "\n")
        elif not isinstance(event, Refusal):
            seconds = (self._clock.now_ms() - self._begun_ms) / 1_000
            self._print("".join(f"{seconds:7.1f}s  {line}\n" for line in render(event)))

    def end(self) -> None:
        """Let nothing that could not be printed be tried again when the process ends."""
        if self._out is None:
            return
        try:
            self._out.flush()
        except (OSError, ValueError):
            self._forget(self._out)

    def _print(self, text: str) -> None:
        if self._out is None:
            return
        encoding = self._out.encoding or "utf-8"
        try:
            self._out.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self._out.flush()
        except (BrokenPipeError, ValueError):  # the reader has gone, or it is closed
            self._forget(self._out)
        except OSError:
            return  # what there is no room for now is written with what comes next

    def _forget(self, out: TextIO) -> None:
        """Print nowhere from now on; Python would flush once more at its end, and complain."""
        self._out = None
        with suppress(OSError, ValueError):
            number = out.fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(nowhere, number)
            os.close(nowhere)


def complain(message: str) -> None:
    """Say something to the person, beside what is printed."""
    if sys.stderr is None:  # it was closed before we began
        return
    with suppress(OSError, ValueError):  # nobody listens
        sys.stderr.write(f"bzzz-tui setup: {message}\n")
        sys.stderr.flush()


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
