"""What an existing BZZZ left on a host: account, releases, files, certificates, running services.

What only root may see is "not known" for everybody else.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final

import msgspec

from bzzz_core.config.sources import parse_untrusted
from bzzz_core.deploy import layout
from bzzz_core.deploy.bundle.manifest import Envelope, decode
from bzzz_core.deploy.facts.host import (
    Account,
    BundleFact,
    Certificate,
    Enrolled,
    EnrolledVoter,
    HostFacts,
    Kind,
    Member,
    PathFact,
    Place,
    Unit,
)
from bzzz_core.deploy.facts.sections import (
    Sections,
    digits,
    each,
    number,
    pairs_list,
    read_lines,
    text_of,
    word,
)
from bzzz_core.enrolment import registry as registries
from bzzz_core.enrolment.registry import Registry
from bzzz_core.errors import BundleRefused, BzzzError, ConfigError, TrustError
from bzzz_core.model import ClusterId
from bzzz_core.trust.certificate import describe, requested_key_sha256

_ABSENT: Final = 44
"""Exit status of a `content:` section when there is no such file."""
_CERTIFICATES: Final = {
    layout.NODE_CERTIFICATE: "node_csr",
    layout.ROUTE_CERTIFICATE: "route_csr",
    layout.SYSTEM_CERTIFICATE: "system_csr",
    layout.NODE_ISSUER: "",
    layout.FABRIC_ISSUER: "",
}
"""File -> the field of `Enrolled` with the request it answers; an issuer answers none."""


def with_installed(facts: HostFacts, sections: Sections) -> HostFacts:
    """Return the facts with those about an existing BZZZ."""
    release = pairs_list(text_of(sections, "release"))
    found = msgspec.structs.replace(
        facts,
        account=read_lines(sections, "account", lambda lines: each(lines, _account)),
        current=_link(release, "current"),
        releases=None if release is None else tuple(v for k, v in release if k == "release"),
        previous=_link(release, "previous"),
        kept=None if release is None else dict(release).get("kept", ""),
        runtimes=None if release is None else tuple(v for k, v in release if k == "runtime"),
        runtimes_used=None
        if release is None
        else tuple(v for k, v in release if k == "runtime-used"),
        pending=None if release is None else dict(release).get("pending", ""),
        refused=_refused(release),
        bundle=_bundle(_content(sections, f"{layout.CURRENT}/bundle.json")),
        damaged=read_lines(sections, "damaged", tuple),
        units=_units(sections),
    )
    if facts.uid != 0:
        return found
    config_text = _content(sections, layout.AGENT_CONFIG)
    cluster_id, genesis = _cluster(config_text)
    registry = _registry(sections, cluster_id) if cluster_id else None
    members = genesis if registry is None else members_of(registry)
    enrolled = _enrolled(sections)
    return msgspec.structs.replace(
        found,
        paths=read_lines(sections, "files", _paths),
        config_text=config_text,
        cluster_id=cluster_id,
        voters=_voters(members),
        genesis=genesis,
        members=members,
        registry_version=None if genesis is None else registry.version if registry else 0,
        enrolled=enrolled,
        certificates=_certificates(sections, enrolled),
    )


def _account(line: str) -> Account:
    words = line.split(":")
    return Account(uid=digits(words[2]), home=words[5], shell=words[6])


def _link(release: list[tuple[str, str]] | None, which: str) -> str | None:
    if release is None:
        return None
    target = next((value for key, value in release if key == which), "")
    return target.rstrip("/").rpartition("/")[2]


def _refused(release: list[tuple[str, str]] | None) -> dict[str, str] | None:
    if release is None:
        return None
    return {key.partition(":")[2]: text for key, text in release if key.startswith("refused:")}


def _bundle(text: str | None) -> BundleFact | None:
    """Return what a bundle said of itself; the operator's plan needs no more than that."""
    if not text:
        return None
    try:
        manifest = decode(msgspec.json.decode(text, type=Envelope))
    except (msgspec.DecodeError, RecursionError, BundleRefused):
        return None
    return BundleFact(version=manifest.version, created_at=manifest.created_at)


def _paths(lines: list[str]) -> dict[str, PathFact]:
    found = {}
    for line in lines:
        kind, mode, owner, group, sha256, path = line.split(" ", maxsplit=5)
        found[path] = PathFact(
            kind=Kind(kind),
            mode=None if mode == "-" else mode,
            owner=None if owner == "-" else owner,
            group=None if group == "-" else group,
            sha256=sha256 if re.fullmatch(r"[0-9a-f]{64}", sha256) else None,
        )
    return found


def _content(sections: Sections, path: str) -> str | None:
    """Return the content of a file; "" if there is none, None if that is not known."""
    status, text = sections.get(f"content:{path}", (1, ""))
    if status == _ABSENT:
        return ""
    return text if status == 0 else None


