"""The leader's answer to a member that wants certificates for the keys it has.

The broker proves who asks (a node publishes below its own id alone), and the request is signed by
the identity besides: what is signed names the key to which issuers are sealed, and that key must
not come from whoever stands in between. What the asker gets follows from the registry alone: a
voter gets route, operations identity and, where it says it has none, the issuers.

Asking again is harmless: the same node gets the same names for the same keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from bzzz_core.config.schema import AgentConfig
from bzzz_core.enrolment.issuers import HeldIssuers
from bzzz_core.enrolment.messages import (
    RENEW_CONTEXT,
    RenewRequest,
    RenewStatement,
    pack,
    unpack,
)
from bzzz_core.enrolment.registrar import Registrar
from bzzz_core.enrolment.registry import EnrolledNode, Registry
from bzzz_core.errors import BzzzError, NotEnrolled, SignatureInvalid
from bzzz_core.model import NodeId
from bzzz_core.trust.certificate import requested_key_sha256
from bzzz_core.trust.certify import Applicant, certify
from bzzz_core.trust.keys import verify

Audit = Callable[..., None]


class Renewing:
    """The leader's side of renewal."""

    def __init__(
        self,
        *,
        config: Callable[[], AgentConfig],
        registrar: Registrar,
        issuers: HeldIssuers,
        audit: Audit,
    ) -> None:
        """Take what it decides with; `config` gives the configuration in force."""
        self._config = config
        self._registrar = registrar
        self._issuers = issuers
        self._audit = audit
        self.counters: Counter[str] = Counter()
        """renewed, and refusals by the code of their error."""

    async def renew(self, asker: NodeId, body: bytes) -> bytes:
        """Sign a member's requests.

        Raises:
            BzzzError: The refusal.
        """
        try:
            member = find_member(await self._registrar.registry(), asker)
            statement = self._read(member, body)
        except BzzzError as exc:
            self.counters[f"renew_refused_{exc.code}"] += 1
            self._audit("renewal refused", actor=asker, code=exc.code, reason=str(exc))
            raise
        applicant = Applicant(
            node_id=member.id,
            addresses=[member.address],
            voter=member.voter,
            node_csr=statement.node_csr,
            route_csr=statement.route_csr,
            system_csr=statement.system_csr,
            sealing_key=statement.sealing_key if member.voter else b"",
        )
        leaf_s = self._config().security.leaf_s
        bundle = certify(applicant, issuers=self._issuers.open(), lifetime_s=leaf_s)
        if member.voter:
            # A key that was lost is made anew; the routes must not stay shut for it. Nor may they
            # be moved to a key that gets no certificate, so signing comes first.
            pin = requested_key_sha256(statement.route_csr)
            await self._registrar.change(lambda now: now.with_route_pin(member.id, pin))
        self.counters["renewed"] += 1
        if bundle.node_issuer is not None:
            self._audit("issuers handed out", actor=asker, name=member.name)
        return pack(bundle)

    def _read(self, member: EnrolledNode, body: bytes) -> RenewStatement:
        request = unpack(body, RenewRequest)
        verify(member.public_key, RENEW_CONTEXT, request.statement, request.signature)
        statement = unpack(request.statement, RenewStatement)
        if statement.node != member.id:
            raise SignatureInvalid("the request was signed for another node")
        return statement


def find_member(registry: Registry, node: NodeId) -> EnrolledNode:
    """Return the member with this id.

    Raises:
        NotEnrolled: It is none, or no more.
    """
    known = registry.find(node)
    if known is None or not known.member:
        raise NotEnrolled(f"{node} is no member of this cluster")
    return known
