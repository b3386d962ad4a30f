"""What `bzzz-agent audit` does on this machine: read the node's files, and ask its agent."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from bzzz_core.api.client import call
from bzzz_core.auditing.reports import PeerView, VerifyDocument
from bzzz_core.clock import utc_now
from bzzz_core.config.schema import AgentConfig
from bzzz_core.errors import (
    BzzzError,
    ConfigError,
    RequestInvalid,
)
from bzzz_core.model import NodeId
from bzzz_core.telemetry.audit_export import Header, export, verify_export
from bzzz_core.telemetry.audit_files import AuditFiles
from bzzz_core.telemetry.audit_pending import audit_of, directory_of
from bzzz_core.telemetry.audit_query import Query, moment, prove_entry
from bzzz_core.telemetry.audit_verify import owner_in, verify_files
from bzzz_core.trust.audit_proof import BYTES_MAX, check, check_authority, check_key, load
from bzzz_core.trust.audit_report import Checkpoint, Owner
from bzzz_core.trust.secrets_directory import SecretsDirectory

_WAIT_S: Final = 120.0
_ASK_S: Final = 10.0
Document = dict[str, Any]


def files_of(config: AgentConfig) -> AuditFiles:
    """Return this node's audit, to read; there is none before the first act.

    Raises:
        ConfigError: The caller may not read it.
    """
    directory = directory_of(config)
    try:
        next(iter(directory.iterdir()), None)
    except FileNotFoundError:
        pass
    except OSError as exc:
        raise ConfigError(f"{directory}: {exc.strerror}") from exc
    return AuditFiles(directory)


def query_of(wish: Mapping[str, Any]) -> Query:
    """Return a query from what was typed.

    Raises:
        RequestInvalid: A time is none.
    """
    now = datetime.now(UTC)
    times = {name: moment(wish[name], now=now) for name in ("since", "until") if wish.get(name)}
    try:
        return msgspec.convert({**wish, **times}, Query)
    except msgspec.ValidationError as exc:
        raise RequestInvalid(f"the query is none: {exc}") from exc


def voters(config: AgentConfig) -> list[str]:
    """Return the names of the voters."""
    found = call(config, "GET", "/v1/nodes", timeout_s=_ASK_S)
    return [one["name"] for one in found["nodes"] if one["voter"] and one["state"] == "member"]


def verify_there(config: AgentConfig, node: str) -> Document:
    """Let the agent verify the audit of a node of the cluster."""
    found: Document = call(config, "POST", "/v1/audit/verify", {"node": node}, timeout_s=_WAIT_S)
    return found


def verify_here(config: AgentConfig, copy: Path | None, *, node: str, thorough: bool) -> Document:
    """Verify files of this machine against what the voters hold, as far as the agent can ask them.

    Args:
        config: Of this node.
        copy: Of an audit's directory, or an export; None: this node's own files.
        node: Whose it has to be; empty: this node's, or of a copy whose it says it is.
        thorough: Check every signature.
    """
    files = files_of(config) if copy is None else AuditFiles(copy)
    header = Header.read(copy) if copy is not None and copy.is_file() else None
    owner = _owner(config, files, header, node=node, own=copy is None)
    why = ""
    held: Document = {"peers": [], "checkpoints": []}
    try:
        held = checkpoints(config, owner.node_id)
    except BzzzError as exc:
        why = f"no voter was asked: {exc}"[:200]
    points = msgspec.convert(held["checkpoints"], list[Checkpoint])
    try:
        if header is not None and copy is not None:
            report = verify_export(copy, owner, checkpoints=points, thorough=thorough)
        else:
            report = verify_files(files, owner, checkpoints=points, thorough=thorough)
    except OSError as exc:
        raise ConfigError(f"{files.directory}: {exc.strerror}") from exc
    peers = msgspec.convert(held["peers"], tuple[PeerView, ...])
    ok = report.fault is None and not any(one.against for one in peers)
    found = VerifyDocument(node=owner.node, ok=ok, report=report, why=why, peers=peers)
    document: Document = msgspec.to_builtins(found)
    return document


def checkpoints(config: AgentConfig, node: str) -> Document:
    """Return what the voters hold of a node's audit."""
    path = f"/v1/audit/checkpoints?node={node}" if node else "/v1/audit/checkpoints"
    found: Document = call(config, "GET", path, timeout_s=_ASK_S)
    return found


def exported(config: AgentConfig, *, since: str, until: str) -> Iterator[bytes]:
    """Yield the lines of an export."""
    query = query_of({"since": since, "until": until})
    owner = _member(config, config.me.id)
    assert owner is not None
    return export(files_of(config), owner, since=query.since, until=query.until, at=utc_now())


def make_proof(config: AgentConfig, sequence: int) -> bytes:
    """Return the proof of an entry of this node."""
    path = SecretsDirectory(Path(config.security.directory)).node_certificate
    files_of(config)
    try:
        pem = path.read_text() if path.exists() else ""
        proof = prove_entry(audit_of(config), sequence, certificates=pem)
    except OSError as exc:
        raise ConfigError(f"{exc.filename}: {exc.strerror}") from exc
    return msgspec.json.format(msgspec.json.encode(proof))


def check_proof(path: Path, *, public_key: str | None, authority: Path | None) -> Document:
    """Return what a proof proves.

    Raises:
        IntegrityError: Nothing.
        TrustError: It is by another node, or not by one of that authority.
    """
    try:
        with path.open("rb") as file:
            proof = load(file.read(BYTES_MAX))
        roots = authority.read_text() if authority else ""
    except OSError as exc:
        raise ConfigError(f"{exc.filename}: {exc.strerror}") from exc
    line = check(proof)
    if public_key is not None:
        try:
            check_key(proof, bytes.fromhex(public_key))
        except ValueError as exc:
            raise RequestInvalid("--public-key: 64 hexadecimal digits are wanted") from exc
    if authority:
        check_authority(proof, roots)
    return {
        "entry": msgspec.to_builtins(line),
        "node": proof.node,
        "node_id": proof.head.node_id,
        "public_key": proof.public_key,
        "cluster": proof.head.cluster,
        "signed_at_entry": proof.head.seq,
        "known": bool(public_key or authority),
    }


def _owner(
    config: AgentConfig, files: AuditFiles, header: Header | None, *, node: str, own: bool
) -> Owner:
    """Return whose chain it has to be; of a copy, who it says, if that is one of the cluster."""
    if own or node:
        found = _member(config, node or config.me.id)
        if found is None:
            raise RequestInvalid(f"no node of this cluster is called {node}")
        return found
    if header is not None:
        return header.owner
    cluster, node_id, key = owner_in(files)
    return _member(config, node_id) or Owner(node_id, cluster, NodeId(node_id), key)


def _member(config: AgentConfig, named: str) -> Owner | None:
    from bzzz_core.enrolled import registry_cache

    known = {one.id: (one.name, base64.b64decode(one.public_key)) for one in config.cluster.nodes}
    registry = registry_cache(config).load()
    known |= {one.id: (one.name, one.public_key) for one in registry.nodes} if registry else {}
    for node, (name, key) in known.items():
        if named in (node, name):
            return Owner(name, config.cluster.id, NodeId(node), key)
    return None
