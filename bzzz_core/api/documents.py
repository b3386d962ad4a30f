"""The documents of the API. Server and clients share these classes, so they cannot disagree.

`None` means "not known", never zero. Field names are the wire format: a change is a new field.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from bzzz_core.api.event_documents import CheckDocument
from bzzz_core.model import Count, FabricState, Gpu, MemberState, NodeId, Percent, Term, Text


class ClusterRef(msgspec.Struct, frozen=True):
    """Which cluster the node belongs to."""

    id: Text
    name: Text


class MemberStatus(msgspec.Struct, frozen=True):
    """One line of the roster as the answering node sees it."""

    name: Text
    node_id: NodeId
    state: MemberState
    voter: bool
    address: Text
    version: Text | None = None
    heard_ms_ago: Count | None = None
    """Age of the newest report; None if none was ever heard."""
    uptime_s: Count | None = None
    cpu_percent: Percent | None = None
    cpu_count: Count | None = None
    load_1m: Percent | None = None
    memory_used_bytes: Count | None = None
    memory_total_bytes: Count | None = None
    gpus: tuple[Gpu, ...] = ()
    broker: Text | None = None
    rtt_ms: float | None = None
    """There and back: from the answering node if both vote, else from the member to its broker."""
    models: tuple[Text, ...] = ()
    languages: tuple[Text, ...] = ()
    node_roles: tuple[Text, ...] = ()


class FabricStatus(msgspec.Struct, frozen=True):
    """How the answering node is attached to the fabric."""

    state: FabricState
    broker: Text | None
    """Server name of the broker this node is connected to."""
    stream_leader: Text | None
    """Node whose broker leads the control stream, if that is known."""
    voters: Count
    quorum: Count


class Status(msgspec.Struct, frozen=True):
    """`GET /v1/status`: one node's view of itself and the cluster."""

    node: Text
    node_id: NodeId
    version: Text
    at: Text
    uptime_s: Count
    cluster: ClusterRef
    leader: Text | None
    leader_id: NodeId | None
    leader_serving: bool
    """The leader's first guarded write was acknowledged by a majority."""
    leader_since_at: Text | None
    term: Term
    """0: no leader was ever seen."""
    role: Text
    members: tuple[MemberStatus, ...]
    fabric: FabricStatus
    alarms: tuple[Text, ...] = ()
    """What an operator has to look at on this node, in words."""


class Health(msgspec.Struct, frozen=True):
    """`GET /health/*`: ok, or why not."""

    status: Text
    reasons: tuple[Text, ...] = ()


class HealthReport(msgspec.Struct, frozen=True):
    """`GET /health/checks`: everything that the answering node knows of its health."""

    live: bool
    """The event loop answers, and the agent has not given up on itself."""
    ready: bool
    """It can do its part for the cluster now."""
    reasons: tuple[str, ...]
    """Why it is not both; empty if it is."""
    checks: tuple[CheckDocument, ...]


class ErrorBody(msgspec.Struct, frozen=True):
    """What went wrong, for programs (`code`) and for people (`message`)."""

    code: Text
    message: Annotated[str, msgspec.Meta(max_length=8_000)]
    request: Text = ""
    """The id of the request, as the log and `x-request-id` have it."""


class ErrorDocument(msgspec.Struct, frozen=True):
    """The body of every refusal."""

    error: ErrorBody
