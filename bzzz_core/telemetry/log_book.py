"""Takes each line of the log, makes it what may be kept, and hands it to whoever keeps it.

    logs.get("fabric").info(...)   --+                    +-- ring (API, events, monitor)
    Python's logging, warnings     --+--> LogBook.take ---+-- file (a thread writes it)
                                                          +-- standard error (journald)

A line may come from any thread. Taking one costs some ten microseconds and never waits for a disk.
"""

from __future__ import annotations

import secrets
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import islice
from typing import IO, Final, Literal, cast

import msgspec

from bzzz_core.clock import utc_now
from bzzz_core.telemetry import components, tracing
from bzzz_core.telemetry.log_levels import LogLevels
from bzzz_core.telemetry.log_line import NAME_MAX, WORDS_MAX, LogLevel, LogLine
from bzzz_core.telemetry.log_ring import LogRing
from bzzz_core.telemetry.redaction import cleaned, cleaned_fields

_TRACE_PARTS_MAX: Final = 200
"""Parts of a traceback that are made into text: frames, causes, members of groups."""
_FIXED: Final = frozenset({"at", "node", "level", "component", "event", "trace"})
Put = Callable[[LogLine], None]


class LogBook:
    """The log of one process."""

    def __init__(self, *, now: Callable[[], str] = utc_now, ring: LogRing | None = None) -> None:
        """Keep lines in the ring only; `now` gives wall-clock UTC."""
        self.node = ""
        self.life = secrets.token_hex(4)
        """Names this life of the process: another one numbers its lines anew."""
        self.levels = LogLevels()
        self.ring = ring or LogRing()
        self.file: Put | None = None
        """Takes lines for the file; None: there is none."""
        self.standard_error: IO[str] | Literal["as it is now"] | None = "as it is now"
        self.counted: Counter[tuple[str, str]] = Counter()
        """Lines so far, by level and component; whoever has no name of ours counts as `other`."""
        self._now = now

    def take(
        self,
        level: LogLevel,
        component: str,
        text: str,
        fields: Mapping[str, object],
        exception: BaseException | None = None,
    ) -> None:
        """Keep one line; whether it is wanted was asked before."""
        values = cleaned_fields(fields, characters_max=WORDS_MAX)
        if exception is not None:
            values["exception"] = told(exception)
        at, trace = self._now(), tracing.current().trace
        self.counted[level, component if component in components.ALL else "other"] += 1
        component = component[:NAME_MAX]
        text = cleaned(text, characters_max=WORDS_MAX)
        line = self.ring.add(
            lambda number: LogLine(
                number=number,
                at=at,
                node=self.node,
                level=level,
                component=component,
                text=text,
                trace=trace,
                fields=values,
            )
        )
        if self.file is not None:
            self.file(line)
        if self.standard_error is not None:
            self._say(line, fields)

    def _say(self, line: LogLine, fields: Mapping[str, object]) -> None:
        """Print a line as one flat object, numbers as numbers, for journald and `jq`."""
        flat: dict[str, object] = {}
        for name, text in line.fields.items():
            value = fields.get(name, text)
            number = isinstance(value, bool | int | float)
            flat[f"field_{name}" if name in _FIXED else name] = value if number else text
        flat |= {"event": line.text, "component": line.component, "node": line.node}
        flat |= {"level": line.level, "at": line.at}
        if line.trace:
            flat["trace"] = line.trace
        stream = sys.stderr if self.standard_error == "as it is now" else self.standard_error
        try:
            out = cast("IO[str]", stream)
            out.write(msgspec.json.encode(flat).decode() + "\n")
            out.flush()
        except (OSError, ValueError, AttributeError):
            return  # Nobody listens there any more; that is no reason for anything else to fail.


def told(exception: BaseException) -> str:
    """Return an exception with its traceback as a text of bounded length, without variables."""
    told_by = traceback.TracebackException.from_exception(exception, compact=True)
    text = "".join(islice(told_by.format(), _TRACE_PARTS_MAX))
    return cleaned(text.rstrip(), characters_max=WORDS_MAX, lines=True)
