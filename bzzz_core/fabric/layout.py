"""Names on the wire: subjects, the control stream, and who may use which.

One place for both ends of the rule: the broker's permissions are written from here, and the record
adapter spells its subjects from here. A node's rights follow from two facts, its id and whether it
is a voter; nothing else is configurable, so nothing can be configured wrong.

A guard protects records against deposed leaders, not against a hostile voter: whoever holds a
voter's key may publish below `bz.control` without a guard. The threat model trusts voters this far.
"""

from __future__ import annotations

from dataclasses import dataclass

from bzzz_core.model import NodeId
from bzzz_core.telemetry import tracing

CONTROL_STREAM = "BZZZ_CONTROL"
CONTROL_PREFIX = "bz.control"
CONTROL_KEPT = 16
"""How many values of each record the control stream keeps, the last one included; brokers drop what
is older. One would do for BZZZ. The others are for people who mend what went wrong, and each costs
up to 3 MB (all records at their largest)."""
CONTROL_SHARE = 0.5
"""Of a voter's store, as a bucket's; see `control_bytes_max`."""
LEADER_SUBJECT = "bz.leader"
"""Where a leader tells everybody that it serves, with its certificate (`election.post`)."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """Subjects that one identity may use; everything else is refused by the broker."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


_LAST_VALUES = {"max_msgs_per_subject": 1, "discard": "new", "allow_msg_ttl": True}
"""How a stream keeps one value of each subject, some of them for a time only."""


