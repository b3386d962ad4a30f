"""How a command gets an act into the audit of its node, which has one writer at a time.

While an agent runs, only the agent writes. A command asks it; this is for when it cannot be asked.
If nobody holds the chain's lock, and the node's key can be read, the command appends a signed entry
itself. Else it leaves the act in `pending.jsonl`, and the agent takes it in within a minute, or
when it starts. What lies there is not signed yet: the entry says that it was handed over.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from bzzz_core.clock import utc_now
from bzzz_core.config.schema import AgentConfig
from bzzz_core.errors import TrustError
from bzzz_core.model import ClusterId
from bzzz_core.telemetry.audit import Audit
from bzzz_core.telemetry.audit_files import AuditFiles
from bzzz_core.trust.audit_chain import Act, Author
from bzzz_core.trust.keys import IdentityKey
from bzzz_core.trust.secrets_directory import SecretsDirectory

_BYTES_MAX: Final = 1_000_000
_ACTS_MAX: Final = 1_000


def directory_of(config: AgentConfig) -> Path:
    """Return where a node's audit lies."""
    return Path(config.resources.paths.logs) / "audit"


def audit_of(config: AgentConfig) -> Audit:
    """Return the chain of a configured node, to append to.

    Raises:
        TrustError: The node's key is missing or damaged.
    """
    key = IdentityKey.load(SecretsDirectory(Path(config.security.directory)).identity_key)
    author = Author(ClusterId(config.cluster.id), key)
    return Audit(directory_of(config), node=config.system.node_name, author=author, now=utc_now)


def leave(config: AgentConfig, acts: Sequence[Act]) -> None:
    """Write acts of a command, or leave them for the agent.

    Raises:
        OSError: Neither can be done.
    """
    files = AuditFiles(directory_of(config))
    files.make()
    if _nobody_writes(files):
        with contextlib.suppress(TrustError):
            audit = audit_of(config)
            try:
                if audit.write(acts):
                    return
            finally:
                audit.close()
    files.append_pending(b"".join(msgspec.json.encode(act) + b"\n" for act in acts))


def take_in(files: AuditFiles) -> list[Act]:
    """Return what commands have left, and put it where no command adds to it.

    What is taken stays on the disk until `taken`; what cannot be read is passed over.

    Raises:
        OSError: It cannot be read.
    """
    place = _being_taken(files)
    if not place.exists():
        if not files.pending.exists():
            return []
        files.pending.rename(place)
    with place.open("rb") as file:
        data = file.read(_BYTES_MAX)
    return [act for raw in data.splitlines()[:_ACTS_MAX] if (act := _act(raw)) is not None]


def taken(files: AuditFiles) -> None:
    """Forget what `take_in` has returned: it stands in the chain."""
    files.remove(_being_taken(files))


def _nobody_writes(files: AuditFiles) -> bool:
    try:
        files.lock().close()
    except BlockingIOError:
        return False
    return True


def _being_taken(files: AuditFiles) -> Path:
    return files.pending.with_suffix(".taken")


def _act(raw: bytes) -> Act | None:
    try:
        return msgspec.json.decode(raw, type=Act)
    except (ValueError, RecursionError):
        return None
