"""What a command by which hosts go tells: its events at once, and one summary, at the end.

Whatever was done before something went wrong is in that summary, and no message quotes a secret.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final, TextIO

import msgspec

from bzzz_core.deploy.events import Event, Sink, Summary
from bzzz_core.deploy.exits import EXIT_INTERRUPTED, EXIT_PARTIAL
from bzzz_core.errors import BzzzError

_NOTHING: Final = Summary(hosts=(), exit_code=0, elapsed_ms=0)


class Report:
    """A sink that keeps the summaries of the runs behind it back, and makes one of them."""

    def __init__(self, sink: Sink, *, out: TextIO, as_json: bool) -> None:
        """Take where events go.

        Args:
            sink: Receives every event.
            out: Where errors go as JSON.
            as_json: Whether they do.
        """
        self._sink = sink
        self._out = out
        self._as_json = as_json
        self._kept: list[Summary] = []
        self._redactors: list[Callable[[str], str]] = []

    def __call__(self, event: Event) -> None:
        """Pass an event on, or keep it if it is a summary."""
        if isinstance(event, Summary):
            self._kept.append(event)
        else:
            self._sink(event)

    def cleaned_by(self, redact: Callable[[str], str]) -> None:
        """Have messages redacted by a run, which knows its secrets."""
        self._redactors.append(redact)

    def end(self, exit_code: int | None = None) -> int:
        """Send the one summary and return its exit code; None: by what the runs say."""
        if exit_code is None:
            exit_code = self._worst()
        leader = next((one for one in self._kept if one.leader), _NOTHING)
        self._sink(
            Summary(
                hosts=tuple(host for one in self._kept for host in one.hosts),
                exit_code=exit_code,
                elapsed_ms=sum(one.elapsed_ms for one in self._kept),
                operator_changes=sum(one.operator_changes for one in self._kept),
                leader=leader.leader,
                term=leader.term,
            )
        )
        return exit_code

    def fail(self, exc: BzzzError) -> int:
        """Say what went wrong, end, and return the exit code: partial, if anything was changed."""
        message = str(exc)
        for redact in self._redactors:
            message = redact(message)
        if self._as_json:
            failure = {"event": "error", "code": exc.code, "message": message}
            self._out.write(msgspec.json.encode(failure).decode() + "\n")
        complain(message)
        changed = any(host.changes for one in self._kept for host in one.hosts)
        return self.end(EXIT_PARTIAL if changed else exc.exit_code)

    def interrupted(self) -> int:
        """End because the operator cut it off, and return the exit code."""
        complain("interrupted; run the same command again to continue")
        return self.end(EXIT_INTERRUPTED)

    def _worst(self) -> int:
        codes = [summary.exit_code for summary in self._kept]
        if len(codes) == 1 or EXIT_INTERRUPTED in codes:
            return EXIT_INTERRUPTED if EXIT_INTERRUPTED in codes else codes[0]
        return EXIT_PARTIAL if any(codes) else 0


def complain(message: str) -> None:
    """Say something to the person, beside what the command prints."""
    sys.stderr.write(f"bzzz-tui setup: {message}\n")
