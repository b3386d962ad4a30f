"""The frame around a command of setup without a screen: its events at once, and one summary last.

Whatever happens in it, the last line is that summary, and the process ends with its exit code:
what goes wrong is said before it, by a message that quotes no secret, and what was done before
something went wrong is in it. SIGTERM counts like Ctrl-C, from the beginning.

Two codes are promises (`exits.py`), and kept here whatever says otherwise: 2, no host was asked;
3, nothing was changed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final, TextIO

from bzzz_core.clock import SystemClock
from bzzz_core.deploy.events import Event, Refusal, Status, Step, Summary
from bzzz_core.deploy.exits import (
    EXIT_INTERRUPTED,
    EXIT_PARTIAL,
    EXIT_PREFLIGHT,
    EXIT_USAGE,
)
from bzzz_core.deploy.interrupt import terminable, unheard
from bzzz_core.deploy.lines import AT_ONCE_S_MAX, END_S_MAX, Lines, complain
from bzzz_core.deploy.unforeseen import foreseen
from bzzz_core.errors import BzzzError, plainly
from bzzz_core.ports import Clock

_NOTHING: Final = Summary(hosts=(), exit_code=0, elapsed_ms=0)
_ACTING: Final = frozenset({Status.STARTED, Status.CHANGED, Status.ROLLED_BACK})


class Report:
    """A sink that keeps the summaries of the runs behind it back, and makes one of them."""

    def __init__(self, out: TextIO | None, *, as_json: bool, clock: Clock | None = None) -> None:
        """Take where events go.

        Args:
            out: Where they are printed; None: nowhere, standard output was closed, say.
            as_json: Whether as JSON.
            clock: For the times that people read.
        """
        self._lines = Lines(out, as_json=as_json, clock=clock or SystemClock())
        self._kept: list[Summary] = []
        self._redactors: list[Callable[[str], str]] = []
        self._asked = False
        """Whether a host was asked anything."""
        self._touched = False
        """Whether something was begun on a host that may have changed it."""
        self._framed = False

    def __call__(self, event: Event) -> None:
        """Pass an event on, or keep it if it is a summary."""
        if isinstance(event, Summary):
            self._kept.append(event)
            self._touched |= any(host.changes for host in event.hosts)
            return
        if isinstance(event, Step) and event.host:
            self._asked = True
            self._touched |= event.status in _ACTING
        self._lines(event)

    def cleaned_by(self, redact: Callable[[str], str]) -> None:
        """Have messages redacted by a run, which knows its secrets."""
        self._redactors.append(redact)

    def framed(self, work: Callable[[], int | None]) -> int:
        """Do the work, end with the summary, and return its exit code; in a frame, only work.

        Args:
            work: Returns the exit code; None: by what the runs say.
        """
        if self._framed:
            code = work()
            return self.worst if code is None else code
        self._framed = True
        failure: BzzzError | KeyboardInterrupt | None = None
        exit_code: int | None = None
        with terminable():
            try:
                with foreseen("this run", self._clean), plainly():
                    exit_code = work()
            except (BzzzError, KeyboardInterrupt) as exc:
                failure = exc
            with unheard():
                if isinstance(failure, BzzzError):
                    exit_code = self._fail(failure)
                elif failure is not None:
                    exit_code = self._interrupted()
                exit_code = self._end(self.worst if exit_code is None else exit_code)
            with suppress(KeyboardInterrupt):  # the run is over; the reader alone is waited for
                self._lines.end(END_S_MAX)
            return exit_code

    def settle(self) -> None:
        """Wait until all that was told has been printed, as long as the reader takes."""
        self._lines.settle()

    def refuse(self, refusal: Refusal) -> None:
        """Say why a run could not be, or not go on."""
        self._lines.settle(AT_ONCE_S_MAX)  # what came before it is said before it
        complain(refusal.message)
        self._lines(refusal)

    def cut_off(self) -> None:
        """End at once, in the middle of the work: what remains is left as it is."""
        self._end(self._interrupted())
        self._lines.end(AT_ONCE_S_MAX)

    @property
    def ended(self) -> bool:
        """Return whether a run said how it ended."""
        return bool(self._kept)

    @property
    def worst(self) -> int:
        """Return the exit code that the runs say together."""
        codes = [summary.exit_code for summary in self._kept]
        if EXIT_INTERRUPTED in codes:
            return EXIT_INTERRUPTED
        if len(codes) == 1:
            return codes[0]
        return EXIT_PARTIAL if any(codes) else 0

    def _fail(self, exc: BzzzError) -> int:
        self.refuse(Refusal(exc.code, self._clean(str(exc))))
        return self.worst or (EXIT_PARTIAL if self._touched else exc.exit_code)

    def _interrupted(self) -> int:
        self._lines.settle(AT_ONCE_S_MAX)
        complain("interrupted; run the same command again to continue")
        return EXIT_INTERRUPTED

    def _clean(self, text: str) -> str:
        for redact in self._redactors:
            text = redact(text)
        return text

    def _end(self, exit_code: int) -> int:
        """Send the one summary and return its exit code."""
        if exit_code in {EXIT_USAGE, EXIT_PREFLIGHT} and self._touched:
            exit_code = EXIT_PARTIAL
        elif exit_code == EXIT_USAGE and self._asked:
            exit_code = EXIT_PREFLIGHT
        leader = next((one for one in self._kept if one.leader), _NOTHING)
        self._lines(
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
