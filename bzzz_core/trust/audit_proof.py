"""That one entry stands in the audit of one node, shown by one file.

A proof holds the entry as it was written, the steps from it to the next signature, that signature,
and the node's public key, from which its id follows. With the node's certificates it also shows,
to whoever has the cluster's authority, that this id was a node of the cluster.

It shows that the node signed the entry in this place. That nothing was left out around it, and that
the node has not signed another entry in the same place, is what the checkpoints of peers are for.

Size: at most `SIGN_EVERY` steps, 200 characters each; mostly none, because each write ends signed.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from bzzz_core.errors import IntegrityError, SignatureInvalid, TrustError
from bzzz_core.model import Text
from bzzz_core.trust.audit_chain import (
    LINE_BYTES_MAX,
    SIGN_EVERY,
    Hash,
    Head,
    Line,
    Signature,
    Step,
    advance,
    parse,
    step_of,
    walk,
)
from bzzz_core.trust.certificate import describe
from bzzz_core.trust.chain import check_chain, load_all
from bzzz_core.trust.keys import node_id_of
from bzzz_core.trust.names import node_name

FORMAT: Final = 1
BYTES_MAX: Final = 1_000_000


class ProofStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step to the next entry's hash, hexadecimal."""

    digest: Hash
    before: Signature = ""


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that shows one entry."""

    format: int
    node: Text
    public_key: Hash
    """Ed25519, hexadecimal; the node id in `head` follows from it."""
    entry: Annotated[str, msgspec.Meta(max_length=LINE_BYTES_MAX)]
    """The line as it stands in the file."""
    before: Signature
    """Of the entry before this one; empty if it has none."""
    steps: Annotated[tuple[ProofStep, ...], msgspec.Meta(max_length=SIGN_EVERY)]
    head: Head
    certificates: Annotated[str, msgspec.Meta(max_length=65_536)] = ""
    """Of the node, PEM, leaf first."""


def prove(
    raw: bytes,
    *,
    before: str,
    steps: tuple[Step, ...],
    head: Head,
    public_key: bytes,
    certificates: str,
) -> Proof:
    """Return the proof of an entry, whose steps lead to a head.

    Raises:
        IntegrityError: They do not; the chain is damaged there.
    """
    line = parse(raw)
    proof = Proof(
        format=FORMAT,
        node=line.node,
        public_key=public_key.hex(),
        entry=raw.decode("utf-8"),
        before=before,
        steps=tuple(ProofStep(digest=s.digest.hex(), before=s.before.hex()) for s in steps),
        head=head,
        certificates=certificates,
    )
    check(proof)
    return proof


def load(data: bytes) -> Proof:
    """Return the proof that a file holds.

    Raises:
        IntegrityError: It holds none.
    """
    try:
        proof = msgspec.json.decode(data, type=Proof)
    except (ValueError, RecursionError) as exc:
        raise IntegrityError(f"this is no proof of an audit entry: {exc}") from exc
    if proof.format != FORMAT:
        raise IntegrityError(f"the proof has format {proof.format}, this release knows {FORMAT}")
    return proof


def check(proof: Proof) -> Line:
    """Return the proven entry, if its node (whose id follows from the key) has signed it.

    Raises:
        IntegrityError: It has not.
    """
    raw = proof.entry.encode("utf-8")
    line = parse(raw)
    if advance(line.prev, step_of(raw, line, proof.before)) != line.hash:
        raise IntegrityError(f"entry {line.seq} is not what was hashed")
    steps = [Step(bytes.fromhex(one.digest), bytes.fromhex(one.before)) for one in proof.steps]
    before = (line.sig, *("" for _ in steps[1:]))
    linked = all(step.before.hex() == sig for step, sig in zip(steps, before, strict=False))
    if not linked or (walk(line.hash, steps), line.seq + len(steps)) != (
        proof.head.hash,
        proof.head.seq,
    ):
        raise IntegrityError(f"entry {line.seq} does not lead to the signed entry of the proof")
    try:
        proof.head.check(bytes.fromhex(proof.public_key))
    except SignatureInvalid as exc:
        raise IntegrityError(f"the signature does not hold: {exc}") from exc
    return line


def check_key(proof: Proof, public_key: bytes) -> None:
    """Return if the proof is by the owner of a key that the caller knows.

    Raises:
        TrustError: It is another one's.
    """
    if proof.public_key != public_key.hex():
        raise TrustError(f"the proof is by {proof.head.node_id}, not by {node_id_of(public_key)}")


def check_authority(proof: Proof, roots_pem: str) -> None:
    """Return if the certificates in the proof make its node one of the authority's cluster.

    Dates are not looked at: a proof outlives certificates.

    Raises:
        TrustError: They do not.
    """
    if not proof.certificates:
        raise TrustError("the proof holds no certificate; check it with the node's public key")
    key = load_all(proof.certificates)[0].public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TrustError("the certificate in the proof is for a key of another kind")
    check_chain(proof.certificates, roots_pem, key)
    if node_name(proof.head.node_id) not in describe(proof.certificates).names:
        raise TrustError(f"the certificate is not that of {proof.head.node_id}")
