"""The messages of `/v1/events` and the documents in them, for servers, clients and recordings.

A reader gets one `Snapshot`, then a `Delta` for each change. Documents lie in *collections*, by id:

    status   one, under `self`: `Status` without its members
    members  `MemberStatus` by node id
    checks   `CheckDocument` by name
    alerts   `AlertDocument` by id
    halt     one, under `self`: `HaltDocument`

A delta builds on the revision `previous`. Whoever holds another one, or another epoch (the life of
the agent that counts), asks for a snapshot. Lines of the log are no state: they come as `Lines`,
only to those who asked for them. Documents stay encoded until somebody wants them, so a reader
passes over collections that it does not know.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from bzzz_core.model import Count, NodeId, Text
from bzzz_core.telemetry.log_line import LogLevel as LogLevel  # noqa: PLC0414  part of this contract
from bzzz_core.telemetry.log_line import LogLine as LogLine  # noqa: PLC0414  part of this contract
from bzzz_core.telemetry.log_line import Words as Words  # noqa: PLC0414  part of this contract

SELF: Final = "self"
"""Id of the only document of a collection."""
STATUS: Final = "status"
MEMBERS: Final = "members"
CHECKS: Final = "checks"
ALERTS: Final = "alerts"
HALT: Final = "halt"
LOGS: Final = "logs"
"""A topic, not a collection."""
TOPICS: Final = (STATUS, MEMBERS, CHECKS, ALERTS, HALT, LOGS)

Severity: TypeAlias = Literal["info", "warning", "critical"]
CheckState: TypeAlias = Literal["ok", "warning", "critical", "unknown"]
Documents: TypeAlias = dict[str, dict[str, msgspec.Raw]]


class CheckDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One health check of the answering node, and what came of it the last time."""

    name: Text
    state: CheckState
    words: Words
    """What was found, with figures; where it is not well, what to look at."""
    critical: bool
    """Whether the agent shuts itself down if this stays critical."""
    checked_at: Text | None
    """UTC; None before the first time."""
    took_ms: float | None
    failures: Count = 0
    """How many times in a row it was not well."""


class AlertDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that holds now, of one subject."""

    id: Text
    """Rule and subject: stays the same while the alert lasts."""
    rule: Text
    severity: Severity
    subject: Text
    """Name of the node, check or component it is about."""
    node: Text
    """The node that found it."""
    since_at: Text
    words: Words
    next_step: Words
    value: float | None = None
    threshold: float | None = None


class HaltDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Whether work is stopped everywhere, as this node knows it."""

    halted: bool
    by: Text = ""
    at: Text | None = None
    reason: Words = ""
    revision: Count = 0
    node: Text = ""
    """Name of the node where it was asked for."""
    local: bool = False
    """Whether this node has stopped by itself: the cluster has not decided that, or not yet."""


class LogPage(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /v1/logs`: lines in their order."""

    node: Text
    lines: tuple[LogLine, ...]
    next: Count
    """Ask with `after` = this for what follows."""
    lost: Count = 0
    """Lines after the number asked for that are no longer held."""
    life: Text = ""
    """Names the life of the agent in which lines have these numbers; another one counts anew."""
    complete: bool = True
    """Whether all was looked at that was asked for; False: there was too much for one question."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, tag="snapshot", tag_field="type"):
    """Everything, as of one revision."""

    epoch: Text
    revision: Count
    at: Text
    node: Text
    node_id: NodeId
    version: Text
    documents: Documents


class Delta(msgspec.Struct, frozen=True, kw_only=True, tag="delta", tag_field="type"):
    """What became different since revision `previous`."""

    epoch: Text
    revision: Count
    previous: Count
    at: Text
    changed: Documents = {}
    gone: dict[str, tuple[str, ...]] = {}


class Beat(msgspec.Struct, frozen=True, kw_only=True, tag="beat", tag_field="type"):
    """Nothing changed; the node is there."""

    epoch: Text
    revision: Count
    at: Text


class Lines(msgspec.Struct, frozen=True, kw_only=True, tag="lines", tag_field="type"):
    """What the node wrote into its log."""

    lines: tuple[LogLine, ...]
    lost: Count = 0
    """Lines before these that the reader will not get."""


class Bye(msgspec.Struct, frozen=True, kw_only=True, tag="bye", tag_field="type"):
    """The last message: why the agent ends this stream."""

    reason: Text
    words: Words


Message: TypeAlias = Snapshot | Delta | Beat | Lines | Bye
