"""Every metric of an agent: its name, kind, labels and meaning. Pure data.

Names follow the conventions of Prometheus: base units (seconds, bytes, ratios from 0 to 1), and
`_total` behind what only grows. What exists once per process has the names that Prometheus' own
libraries give it (`process_*`).

Rules: a label has few values, all of them known to this source or bounded by the cluster's shape
(voters: at most five). No node ids, no addresses, no text that somebody else writes. Members that
are no voters are counted by state, not named: an alert that is found here names them (`subjects`),
Prometheus learns how many there are. `docs/formats/metrics.md` lists what stands here; a test holds
the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["gauge", "counter", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    name: str
    """As it is exported; a counter's ends in `_total`."""
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    def at(self, value: float, *labels: str, subjects: Sequence[str] = ()) -> Reading:
        """Return what it reads now, the labels' values in their order."""
        assert len(labels) == len(self.labels), f"{self.name} has the labels {self.labels}"
        return Reading(self, float(value), labels, tuple(subjects))

    def boxes(self, counts: Boxes, *labels: str) -> Reading:
        """Return what a histogram reads now."""
        assert len(labels) == len(self.labels), f"{self.name} has the labels {self.labels}"
        return Reading(self, counts.total, labels, boxes=counts)


@dataclass(frozen=True, slots=True)
class Boxes:
    """A histogram: how many values lie at or below each bound."""

    bounds: tuple[float, ...]
    """Ascending; the box above the last one is not named."""
    counts: tuple[int, ...]
    """One for each bound, and one for what lies above; not added up."""
    total: float
    """Of all values."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric at one moment."""

    metric: Metric
    value: float
    """Of a histogram: the sum."""
    labels: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    """Names of what was counted, for alerts on this node; not exported."""
    boxes: Boxes | None = None


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, "gauge", text, labels)


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, "counter", text, labels)


BUILD_INFO: Final = _gauge(
    "bzzz_build_info", "1; what runs here.", "version", "python_version", "cluster", "node"
)
UPTIME: Final = _gauge("bzzz_uptime_seconds", "For how long the agent has run.")

CPU_SECONDS: Final = _counter(
    "process_cpu_seconds_total", "CPU time of the agent, user's and system's."
)
RESIDENT: Final = _gauge("process_resident_memory_bytes", "Memory of the agent.")
OPEN_FDS: Final = _gauge("process_open_fds", "Open file descriptors of the agent.")
MAX_FDS: Final = _gauge("process_max_fds", "Most file descriptors that the agent may open.")
THREADS: Final = _gauge("process_threads", "Threads of the agent.")
LOOP_LAG: Final = _gauge(
    "bzzz_event_loop_lag_seconds", "Longest delay of the event loop in the last 15 s."
)
LOOP_STALLS: Final = _counter(
    "bzzz_event_loop_stalls_total", "Delays of the event loop of more than 0.1 s."
)
MEMORY_USED: Final = _gauge(
    "bzzz_host_memory_used_ratio", "Part of the machine's memory that is in use."
)
DISK_USED: Final = _gauge(
    "bzzz_disk_used_ratio", "Part of a directory's file system that is in use.", "directory"
)

TERM: Final = _gauge("bzzz_term", "Term that this node knows; 0: none yet.")
LEADER: Final = _gauge("bzzz_leader", "1 on the node that leads and serves; sums to 1.")
ROLE: Final = _gauge(
    "bzzz_role", "1 for the role this node has: leader, follower, candidate, edge.", "role"
)
LEADER_KNOWN: Final = _gauge(
    "bzzz_leader_known", "1 while this node knows a leader that serves, else 0."
)
LEADER_CHANGES: Final = _counter(
    "bzzz_leader_changes_total", "Leaders of a newer term that this node has learnt of."
)
LEADERSHIPS_ENDED: Final = _counter(
    "bzzz_leaderships_ended_total", "Leaderships of this node that ended, by reason.", "reason"
)
ELECTIONS_FAILED: Final = _counter(
    "bzzz_elections_failed_total", "Polls of this node that found no majority."
)
VOTES: Final = _counter(
    "bzzz_votes_total",
    "Candidates answered by this node: given, or why the vote was refused.",
    "answer",
)
REJECTED: Final = _counter(
    "bzzz_election_messages_rejected_total",
    "Messages of elections that did not hold, by offence.",
    "offence",
)
QUARANTINED: Final = _gauge("bzzz_voters_quarantined", "Voters whose votes this node ignores.")
VOTERS: Final = _gauge("bzzz_voters", "Committed voters.")
VOTERS_ALIVE: Final = _gauge("bzzz_voters_alive", "Committed voters held for alive here.")
VOTERS_SPARE: Final = _gauge(
    "bzzz_voters_spare", "Voters alive beyond the majority; below 0 nothing can be decided."
)

