"""Reads what a node has audited, and makes chains to tamper with."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from bzzz_core.errors import IntegrityError
from bzzz_core.model import ClusterId
from bzzz_core.telemetry.audit import Audit
from bzzz_core.telemetry.audit_files import AuditFiles
from bzzz_core.trust.audit_chain import BEGUN, Author, parse
from bzzz_core.trust.keys import IdentityKey

CLUSTER = ClusterId("test")


def told(raw: bytes) -> dict[str, Any]:
    """Return an entry with its fields beside it, as tests like to compare it."""
    line = parse(raw)
    return {
        "at": line.at,
        "node": line.node,
        "what": line.what,
        "actor": line.actor,
        **line.fields,
        **({"trace": line.trace} if line.trace else {}),
    }


def acts(logs: Path, *, torn: bool = False) -> list[dict[str, Any]]:
    """Return what a node has audited in its directory of logs, and what waits for its agent.

    With `torn`, lines that are no entries are passed over; without, there must be none.
    """
    files = AuditFiles(logs / "audit")
    found = []
    for _, raw, whole in files.lines():
        with suppress(IntegrityError) if torn or not whole else nullcontext():
            found.append(told(raw))
    if files.pending.exists():
        waiting = [json.loads(raw) for raw in files.pending.read_text().splitlines()]
        found += [{**one, **one.get("fields", {})} for one in waiting]
    return [one for one in found if one["what"] != BEGUN]


def audit_at(
    logs: Path,
    *,
    key: IdentityKey | None = None,
    now: Callable[[], str] = lambda: "then",
    **more: Any,
) -> Audit:
    """Return a chain below a directory of logs."""
    author = Author(CLUSTER, key or IdentityKey.generate())
    return Audit(logs / "audit", node="bzzz-1", author=author, now=now, **more)
