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

Rules: bytes from outside raise `Rejected` and nothing else, whatever they are; it names a culprit
only where a signature does.
"""

from __future__ import annotations

from typing import get_args

import msgspec

from bzzz_core.election.ballot import verify_ballot, verify_certificate, verify_warrant
from bzzz_core.election.messages import (
    WIRE_VERSION,
    Evidence,
    Heartbeat,
    Message,
    Node,
    Proclamation,
    SignedBallot,
    SignedWarrant,
    TermRecord,
    Text,
    Transfer,
    VoteReply,
    VoteRequest,
)
from bzzz_core.election.quarantine import Offence, Rejected, equivocates
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
            Rejected: Too large, malformed, of an unknown version, not by a voter, forged, or
                claiming what its sender may not claim.
        """
        envelope = _parse(data)
        sender = envelope.sender
        voter = self._voters.find(sender)
        if voter is None:
            what = f"election message of {sender}, which is no voter"
            raise Rejected(what, Offence.STRANGER, claimed=sender)
        signed = self._signed(sender, envelope.kind, envelope.payload)
        try:
            keys.verify(voter.public_key, ENVELOPE_CONTEXT, signed, envelope.signature)
        except TrustError as exc:
            raise Rejected(f"{sender}: {exc}", Offence.FORGED, claimed=sender) from exc
        message = _unpack(envelope)
        try:
            self._check(sender, message)
        except Rejected as exc:
            # What is false in a heartbeat was put together by its sender on purpose.
            proven = exc.offence is Offence.UNPROVEN and isinstance(
                message, Heartbeat | Proclamation
            )
            raise exc.against(sender, proven=proven) from exc
        return sender, message

    def prove(self, record: TermRecord) -> None:
        """Check a record's certificate; the one checked last is remembered.

        Raises:
            Rejected: It does not hold.
        """
        if record == self._proven:
            return
        verify_certificate(record, cluster=self._cluster, stream=self._stream, voters=self._voters)
        self._proven = record

    def _signed(self, sender: NodeId, kind: str, payload: bytes) -> bytes:
        return _encoder.encode((WIRE_VERSION, self._cluster, sender, kind, payload))

    def _check(self, sender: NodeId, message: Message) -> None:
        match message:
            case Heartbeat() | Proclamation():
                self._check_leader(sender, message)
            case VoteReply(ballot=SignedBallot() as signed):
                if signed.ballot.voter != sender:
                    what = f"{sender} sent a ballot of {signed.ballot.voter}"
                    raise Rejected(what, Offence.UNTRUE)
                verify_ballot(signed, self._voters)
            case VoteRequest(warrant=SignedWarrant() as warrant):
                self._check_warrant(warrant, sender == warrant.warrant.successor)
            case Transfer(warrant=warrant):
                self._check_warrant(warrant, sender == warrant.warrant.leader)
            case Evidence(first=first, second=second):
                if not equivocates(first, second):
                    raise Rejected(f"evidence of {sender} proves nothing", Offence.UNTRUE)
                verify_ballot(first, self._voters)
                verify_ballot(second, self._voters)
            case _:
                pass  # Everything else speaks for its sender alone.

    def _check_leader(self, sender: NodeId, message: Heartbeat | Proclamation) -> None:
        record = message.record
        ours = sender == record.leader
        if isinstance(message, Heartbeat):
            ours = ours and sender == message.leader and message.term == record.term
        if not ours or message.sequence <= record.previous:
            what = f"{sender} speaks for the record of {record.leader}, or misplaces it"
            raise Rejected(what, Offence.UNTRUE)
        self.prove(record)

    def _check_warrant(self, signed: SignedWarrant, own: bool) -> None:  # noqa: FBT001  a finding
        if not own:
            what = f"warrant of {signed.warrant.leader} in the wrong hands"
            raise Rejected(what, Offence.UNTRUE)
        verify_warrant(signed, cluster=self._cluster, stream=self._stream, voters=self._voters)


def stream_of(data: bytes) -> StreamId:
    """Return the stream that the ballots inside a leader's message name.

    Nothing is proven by it; it only tells a node that cannot ask the store which stream to check
    the certificate for.

    Raises:
        Rejected: It is no message with a certificate.
    """
    message = _unpack(_parse(data))
    if not isinstance(message, Heartbeat | Proclamation) or not message.record.certificate:
        raise Rejected("no leader's message with a certificate", Offence.MALFORMED)
    return message.record.certificate[0].ballot.stream


def ballots_in(message: Message) -> tuple[SignedBallot, ...]:
    """Return the ballots that a proven message carries."""
    match message:
        case Heartbeat(record=record) | Proclamation(record=record):
            return record.certificate
        case VoteReply(ballot=SignedBallot() as signed):
            return (signed,)
        case _:
            return ()


def _parse(data: bytes) -> Envelope:
    if len(data) > ENVELOPE_BYTES_MAX:
        what = f"election message of {len(data)} bytes, over {ENVELOPE_BYTES_MAX}"
        raise Rejected(what, Offence.MALFORMED)
    try:
        envelope = _envelopes.decode(data)
    # msgspec's own errors are ValueErrors, and so is that of text which is no UTF-8.
    except (ValueError, RecursionError) as exc:
        raise Rejected("malformed election message", Offence.MALFORMED) from exc
    if envelope.wire != WIRE_VERSION:
        what = f"{envelope.sender} speaks election wire version {envelope.wire}"
        raise Rejected(what, Offence.VERSION, claimed=envelope.sender)
    return envelope


def _unpack(envelope: Envelope) -> Message:
    sender, kind = envelope.sender, envelope.kind
    if kind not in _KINDS:
        what = f"{sender} sent a {kind!r}, which this release does not know"
        raise Rejected(what, Offence.VERSION, claimed=sender)
    try:
        message: Message = _messages.decode(envelope.payload)
    except (ValueError, RecursionError) as exc:
        what = f"malformed {kind!r} of {sender}"
        raise Rejected(what, Offence.MALFORMED, claimed=sender, culprit=sender) from exc
    if kind != _kind(message):
        what = f"{sender} signed a {kind!r} that is none"
        raise Rejected(what, Offence.UNTRUE, claimed=sender, culprit=sender)
    return message


def _kind(message: Message) -> str:
    return str(message.__struct_config__.tag)


_KINDS = frozenset(str(kind.__struct_config__.tag) for kind in get_args(Message))
