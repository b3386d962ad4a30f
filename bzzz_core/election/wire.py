"""Election messages as bytes, and what must hold before one of them is believed.

Every message travels in an envelope that its sender signed, over (wire version, cluster, sender,
kind, payload), so the broker in between cannot invent or change one. `Wire.open` returns a message
only if

    - the sender is a member of the committed voter set and the signature is its own,
    - the payload has the form and the bounds of `messages`,
    - what the message says about its sender is true: a heartbeat is the leader's own and its record
      carries a valid certificate, a ballot is the sender's own and signed.

A replay gets through here and finds nothing to do: requests and answers name their term, revision
or round, and heartbeats count up.

Rules: bytes from outside raise `TrustError` and nothing else, whatever they are.
"""

from __future__ import annotations

import msgspec

from bzzz_core.election.ballot import verify_ballot, verify_certificate
from bzzz_core.election.messages import (
    WIRE_VERSION,
    Heartbeat,
    Message,
    Node,
    TermRecord,
    Text,
    VoteReply,
)
from bzzz_core.errors import TrustError
from bzzz_core.model import ClusterId, NodeId, StreamId, VoterSet
from bzzz_core.ports import Signer
from bzzz_core.trust import keys

ENVELOPE_CONTEXT = b"bzzz election message 1"
ENVELOPE_BYTES_MAX = 32_768


class Envelope(msgspec.Struct, frozen=True):
    """A message and who vouches for it."""

    wire: int
    sender: Node
    kind: Text
    payload: bytes
    signature: bytes


_encoder = msgspec.msgpack.Encoder()
_envelopes = msgspec.msgpack.Decoder(Envelope)
_messages = msgspec.msgpack.Decoder(Message)


class Wire:
    """Seals and opens the messages of one voter set."""

    def __init__(
        self,
        *,
        me: NodeId,
        cluster: ClusterId,
        stream: StreamId,
        voters: VoterSet,
        signer: Signer,
    ) -> None:
        """Take who we are and whom we believe."""
        self._me = me
        self._cluster = cluster
        self._stream = stream
        self._voters = voters
        self._signer = signer
        self._proven: TermRecord | None = None

    def seal(self, message: Message) -> bytes:
        """Return `message` in an envelope signed by this node."""
        kind = _kind(message)
        payload = _encoder.encode(message)
        signature = self._signer.sign(ENVELOPE_CONTEXT, self._signed(self._me, kind, payload))
        return _encoder.encode(Envelope(WIRE_VERSION, self._me, kind, payload, signature))

    def open(self, data: bytes) -> tuple[NodeId, Message]:
        """Return the proven sender and its message.

        Raises:
            TrustError: Too large, malformed, of an unknown version, not by a voter, forged, or
                claiming what its sender may not claim.
        """
        envelope = _parse(data)
        voter = self._voters.find(envelope.sender)
        if voter is None:
            raise TrustError(f"election message of {envelope.sender}, which is no voter")
        signed = self._signed(envelope.sender, envelope.kind, envelope.payload)
        keys.verify(voter.public_key, ENVELOPE_CONTEXT, signed, envelope.signature)
        try:
            message: Message = _messages.decode(envelope.payload)
        except (ValueError, RecursionError) as exc:
            raise TrustError(f"malformed {envelope.kind!r} of {envelope.sender}") from exc
        if envelope.kind != _kind(message):
            raise TrustError(f"{envelope.sender} signed a {envelope.kind!r} that is none")
        self._check(envelope.sender, message)
        return envelope.sender, message

    def prove(self, record: TermRecord) -> None:
        """Check a record's certificate; the one checked last is remembered.

        Raises:
            TrustError: It does not hold.
        """
        if record == self._proven:
            return
        verify_certificate(record, cluster=self._cluster, stream=self._stream, voters=self._voters)
        self._proven = record

    def _signed(self, sender: NodeId, kind: str, payload: bytes) -> bytes:
        return _encoder.encode((WIRE_VERSION, self._cluster, sender, kind, payload))

    def _check(self, sender: NodeId, message: Message) -> None:
        match message:
            case Heartbeat(leader=leader, record=record):
                if not sender == leader == record.leader or message.term != record.term:
                    raise TrustError(f"heartbeat of {sender} for the record of {record.leader}")
                if message.sequence <= record.previous:
                    raise TrustError(f"heartbeat of {sender} names an impossible revision")
                self.prove(record)
            case VoteReply(ballot=signed) if signed is not None:
                if signed.ballot.voter != sender:
                    raise TrustError(f"{sender} sent a ballot of {signed.ballot.voter}")
                verify_ballot(signed, self._voters)
            case _:
                pass  # Everything else speaks for its sender alone.


def stream_of(data: bytes) -> StreamId:
    """Return the stream that the ballots inside a sealed heartbeat name.

    Nothing is proven by it; it only tells a node that cannot ask the store which stream to check
    the certificate for.

    Raises:
        TrustError: It is no heartbeat with a certificate.
    """
    try:
        message: Message = _messages.decode(_parse(data).payload)
    except (ValueError, RecursionError) as exc:
        raise TrustError("malformed heartbeat") from exc
    if not isinstance(message, Heartbeat) or not message.record.certificate:
        raise TrustError("no heartbeat with a certificate")
    return message.record.certificate[0].ballot.stream


def _parse(data: bytes) -> Envelope:
    if len(data) > ENVELOPE_BYTES_MAX:
        raise TrustError(f"election message of {len(data)} bytes, over {ENVELOPE_BYTES_MAX}")
    try:
        envelope = _envelopes.decode(data)
    # msgspec's own errors are ValueErrors, and so is that of text which is no UTF-8.
    except (ValueError, RecursionError) as exc:
        raise TrustError("malformed election message") from exc
    if envelope.wire != WIRE_VERSION:
        raise TrustError(f"{envelope.sender} speaks election wire version {envelope.wire}")
    return envelope


def _kind(message: Message) -> str:
    return str(message.__struct_config__.tag)