def _settings(subjects: str, replicas: int) -> dict[str, object]:
    """Return what the streams of buckets, logs and blobs have in common.

    Roll-up headers and purging are forbidden: with them one write can wipe the stream.
    """
    return {
        "subjects": [subjects],
        "retention": "limits",
        "storage": "file",
        "num_replicas": replicas,
        "allow_rollup_hdrs": False,
        "deny_delete": True,
        "deny_purge": True,
        "allow_direct": True,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket of keys; voters use it, edges ask the leader (`bzzz_core.asked_buckets`)."""

    name: str
    share: float
    """Of a voter's store; the broker reserves it, so all shares together stay well below 1."""
    bytes_max: int
    """Whatever the share is."""
    own_last: bool = False
    """Whether keys have two tokens, of which the second is the id of the node that writes them.

    The leader sees to it for edges. A voter may lead, so it may write for every node.
    """

    @property
    def stream(self) -> str:
        """Return the name of its stream."""
        return f"KV_{self.name}"

    @property
    def prefix(self) -> str:
        """Return what stands before keys in subjects."""
        return f"$KV.{self.name}"

    @property
    def writable(self) -> str:
        """Return the subjects that a voter may write."""
        return f"{self.prefix}.*.*" if self.own_last else f"{self.prefix}.>"

    def settings(self, replicas: int, store_bytes_max: int) -> dict[str, object]:
        """Return how its stream is created."""
        return {
            **_settings(f"{self.prefix}.>", replicas),
            **_LAST_VALUES,
            "max_bytes": min(int(self.share * store_bytes_max) or -1, self.bytes_max),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LogStream:
    """A log that voters append to; the oldest entries go when it is full."""

    name: str
    share: float
    """Of a voter's store, as a bucket's."""

    @property
    def stream(self) -> str:
        """Return the name of its stream."""
        return f"BZZZ_LOG_{self.name}"

    @property
    def subject(self) -> str:
        """Return the subject of its entries."""
        return f"bz.log.{self.name}"

    def settings(self, replicas: int, store_bytes_max: int) -> dict[str, object]:
        """Return how its stream is created."""
        return {
            **_settings(self.subject, replicas),
            "max_bytes": int(self.share * store_bytes_max) or -1,
            "discard": "old",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobStore:
    """Blobs, in pieces, and what is known of each."""

    name: str
    share: float
    """Of a voter's store, as a bucket's."""

    @property
    def stream(self) -> str:
        """Return the name of its stream."""
        return f"BZZZ_BLOBS_{self.name}"

    @property
    def prefix(self) -> str:
        """Return what stands before its subjects."""
        return f"bz.blob.{self.name}"

    def meta(self, name: str) -> str:
        """Return the subject of what is known of a blob."""
        return f"{self.prefix}.m.{name}"

    def piece(self, blob_id: str, number: int) -> str:
        """Return the subject of a piece."""
        return f"{self.prefix}.c.{blob_id}.{number}"

    def pieces(self, blob_id: str) -> str:
        """Return the pattern of all pieces of a blob; of every blob with `*`."""
        return f"{self.prefix}.c.{blob_id}.*"

    def settings(self, replicas: int, store_bytes_max: int) -> dict[str, object]:
        """Return how its stream is created."""
        return {
            **_settings(f"{self.prefix}.>", replicas),
            **_LAST_VALUES,
            "max_bytes": int(self.share * store_bytes_max) or -1,
        }


DHT = Bucket(name="dht", share=0.25, bytes_max=1 << 30)
"""Values of the distributed hash table; any node may overwrite any of them."""
PROVIDERS = Bucket(name="prov", share=0.05, bytes_max=1 << 26, own_last=True)
"""Who has what: `<key>.<node>`."""
BUCKETS = (DHT, PROVIDERS)


def control_settings(replicas: int, kept: int, prefix: str = CONTROL_PREFIX) -> dict[str, object]:
    """Return how the control stream is created.

    It has no `max_bytes`: a clustered stream that is full refuses every write, the one that would
    replace a value by a smaller one included, and the term's too (measured). `fabric.room` keeps
    the large records away from the end of the store instead.
    """
    return {
        "subjects": [f"{prefix}.>"],
        "retention": "limits",
        "storage": "file",
        "num_replicas": replicas,
        "max_msgs_per_subject": kept,
        "discard": "new",
        "deny_delete": True,
        "allow_direct": False,
    }


def control_bytes_max(store_bytes_max: int) -> int:
    """Return how many bytes the control stream may hold before large records are refused.

    A broker whose store is full gives JetStream up: then no term can be opened (measured). What is
    left beside this and the buckets is for terms and other small records.
    """
    return int(CONTROL_SHARE * store_bytes_max)


INBOX = "_INBOX."
"""Answers go below this and nowhere else. The node's id is a token of its own, so that voters may
be allowed to answer everybody: the broker's wildcards stand for whole tokens."""


def inbox_prefix(node: NodeId) -> str:
    """Return the prefix of the subjects on which a node, and only it, hears answers."""
    return f"{INBOX}{node}"


def answer_subject(prefix: str, number: int) -> str:
    """Return where one answer is expected; it names the trace of the request at work, if any.

    The address for the answer is the one part of a message that every release sends back as it
    came: headers are refused by whoever hears a message of a node (`fabric.link`), and the body
    belongs to the operation.
    """
    trace = tracing.current().trace
    return f"{prefix}.{number}-{trace}" if trace else f"{prefix}.{number}"


def trace_of(reply: str) -> str:
    """Return the trace that an address for an answer names; empty if it names none."""
    return tracing.valid_trace(reply.rpartition("-")[2])


def lead_subject(asker: NodeId, operation: str) -> str:
    """Return where `asker` puts a question to the leader; `*` for either hears all of them."""
    return f"bz.lead.{asker}.{operation}"


def audit_subject(holder: NodeId, asker: NodeId) -> str:
    """Return where `asker` speaks with one voter about audits; `*` for the asker hears all."""
    return f"bz.audit.{holder}.{asker}"


def stream_api(verb: str, stream: str) -> str:
    """Return the subject of one JetStream request about one stream."""
    return f"$JS.API.STREAM.{verb}.{stream}"


def direct_api(stream: str) -> str:
    """Return the subject on which every replica of a stream answers, whichever is near."""
    return f"$JS.API.DIRECT.GET.{stream}"


def _bucket_permissions(bucket: Bucket) -> Permissions:
    verbs = ("INFO", "MSG.GET", "CREATE", "UPDATE", "LEADER.STEPDOWN")
    return Permissions(
        publish=(
            bucket.writable,
            direct_api(bucket.stream),
            *(stream_api(verb, bucket.stream) for verb in verbs),
        ),
        subscribe=(f"{bucket.prefix}.>",),
    )


def permissions(node: NodeId, *, voter: bool) -> Permissions:
    """Return what a node may publish and hear.

    An edge may publish to no subject that JetStream answers: it names the subject of the answer,
    and the broker does not look whether it may publish there.
    """
    allowed = _node_permissions(node, voter=voter)
    buckets = [_bucket_permissions(bucket) for bucket in BUCKETS] if voter else []
    return Permissions(
        publish=(*allowed.publish, *(s for bucket in buckets for s in bucket.publish)),
        subscribe=(*allowed.subscribe, *(s for bucket in buckets for s in bucket.subscribe)),
    )


def _node_permissions(node: NodeId, *, voter: bool) -> Permissions:
    inbox = f"{inbox_prefix(node)}.>"
    if not voter:
        # An edge reports itself, asks the leader, and hears digests.
        return Permissions(
            publish=(
                f"bz.beat.{node}",
                lead_subject(node, ">"),
                audit_subject(NodeId("*"), node),
                inbox,
            ),
            subscribe=("bz.digest.*", LEADER_SUBJECT, inbox),
        )
    verbs = ("INFO", "CREATE", "UPDATE", "MSG.GET", "LEADER.STEPDOWN")
    return Permissions(
        publish=(
            "bz.el.all",
            "bz.el.to.*",
            LEADER_SUBJECT,
            f"bz.beat.{node}",
            f"bz.digest.{node}",
            f"{CONTROL_PREFIX}.>",
            *(stream_api(verb, CONTROL_STREAM) for verb in verbs),
            lead_subject(node, ">"),
            audit_subject(NodeId("*"), node),
            f"{INBOX}*.>",
        ),
        subscribe=(
            "bz.el.all",
            f"bz.el.to.{node}",
            LEADER_SUBJECT,
            "bz.beat.*",
            "bz.digest.*",
            lead_subject(NodeId("*"), "*"),
            audit_subject(node, NodeId("*")),
            inbox,
        ),
    )
