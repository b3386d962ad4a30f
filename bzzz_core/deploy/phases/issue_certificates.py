"""Signs the node's requests and lets the node install the certificates.

Only the key is taken from a request; every name comes from the answers. A certificate is issued
when there is none, when it has less than a third of its life left, when its names are not those of
the answers, when it does not lead to the cluster's root, or when the node has another key. (A
running agent renews its own before setup would.) Voters also get a route certificate, an operations
identity, and the issuers with which they sign while they lead; nobody else does.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from bzzz_core.deploy import layout
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.facts.host import Certificate, Kind
from bzzz_core.deploy.goal import Goal, node_address
from bzzz_core.deploy.phases import create_identity
from bzzz_core.deploy.phases.create_identity import AS_NODE
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work
from bzzz_core.model import NodeId
from bzzz_core.trust.ca import ISSUER_DAYS
from bzzz_core.trust.certify import Applicant, certify
from bzzz_core.trust.names import node_name, route_name, system_name

TITLE: Final = "Issue certificates"
DAY_S: Final = 86_400
_INSTALL: Final = """
set -eu
source=$1
shift
""" + AS_NODE.replace('"$@"', '"$@" <"$source"')


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One certificate that a host shall have."""

    title: str
    path: str
    ca_path: str
    names: Callable[[Goal], tuple[str, ...]] | None
    """What must stand in it; None for an issuer."""


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return each certificate that has to be issued, with the reason."""
    if goal.joins or not goal.known.signs:
        return ()  # They come from the cluster.
    wanted = _FOR_VOTERS if goal.voter else _FOR_ALL
    changes = (_plan_one(goal, each) for each in wanted)
    return tuple(change for change in changes if change is not None)


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Sign, send, and install on the node; it checks that they belong to its keys."""
    enrolled = goal.enrolled
    assert enrolled is not None, "keys are made before certificates"
    # The node takes all of its certificates at once; issuers only where they are due, because the
    # ones it has may still be needed by nobody else.
    due = {change.target for change in changes} & {layout.NODE_ISSUER, layout.FABRIC_ISSUER}
    applicant = Applicant(
        node_id=NodeId(enrolled.node_id),
        addresses=[node_address(goal.host)],
        voter=goal.voter,
        node_csr=enrolled.node_csr,
        route_csr=enrolled.route_csr,
        system_csr=enrolled.system_csr,
        sealing_key=base64.b64decode(enrolled.sealing_key) if due else b"",
    )
    assert work.cluster.issuers is not None, "who does not sign plans nothing"
    lifetime_s = goal.spec.security.tls.leaf_days * DAY_S
    bundle = certify(applicant, issuers=work.cluster.issuers, lifetime_s=lifetime_s)
    staged = await host.stage(msgspec.json.encode(bundle))
    await host.run(
        _INSTALL,
        *(staged, layout.site_path(goal.release.version), goal.python.path),
        *("node", "install", "--directory", layout.SECRETS),
        what="install the certificates",
    )


async def verify(host: RemoteHost, goal: Goal, work: Work) -> None:
    """Nothing to look at: the node has checked key and authority before it installed them."""
    del host, goal, work


def _plan_one(goal: Goal, wanted: _Wanted) -> Change | None:
    present = (goal.facts.certificates or {}).get(wanted.path)
    if present is None and wanted not in _FOR_ALL and _was_promoted(goal):
        return None  # The leader gives it what a voter needs; it is on its way.
    reason = _reason(goal, wanted, present)
    if reason is None:
        return None
    days = ISSUER_DAYS if wanted.names is None else goal.spec.security.tls.leaf_days
    return Change(
        phase="issue_certificates",
        action="replace" if present else "create",
        target=wanted.path,
        before=f"sha256 {present.sha256[:16]}" if present else "absent",
        after=f"valid {days} days",
        sentence=f"issue the {wanted.title}: {reason}",
    )


def _was_promoted(goal: Goal) -> bool:
    """Return whether a voter joined as an edge and was given its vote by the leader."""
    return any(node.name == goal.host.name and not node.voter for node in goal.nodes or ())


def _reason(goal: Goal, wanted: _Wanted, present: Certificate | None) -> str | None:
    """Return why a certificate must be issued, or None."""
    if present is None:
        return "there is none"
    root = goal.known.fabric_ca if wanted.ca_path == layout.FABRIC_CA else goal.known.node_ca
    left_s = present.not_after_s - goal.now_s
    keys_change = bool(create_identity.plan(goal))
    reasons = {
        # An issuer is sealed to the identity, which is not made anew while its file is there.
        "the node has another key": keys_change or (wanted.names and not present.matches_key),
        "it does not lead to the cluster's root": (
            root is None or present.root_key_id != root.key_id
        ),
        "the authority's certificate is missing beside it": (
            goal.facts.path(wanted.ca_path).kind is not Kind.FILE
        ),
        "the names in it are not those of the answers": (
            wanted.names and (goal.enrolled is None or present.names != wanted.names(goal))
        ),
        f"it is valid for only {max(left_s, 0) / DAY_S:.1f} more days": (
            left_s * 3 < present.not_after_s - present.not_before_s
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _node_names(goal: Goal) -> tuple[str, ...]:
    """Return the sorted names that the certificate must hold; `trust.issuing` puts them in."""
    return _sorted(goal, node_name, "localhost", node_address(goal.host), "127.0.0.1", "::1")


def _route_names(goal: Goal) -> tuple[str, ...]:
    return _sorted(goal, route_name, node_address(goal.host), "127.0.0.1", "::1")


def _system_names(goal: Goal) -> tuple[str, ...]:
    return _sorted(goal, system_name)


def _sorted(goal: Goal, identity: Callable[[NodeId], str], *addresses: str) -> tuple[str, ...]:
    assert goal.enrolled is not None, "the caller has checked"
    return tuple(sorted({identity(NodeId(goal.enrolled.node_id)), *addresses}))


_FOR_ALL: Final = (
    _Wanted("node certificate", layout.NODE_CERTIFICATE, layout.NODE_CA, _node_names),
)
_FOR_VOTERS: Final = (
    *_FOR_ALL,
    _Wanted("route certificate", layout.ROUTE_CERTIFICATE, layout.FABRIC_CA, _route_names),
    _Wanted("operations certificate", layout.SYSTEM_CERTIFICATE, layout.NODE_CA, _system_names),
    _Wanted("issuer of node certificates", layout.NODE_ISSUER, layout.NODE_CA, None),
    _Wanted("issuer of route certificates", layout.FABRIC_ISSUER, layout.FABRIC_CA, None),
)