MEMBERS: Final = _gauge("bzzz_members", "Nodes of the cluster by what this node believes.", "state")
VERSIONS: Final = _gauge("bzzz_versions", "Different releases that the living nodes run.")
VOTER_RTT: Final = _gauge("bzzz_voter_rtt_seconds", "There and back to another voter.", "voter")
ROSTER_MESSAGES: Final = _counter(
    "bzzz_roster_messages_total", "Beats, digests and pages of the roster, by kind.", "kind"
)

FABRIC_STATE: Final = _gauge(
    "bzzz_fabric_state",
    "1 for the state this node's connection has: connecting, connected, degraded, lost.",
    "state",
)
FABRIC_CONNECTIONS: Final = _counter(
    "bzzz_fabric_connections_total", "Connections to brokers made so far.", "backend"
)
FABRIC_ERRORS: Final = _counter(
    "bzzz_fabric_errors_total", "What went wrong on the fabric, by kind.", "backend", "kind"
)
FABRIC_BYTES: Final = _counter(
    "bzzz_fabric_bytes_total", "Payload sent and received.", "backend", "direction"
)
FABRIC_MESSAGES: Final = _counter(
    "bzzz_fabric_messages_total", "Messages sent and received.", "backend", "direction"
)
FABRIC_RTT: Final = _gauge("bzzz_fabric_rtt_seconds", "There and back to the broker in use.")

BROKER_HEALTHY: Final = _gauge("bzzz_broker_healthy", "1 while this node's broker says it is well.")
BROKER_STORE: Final = _gauge("bzzz_broker_store_bytes", "What this node's broker stores.")
BROKER_STORE_USED: Final = _gauge(
    "bzzz_broker_store_used_ratio", "Part of resources.store_bytes_max that the broker has filled."
)
STREAM_BYTES: Final = _gauge("bzzz_stream_bytes", "Size of a stream; told by the leader.", "stream")
STREAM_USED: Final = _gauge(
    "bzzz_stream_used_ratio",
    "Part of what the control stream may hold; told by the leader.",
    "stream",
)
REPLICAS: Final = _gauge(
    "bzzz_stream_replicas", "Copies that a stream is to have; told by the leader.", "stream"
)
REPLICAS_MISSING: Final = _gauge(
    "bzzz_stream_replicas_missing",
    "Copies that are not there or not complete; told by the leader.",
    "stream",
)

LANE_WRITES: Final = _counter(
    "bzzz_lane_writes_total", "What this node wrote as leader: messages, entries, records.", "kind"
)
LANE_SECONDS: Final = Metric(
    "bzzz_lane_write_seconds", "histogram", "From the first attempt of a write to its answer."
)
LANE_ERRORS: Final = _counter(
    "bzzz_lane_errors_total", "Attempts to write as leader that failed, by code.", "code"
)
LANE_WAITING: Final = _gauge(
    "bzzz_lane_waiting_seconds", "Age of the leader's write that waits for its answer."
)
LANE_DEPOSED: Final = _counter(
    "bzzz_lane_deposed_total", "Lanes that ended because another leader had taken over."
)

