"""Replacing the node authority while the cluster runs, driven by the operator who holds the roots.

    step      the registry's roots     who has to be ready before the next step
    begin     new, old                 every member trusts both (`node-ca.pem`)
    issuers   new, old                 every voter holds an issuer below the new root
    use       old, new                 every member shows a certificate below the new root
    finish    new                      nobody needs the old root any more

The root in use is the last one; members whose certificate is below another renew at once. Each
step refuses while somebody is not ready and says who: a machine that is away would be locked out,
so the operator brings it back, lets it leave, or revokes it. Every step may be repeated, and a
rotation may be left at any point: until `finish` both roots are good.

Who is ready is told by the members themselves, every two seconds while there are two roots. The
leader keeps these reports in memory; after a change of leader they are there again at once. Issuers
travel sealed: the operator seals one for each voter to the key in its report, which the voter's
identity has signed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Annotated, Final, Literal

import msgspec

from bzzz_core.enrolment.messages import TrustReport, pack, unpack
from bzzz_core.enrolment.registrar import Registrar
from bzzz_core.enrolment.registry import EnrolledNode, Registry
from bzzz_core.enrolment.renewing import find_member
from bzzz_core.errors import RequestInvalid, TrustError
from bzzz_core.model import NodeId
from bzzz_core.trust.chain import spki_sha256
from bzzz_core.trust.keys import verify

SEALING_CONTEXT: Final = b"bzzz sealing key 1"
REPORT_MS: Final = 2_000
_VOTERS_MAX: Final = 16

Audit = Callable[..., None]
VotersOnly = Callable[[NodeId, str], Awaitable[Registry]]
_Sealed = Annotated[str, msgspec.Meta(max_length=16_384)]


class RotateStep(msgspec.Struct, frozen=True):
    """What the operator asks for; `status` changes nothing."""

    step: Literal["status", "begin", "issuers", "use", "finish"]
    root: Annotated[str, msgspec.Meta(max_length=8_192)] = ""
    """PEM of the new root; for `begin`, `use` and `finish`."""
    node_issuers: Annotated[dict[NodeId, _Sealed], msgspec.Meta(max_length=_VOTERS_MAX)] = {}
    """Sealed issuers by voter, for `issuers`."""
    fabric_issuers: Annotated[dict[NodeId, _Sealed], msgspec.Meta(max_length=_VOTERS_MAX)] = {}


class MemberTrust(msgspec.Struct, frozen=True):
    """How far one member is."""

    id: NodeId
    name: str
    voter: bool
    heard: bool
    trusts: tuple[str, ...] = ()
    shows: str | None = None
    issues: str | None = None
    public_key: bytes = b""
    sealing_key: bytes = b""


class RotateStatus(msgspec.Struct, frozen=True):
    """Where a rotation stands; roots by the SHA-256 of their keys, the one in use last."""

    roots: tuple[str, ...]
    members: tuple[MemberTrust, ...]


class TrustAnswer(msgspec.Struct, frozen=True):
    """What a member gets for its report: issuers that wait for it."""

    node_issuer: _Sealed | None = None
    fabric_issuer: _Sealed | None = None


class Rotation:
    """The leader's side."""

    def __init__(self, *, registrar: Registrar, voters_only: VotersOnly, audit: Audit) -> None:
        """Know of no report yet."""
        self._registrar = registrar
        self._voters_only = voters_only
        self._audit = audit
        self._reports: dict[NodeId, TrustReport] = {}
        self._node_issuers: dict[NodeId, str] = {}
        self._fabric_issuers: dict[NodeId, str] = {}
        self.counters: Counter[str] = Counter()
        """trust_reports, and rotation steps by name."""

    async def report(self, asker: NodeId, body: bytes) -> bytes:
        """Take a member's report and hand over what waits for it.

        Raises:
            NotEnrolled: It is no member.
            SignatureInvalid: The sealing key is not the member's.
        """
        member = find_member(await self._registrar.registry(), asker)
        report = unpack(body, TrustReport)
        if report.sealing_key:
            verify(member.public_key, SEALING_CONTEXT, report.sealing_key, report.signature)
        self._reports[asker] = report
        self.counters["trust_reports"] += 1
        if not member.voter:
            return pack(TrustAnswer())
        return pack(TrustAnswer(self._node_issuers.get(asker), self._fabric_issuers.get(asker)))

    async def rotate(self, asker: NodeId, body: bytes) -> bytes:
        """Take one step, or only tell.

        Raises:
            PermissionDenied: The asker is no voter.
            RequestInvalid: Somebody is not ready, or the step makes no sense now.
        """
        registry = await self._voters_only(asker, "node rotate-ca")
        wanted = unpack(body, RotateStep)
        match wanted.step:
            case "begin":
                registry = await self._begin(registry, wanted.root)
            case "issuers":
                self._hand_out(registry, wanted)
            case "use":
                registry = await self._use(registry, wanted.root)
            case "finish":
                registry = await self._finish(registry, wanted.root)
            case "status":
                pass
        if wanted.step != "status":
            self.counters[f"rotation_{wanted.step}"] += 1
            self._audit(f"rotation {wanted.step}", actor=asker, roots=len(registry.node_roots))
        return pack(self._status(registry))

    async def _begin(self, registry: Registry, root: str) -> Registry:
        roots = registry.node_roots
        if root in roots:
            return registry
        if len(roots) > 1:
            raise RequestInvalid("a rotation is under way already; finish that one first")
        check_root(root)
        return await self._registrar.change(lambda now: now.with_roots((root, *roots)))

    def _hand_out(self, registry: Registry, wanted: RotateStep) -> None:
        new = {spki_sha256(root) for root in registry.node_roots}
        if wanted.node_issuers:
            self._wait_for(registry, lambda report: new <= set(report.roots), "trust the new root")
        voters = {voter.id for voter in registry.voters}
        for handed in (wanted.node_issuers, wanted.fabric_issuers):
            if handed and not voters <= set(handed):
                raise RequestInvalid("there must be an issuer for every voter; ask for the status")
        self._node_issuers = dict(wanted.node_issuers)
        self._fabric_issuers = dict(wanted.fabric_issuers)

    async def _use(self, registry: Registry, root: str) -> Registry:
        roots = registry.node_roots
        if roots[-1] == root:
            return registry
        self._must_be_trusted(registry, root)
        wanted = spki_sha256(root)
        self._wait_for(
            registry,
            lambda report: report.issuer_root == wanted,
            "hold an issuer below the new root",
            of=registry.voters,
        )
        others = tuple(one for one in roots if one != root)
        return await self._registrar.change(lambda now: now.with_roots((*others, root)))

    async def _finish(self, registry: Registry, root: str) -> Registry:
        if registry.node_roots == (root,):
            return registry
        self._must_be_trusted(registry, root)
        if registry.node_roots[-1] != root:
            raise RequestInvalid("the new root is not in use yet")
        wanted = spki_sha256(root)
        self._wait_for(
            registry, lambda report: report.leaf_root == wanted, "show a certificate below it"
        )
        return await self._registrar.change(lambda now: now.with_roots((root,)))

    def _must_be_trusted(self, registry: Registry, root: str) -> None:
        if root not in registry.node_roots:
            raise RequestInvalid("no rotation to that root is under way; begin it first")

    def _wait_for(
        self,
        registry: Registry,
        ready: Callable[[TrustReport], bool],
        what: str,
        *,
        of: tuple[EnrolledNode, ...] | None = None,
    ) -> None:
        late = [
            node.name
            for node in (registry.members if of is None else of)
            if (report := self._reports.get(node.id)) is None or not ready(report)
        ]
        if late:
            raise RequestInvalid(f"not ready: {', '.join(late[:20])} must first {what}")

    def _status(self, registry: Registry) -> RotateStatus:
        return RotateStatus(
            roots=tuple(spki_sha256(root) for root in registry.node_roots),
            members=tuple(self._member(node) for node in registry.members),
        )

    def _member(self, node: EnrolledNode) -> MemberTrust:
        report = self._reports.get(node.id)
        heard = MemberTrust(
            id=node.id,
            name=node.name,
            voter=node.voter,
            heard=report is not None,
            public_key=node.public_key,
        )
        if report is None:
            return heard
        return msgspec.structs.replace(
            heard,
            trusts=report.roots,
            shows=report.leaf_root,
            issues=report.issuer_root,
            sealing_key=report.sealing_key,
        )


def check_root(pem: str) -> None:
    """Return if a text is one certificate.

    Raises:
        TrustError: It is not.
    """
    if pem.count("-----BEGIN CERTIFICATE-----") != 1:
        raise TrustError("a root is one certificate")
    spki_sha256(pem)
