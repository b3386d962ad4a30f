"""What a run reports while it goes on: frozen values, one JSON object each.

A sink receives them in order; it is called from the event loop and must not block. `elapsed_ms` is
the step's own time; nothing in an event is secret (the runner redacts every text it did not write
itself). The last event of a run is a `Summary`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Literal

import msgspec

from bzzz_core.deploy.change import Change


class Status(StrEnum):
    """How far a step is."""

    STARTED = "started"
    PROGRESS = "progress"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    """Checked, and nothing had to be done."""
    FAILED = "failed"
    ROLLED_BACK = "rolled back"
    """The host runs the release again that it ran before."""
    SKIPPED = "skipped"
    """Not attempted, because of something that happened before."""


class Result(StrEnum):
    """How a host came out of a run."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    ROLLED_BACK = "rolled back"
    """It runs the release again that it ran before."""
    SKIPPED = "not attempted"


class Step(msgspec.Struct, frozen=True, tag="step", tag_field="event", omit_defaults=True):
    """One phase on one host."""

    host: str
    """A host's name; "" for the cluster as a whole, or for this machine."""
    phase: str
    status: Status
    elapsed_ms: int = 0
    detail: str = ""
    """What happened, in words; with FAILED the reason and what to do."""
    quiet_ms: int = 0
    """With PROGRESS: how long what runs on the host has printed nothing."""


class Finding(msgspec.Struct, frozen=True, tag="finding", tag_field="event", omit_defaults=True):
    """What preflight noticed."""

    severity: Literal["error", "warning"]
    check: str
    host: str
    """"" for the cluster as a whole."""
    message: str
    fix: str = ""


class Planned(msgspec.Struct, frozen=True, tag="plan", tag_field="event"):
    """The plan, complete."""

    hash: str
    release: str
    operator: tuple[Change, ...]
    hosts: dict[str, tuple[Change, ...]]


class HostResult(msgspec.Struct, frozen=True):
    """One host's line of the summary."""

    name: str
    result: Result
    changes: int
    detail: str = ""
    """Why it did not come through; or, if it did, what a person should know of it."""


class Summary(msgspec.Struct, frozen=True, tag="summary", tag_field="event"):
    """How the run ended; always the last event."""

    hosts: tuple[HostResult, ...]
    exit_code: int
    elapsed_ms: int
    operator_changes: int = 0
    leader: str | None = None
    """The leader that all nodes named, if the cluster was verified."""
    term: int = 0


class Began(msgspec.Struct, frozen=True, tag="run", tag_field="event"):
    """A detached engine is at work; its first event. What was heard before belongs to no run."""

    run: str
    pid: int


class Refusal(msgspec.Struct, frozen=True, tag="error", tag_field="event"):
    """Why a run could not be, or not go on; a summary follows. Only in JSON."""

    code: str
    message: str


Event = Step | Finding | Planned | Summary | Began
Sink = Callable[[Event], None]