DHT_OPERATIONS: Final = _counter(
    "bzzz_dht_operations_total", "Operations of the hash table, by who served them.", "side"
)
DHT_ERRORS: Final = _counter(
    "bzzz_dht_errors_total", "Operations of the hash table that failed.", "side"
)
DHT_FALLBACKS: Final = _counter(
    "bzzz_dht_fallbacks_total", "How often this node began to serve by itself."
)
DHT_RECOVERIES: Final = _counter(
    "bzzz_dht_recoveries_total", "How often it gave its writes back to the cluster."
)
DHT_CONFLICTS: Final = _counter(
    "bzzz_dht_conflicts_total", "Writes that met somebody else's when they were given back."
)
DHT_FALLBACK: Final = _gauge(
    "bzzz_dht_fallback_active", "1 while this node serves the hash table by itself."
)
DHT_QUEUED: Final = _gauge("bzzz_dht_queued_writes", "Writes that wait for the cluster.")
DHT_QUEUED_BYTES: Final = _gauge("bzzz_dht_queued_bytes", "Their size.")

REGISTRY_VERSION: Final = _gauge("bzzz_registry_version", "Version of the list of nodes.")
CONFIG_REVISION: Final = _gauge(
    "bzzz_config_revision", "Number of the cluster-wide configuration that this node has."
)
CERTIFICATE_EXPIRY: Final = _gauge(
    "bzzz_certificate_expiry_seconds",
    "Time until a certificate of this node ends; below 0: it has ended.",
    "certificate",
)
CERTIFICATE_LEFT: Final = _gauge(
    "bzzz_certificate_life_left_ratio",
    "Part of a certificate's life that is left; renewal begins at 1/3.",
    "certificate",
)
ENROLMENT: Final = _counter(
    "bzzz_enrolment_events_total", "Joins, renewals, removals and refusals, by kind.", "kind"
)
LEADER_QUESTIONS: Final = _counter(
    "bzzz_leader_questions_total", "Questions that this node was asked as leader.", "outcome"
)

AUDIT_ENTRIES: Final = _counter("bzzz_audit_entries_total", "Acts written into the audit.")
AUDIT_LOST: Final = _counter(
    "bzzz_audit_lost_total", "Acts that are in no audit, because too many waited for the disk."
)
AUDIT_FAILURES: Final = _counter(
    "bzzz_audit_write_failures_total",
    "Writes of the audit that the disk refused; what they held is kept and tried again.",
)
AUDIT_CONFLICTS: Final = _gauge(
    "bzzz_audit_contradictions",
    "Contradictions of audits that this node knows of and nobody has accepted.",
)
LOG_LINES: Final = _counter(
    "bzzz_log_lines_total", "Lines written into the log.", "level", "component"
)
API_REQUESTS: Final = _counter(
    "bzzz_api_requests_total", "Requests that the API has answered.", "route", "method", "status"
)
API_SECONDS: Final = Metric(
    "bzzz_api_request_seconds",
    "histogram",
    "From the request to the end of the answer.",
    ("route",),
)
API_DENIED: Final = _counter(
    "bzzz_api_denied_total", "Requests that were not let in: token, permission, rate."
)
EVENT_READERS: Final = _gauge("bzzz_event_readers", "Readers of /v1/events.")
HEALTH_CHECK: Final = _gauge(
    "bzzz_health_check", "1 for the outcome that a health check had last.", "check", "state"
)
CLOCK_SKEW: Final = _gauge(
    "bzzz_clock_skew_seconds", "How far this node's clock is from the true time or the others'."
)
ALERTS: Final = _gauge("bzzz_alerts", "Alerts that this node has found.", "severity")
HALTED: Final = _gauge("bzzz_halted", "1 while work is stopped on this node.")
HALT_REVISION: Final = _gauge("bzzz_halt_revision", "Number of the last decision to stop or go on.")
SERIES_DROPPED: Final = _gauge(
    "bzzz_metrics_series_dropped", "Series left out of this answer because there were too many."
)

ALL: Final[tuple[Metric, ...]] = tuple(
    found for found in list(globals().values()) if isinstance(found, Metric)
)
"""In the order above."""
