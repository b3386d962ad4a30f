"""What a node gets when it is certified: one rule for setup, demo, joining and renewal.

Every node gets a node certificate. Only a voter gets more: a route certificate from the fabric
authority, an operations identity, and the issuers, sealed to it, because it may lead one day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bzzz_core.model import NodeId
from bzzz_core.trust.ca import Authority
from bzzz_core.trust.enrol import CertificateBundle
from bzzz_core.trust.issuing import Issuer


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuers:
    """The two issuers and the roots above them."""

    node: Issuer
    fabric: Issuer
    node_roots: str
    """PEM of every node authority trusted at present; more than one while they are replaced."""
    fabric_root: str

    @classmethod
    def below(cls, node_ca: Authority, fabric_ca: Authority) -> Issuers:
        """Return new issuers of two unlocked authorities."""
        return cls(
            node=node_ca.delegate(),
            fabric=fabric_ca.delegate(),
            node_roots=node_ca.certificate_pem,
            fabric_root=fabric_ca.certificate_pem,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Applicant:
    """Who is certified, as the registry or the answers know it; the requests are the node's."""

    node_id: NodeId
    addresses: Sequence[str]
    voter: bool
    node_csr: str
    route_csr: str = ""
    system_csr: str = ""
    """Used for voters only; an older node has none and goes without."""
    sealing_key: bytes = b""
    """As `system_csr`. Empty: the node has the issuers already, or is too old to hold them."""


def certify(applicant: Applicant, *, issuers: Issuers, lifetime_s: int) -> CertificateBundle:
    """Return everything that an applicant gets.

    Raises:
        TrustError: A request or an address is not acceptable, or an issuer has expired.
    """
    who = applicant
    node_certificate = issuers.node.issue_node(
        who.node_csr, node_id=who.node_id, addresses=who.addresses, lifetime_s=lifetime_s
    )
    if not who.voter:
        return CertificateBundle(node_certificate=node_certificate, node_ca=issuers.node_roots)
    route_certificate = issuers.fabric.issue_route(
        who.route_csr, node_id=who.node_id, addresses=who.addresses, lifetime_s=lifetime_s
    )
    system_certificate = (
        issuers.node.issue_system(who.system_csr, node_id=who.node_id, lifetime_s=lifetime_s)
        if who.system_csr
        else None
    )
    sealed = who.sealing_key
    return CertificateBundle(
        node_certificate=node_certificate,
        node_ca=issuers.node_roots,
        route_certificate=route_certificate,
        fabric_ca=issuers.fabric_root,
        system_certificate=system_certificate,
        node_issuer=issuers.node.sealed_to(sealed) if sealed else None,
        fabric_issuer=issuers.fabric.sealed_to(sealed) if sealed else None,
    )
