"""What the core needs from the world, as Protocols. Adapters and fakes satisfy them by shape.

Rules: no implementation here; a method's docstring is its contract, the same for every adapter, and
the conformance suite (`tests/integration/test_fabric_conformance.py`) holds each adapter to it.
What is stored (keys, logs, blobs) has its ports in `storage_ports`; they are exported here too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bzzz_core.model import FabricState, Revision, StreamId, Vote
from bzzz_core.storage_ports import (
    BLOB_BYTES_MAX,
    VALUE_BYTES_MAX,
    BlobInfo,
    Blobs,
    Change,
    KeyValue,
    Log,
    LogEntry,
    Record,
    Subscription,
    Watch,
)

__all__ = [
    "BLOB_BYTES_MAX",
    "VALUE_BYTES_MAX",
    "BlobInfo",
    "Blobs",
    "Change",
    "Clock",
    "Dht",
    "Fabric",
    "Guard",
    "KeyValue",
    "Log",
    "LogEntry",
    "Message",
    "Record",
    "Records",
    "Signer",
    "Subscription",
    "VoteStore",
    "Watch",
]


class Clock(Protocol):
    """The passage of time on this node; never wall-clock time."""

    def now_ms(self) -> int:
        """Return monotonic milliseconds from an arbitrary origin."""
        ...

    async def sleep_ms(self, duration_ms: int) -> None:
        """Return no sooner than `duration_ms` from now."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it came from the fabric; every byte of it is untrusted input."""

    subject: str
    data: bytes
    reply: str = ""
    """The inbox where the sender waits for an answer; empty if it does not.

    Adapters leave it empty when the sender named anything but an inbox: to answer there would let
    it speak with our rights. Answer with `Fabric.reply`.
    """
    trace: str = ""
    """Of the request that the sender works for while it waits; empty if it names none."""


class Fabric(Protocol):
    """Publish/subscribe with subjects in dotted tokens; `*` matches one token, `>` the rest.

    Delivery is at most once and in order per publisher. Anything that must not be lost goes through
    `Records`.
    """

    @property
    def state(self) -> FabricState:
        """Return how well this node is attached right now."""
        ...

    async def publish(self, subject: str, data: bytes) -> None:
        """Hand `data` to the fabric; returns before anyone received it.

        If the broker refuses the subject, that is logged and counted, not raised: the word comes
        after this call has returned.

        Raises:
            TransportError: Not attached, and not even buffered.
        """
        ...

    async def subscribe(self, subject: str, handler: Callable[[Message], None]) -> Subscription:
        """Call `handler` for each message, one at a time, in order.

        The handler must not block and must not raise; interest survives reconnects. Publishers at
        other brokers learn of it a moment later; what they publish before is not delivered.

        Raises:
            PermissionDenied: This node may not hear the subject.
        """
        ...

    async def request(self, subject: str, data: bytes, *, timeout_ms: int) -> bytes:
        """Publish with a place to answer to, and return the first answer.

        While the fabric is being attached this waits for it, within the same time. If the caller
        works for a request (`telemetry.tracing`), whoever hears the message learns its trace.

        Raises:
            NoResponders: Nobody listens on the subject; known at once.
            PermissionDenied: This node may not publish there; known at once.
            RequestTimeout: It was sent, and no answer came in time.
            TransportError: It was not sent.
        """
        ...

    async def reply(self, message: Message, data: bytes) -> None:
        """Answer a message that a `request` published; returns before the asker has it.

        Raises:
            ValueError: Nobody waits for an answer.
            TransportError: Not attached.
        """
        ...


@dataclass(frozen=True, slots=True)
class Guard:
    """A condition the store checks in the same step as the write: `key` is still at `revision`.

    A guard on the key being written is compare-and-set. A guard on another key is a fence, and
    there `revision` 0 is refused: JetStream accepts it whatever the other key holds (measured).
    """

    key: str
    revision: Revision


class Records(Protocol):
    """Quorum-durable records of one stream, each write guarded."""

    @property
    def stream(self) -> StreamId:
        """Return the identity of the stream, known once `open` has returned."""
        ...

    async def read(self, key: str) -> Record | None:
        """Return the last record as the stream's leader knows it, or None.

        An isolated ex-leader may answer with old data: use it to learn, never to decide leadership.

        Raises:
            QuorumUnavailable: No leader of the stream answered in time.
        """
        ...

    async def write(
        self, key: str, value: bytes, guard: Guard, *, request_id: str | None = None
    ) -> Revision:
        """Write durably if the guard holds and return the new revision.

        Args:
            key: What is written; it replaces the record's last value.
            value: At most 1 MiB less the headers.
            guard: What must still hold.
            request_id: Unique name of this write. Trying again under the same name within two
                minutes writes once, and returns the revision of the first time.

        Raises:
            RevisionConflict: The guard does not hold; nothing was written.
            StreamBusy: Another guarded write is in flight; nothing was written.
            RequestTimeout: No answer; the write may still have happened, so read it back.
            QuorumUnavailable: The stream has no leader; nothing was acknowledged.
            CapacityExceeded: The store is nearly full and the value is large; nothing was written.
            ValueError: The guard is a fence (on another key) at revision 0.
        """
        ...


class Dht(Protocol):
    """Values under keys of any text, and who provides what; the last writer wins.

    `timeout_ms` bounds each call, None stands for the table's own deadline, and every call may be
    cancelled; a write that was cut off may still have happened.

    Raises, by every method:
        EntryRefused: Key, value or provider's name is empty, too large or no text.
        RequestTimeout: No answer in time.
        QuorumUnavailable: No majority of the brokers; nothing was acknowledged.
        TransportError: The fabric cannot be reached.
    """

    async def put_value(self, key: str, value: bytes, *, timeout_ms: int | None = None) -> None:
        """Store a value of at most `VALUE_BYTES_MAX` bytes, whatever was there."""
        ...

    async def get_value(self, key: str, *, timeout_ms: int | None = None) -> bytes:
        """Return a value; one that another node wrote a moment ago may not be seen yet.

        Raises:
            KeyNotFound: Nothing is stored under the key.
        """
        ...

    async def provide(self, key: str, provider_id: str, *, timeout_ms: int | None = None) -> None:
        """Tell everybody that `provider_id` has what belongs to the key.

        This node renews that by itself for as long as it runs, or until `withdraw`; afterwards it
        expires.
        """
        ...

    async def withdraw(self, key: str, provider_id: str, *, timeout_ms: int | None = None) -> None:
        """Take back what this node told by `provide`, told or not."""
        ...

    async def find_providers(self, key: str, *, timeout_ms: int | None = None) -> list[str]:
        """Return the providers that some node tells of, sorted; none is an empty list."""
        ...


class Signer(Protocol):
    """The node's own signing key."""

    @property
    def public_key(self) -> bytes:
        """Return the Ed25519 public key, 32 bytes raw."""
        ...

    def sign(self, context: bytes, payload: bytes) -> bytes:
        """Return a 64-byte signature over the domain-separating `context` and `payload`."""
        ...


class VoteStore(Protocol):
    """Where a voter remembers its last vote across restarts."""

    def load(self) -> Vote | None:
        """Return the last vote, an empty one (term 0) on the first start; None if it was lost."""
        ...

    def save(self, vote: Vote) -> None:
        """Make the vote durable (file and directory fsynced) before returning.

        Raises:
            OSError: It is not durable; the ballot must not leave.
        """
        ...