def _cluster(config_text: str | None) -> tuple[str | None, tuple[Member, ...] | None]:
    """Return the id of the cluster and its nodes by a host's configuration."""
    if config_text is None:
        return None, None
    if not config_text.strip():
        return "", ()
    try:
        cluster = parse_untrusted(config_text)["cluster"]
        return str(cluster["id"]), tuple(_genesis_member(node) for node in cluster["nodes"])
    except (ConfigError, KeyError, TypeError, ValueError):
        return None, None  # something is there, and we do not know whose


def _genesis_member(node: dict[str, Any]) -> Member:
    return Member(
        name=str(node["name"]),
        node_id=str(node["id"]),
        public_key=str(node["public_key"]),
        address=str(node.get("address", "")),
        fabric_client=int(node.get("fabric_client", 4222)),
        fabric_cluster=int(node.get("fabric_cluster", 6222)),
        join=int(node.get("join", 8443)),
        route_pin=str(node.get("route_pin", "")),
        voter=bool(node["voter"]),
    )


def _registry(sections: Sections, cluster_id: str) -> Registry | None:
    """Return the host's copy of the registry; None if it has none that can be read."""
    text = text_of(sections, "registry")
    try:
        return decode_registry(text, cluster_id) if text else None
    except (BzzzError, binascii.Error, ValueError):
        return None


def decode_registry(text: str, cluster_id: str) -> Registry:
    """Return the registry of a cluster from base64.

    Raises:
        BzzzError: It is none, or another cluster's.
        ValueError: It is no base64.
    """
    return registries.decode(base64.b64decode(text), cluster=ClusterId(cluster_id))


def members_of(registry: Registry) -> tuple[Member, ...]:
    """Return the nodes of a registry, former ones too."""
    return tuple(
        Member(
            name=node.name,
            node_id=node.id,
            public_key=base64.b64encode(node.public_key).decode(),
            address=node.address,
            fabric_client=node.fabric_client,
            fabric_cluster=node.fabric_cluster,
            join=node.join,
            route_pin=node.route_pin,
            voter=node.voter,
            state=node.state.value,
            leaving=node.leaving,
        )
        for node in registry.nodes
    )


def _voters(members: tuple[Member, ...] | None) -> tuple[EnrolledVoter, ...] | None:
    if members is None:
        return None
    return tuple(
        EnrolledVoter(one.name, one.node_id, one.public_key)
        for one in members
        if one.voter and one.belongs
    )


def _enrolled(sections: Sections) -> tuple[Enrolled, ...] | None:
    text = _content(sections, layout.ENROLMENT)
    if text is None:
        return None
    if not text:
        return ()
    try:
        return (msgspec.json.decode(text, type=Enrolled),)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def _certificates(
    sections: Sections, enrolled: tuple[Enrolled, ...] | None
) -> dict[str, Certificate | None] | None:
    found: dict[str, Certificate | None] = {}
    for path, field in _CERTIFICATES.items():
        request = getattr(enrolled[0], field) if enrolled and field else ""
        text = _content(sections, path)
        if text is None:
            return None
        found[path] = certificate_of(text, request) if text.strip() else None
    return found


def certificate_of(pem: str, request: str) -> Certificate | None:
    """Return what is to know of a certificate, given the request it answers; None: damaged."""
    try:
        said = describe(pem)
    except TrustError:
        return None  # damaged: as good as none, it will be issued anew
    try:
        matches_key = requested_key_sha256(request) == said.key_sha256
    except TrustError:
        matches_key = False
    return Certificate(
        sha256=said.sha256,
        not_before_s=said.not_before_s,
        not_after_s=said.not_after_s,
        names=said.names,
        matches_key=matches_key,
        root_key_id=said.root_key_id,
    )


def _units(sections: Sections) -> dict[str, Unit] | None:
    found = {}
    for name in (layout.FABRIC, layout.AGENT):
        said_in_order = pairs_list(text_of(sections, f"unit:{name}"))
        if said_in_order is None:
            return None
        said = dict(said_in_order)
        inputs = (value.split(maxsplit=1) for key, value in said_in_order if key == "input")
        release = re.fullmatch(rf"{re.escape(layout.RELEASES)}/([^/]+)/site", said.get("cwd", ""))
        found[name] = Unit(
            loaded=said.get("LoadState") == "loaded",
            active=said.get("ActiveState", "unknown"),
            enabled=said.get("UnitFileState") == "enabled",
            restarts=number(said.get("NRestarts")),
            needs_reload=said.get("NeedDaemonReload") == "yes",
            release=release[1] if release else None,
            inputs={pair[1]: pair[0] for pair in inputs if len(pair) == 2},  # noqa: PLR2004
        )
    return found


def read_places(lines: list[str]) -> tuple[Place, ...]:
    """Return what is where data and logs are to be.

    Raises:
        ValueError: A line is not one of the probe's.
    """
    found = []
    for line in lines:
        state, above, path = line.split(" ", 2)
        found.append(Place(word(path), word(state), "" if above == "-" else word(above)))
    return tuple(found)
