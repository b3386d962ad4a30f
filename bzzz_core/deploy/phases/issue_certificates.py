"""Signs the node's requests and lets the node install the certificates.

Only the key is taken from a request; every name comes from the answers. A certificate is issued
when there is none, when it has less than a third of its life left, when its names are not those of
the answers, when another authority has signed it, or when the node has another key. Voters also get
a route certificate, from the fabric authority; nobody else does.
"""

from __future__ import annotations

from typing import Final

import msgspec

from bzzz_core.deploy import layout
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.facts.host import Certificate, Kind
from bzzz_core.deploy.goal import Goal, Root, node_address
from bzzz_core.deploy.phases import create_identity
from bzzz_core.deploy.phases.create_identity import AS_NODE
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work
from bzzz_core.model import NodeId
from bzzz_core.trust.ca import node_name, route_name
from bzzz_core.trust.enrol import CertificateBundle

TITLE: Final = "Issue certificates"
DAY_S: Final = 86_400
_INSTALL: Final = """
set -eu
source=$1
shift
""" + AS_NODE.replace('"$@"', '"$@" <"$source"')


def plan(goal: Goal) -> tuple[Change, ...]:
    """Return each certificate that has to be issued, with the reason."""
    changes = [_plan_one(goal, layout.NODE_CERTIFICATE, layout.NODE_CA, goal.known.node_ca)]
    if goal.voter:
        changes.append(
            _plan_one(goal, layout.ROUTE_CERTIFICATE, layout.FABRIC_CA, goal.known.fabric_ca)
        )
    return tuple(change for change in changes if change is not None)


async def apply(host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work) -> None:
    """Sign, send, and install on the node; it checks that they belong to its keys."""
    del changes  # the node takes all of its certificates at once
    enrolled = goal.enrolled
    assert enrolled is not None, "keys are made before certificates"
    node, address = NodeId(enrolled.node_id), node_address(goal.host)
    days = goal.spec.security.tls.leaf_days
    cluster = work.cluster
    bundle = CertificateBundle(
        node_certificate=cluster.node_ca.issue_node(
            enrolled.node_csr, node_id=node, addresses=[address], days=days
        ),
        node_ca=cluster.node_ca.certificate_pem,
    )
    if goal.voter:
        bundle = msgspec.structs.replace(
            bundle,
            route_certificate=cluster.fabric_ca.issue_route(
                enrolled.route_csr, node_id=node, addresses=[address], days=days
            ),
            fabric_ca=cluster.fabric_ca.certificate_pem,
        )
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


def _plan_one(goal: Goal, path: str, ca_path: str, root: Root | None) -> Change | None:
    present = (goal.facts.certificates or {}).get(path)
    reason = _reason(goal, path, ca_path, root, present)
    if reason is None:
        return None
    kind = "route certificate" if path == layout.ROUTE_CERTIFICATE else "node certificate"
    return Change(
        phase="issue_certificates",
        action="replace" if present else "create",
        target=path,
        before=f"sha256 {present.sha256[:16]}" if present else "absent",
        after=f"valid {goal.spec.security.tls.leaf_days} days",
        sentence=f"issue the {kind}: {reason}",
    )


def _reason(
    goal: Goal, path: str, ca_path: str, root: Root | None, present: Certificate | None
) -> str | None:
    """Return why a certificate must be issued, or None."""
    if present is None:
        return "there is none"
    left_s = present.not_after_s - goal.now_s
    reasons = {
        "the node has another key": not present.matches_key or bool(create_identity.plan(goal)),
        "another authority has signed it": root is None or present.issuer_key_id != root.key_id,
        "the authority's certificate is missing beside it": (
            goal.facts.path(ca_path).kind is not Kind.FILE
        ),
        "the names in it are not those of the answers": (
            goal.enrolled is None or present.names != _names(goal, path)
        ),
        f"it is valid for only {max(left_s, 0) / DAY_S:.1f} more days": (
            left_s * 3 < present.not_after_s - present.not_before_s
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _names(goal: Goal, path: str) -> tuple[str, ...]:
    """Return the sorted names that the certificate must hold; `trust.ca` puts them in."""
    assert goal.enrolled is not None, "the caller has checked"
    node, address = NodeId(goal.enrolled.node_id), node_address(goal.host)
    if path == layout.ROUTE_CERTIFICATE:
        return tuple(sorted({route_name(node), address}))
    return tuple(sorted({node_name(node), "localhost", address, "127.0.0.1", "::1"}))
