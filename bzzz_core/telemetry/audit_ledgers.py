"""Keeps what a node holds of others' audits, durably: one file for each node.

    <data>/checkpoints/<node id>     msgpack map, mode 0600, replaced in one step

A file that cannot be read is set aside, never overwritten: it may hold the only proof.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from bzzz_core.model import NodeId
from bzzz_core.telemetry import logs
from bzzz_core.trust import private_files
from bzzz_core.trust.audit_ledger import Ledger

LEDGERS_MAX: Final = 3_000
"""Twice as many nodes as a registry holds, former ones included."""
_BYTES_MAX: Final = 8_000_000


class Ledgers:
    """The ledgers of one holder."""

    def __init__(self, directory: Path) -> None:
        """Take the directory; nothing is read yet."""
        self._directory = directory
        self._log = logs.get("audit")
        self._known: dict[NodeId, Ledger] = {}

    def load(self) -> None:
        """Read what was kept."""
        if not self._directory.is_dir():
            return
        for path in sorted(self._directory.iterdir())[: 2 * LEDGERS_MAX]:
            if "." in path.name:  # Set aside, or being written.
                continue
            try:
                data = path.read_bytes()[: _BYTES_MAX + 1]
                ledger = msgspec.msgpack.decode(data, type=Ledger)
            except (OSError, ValueError, RecursionError) as exc:
                self._log.error("checkpoints set aside", file=str(path), reason=str(exc))
                path.replace(path.with_name(f"{path.name}.unreadable"))
                continue
            self._known[ledger.node_id] = ledger

    def get(self, node: NodeId) -> Ledger | None:
        """Return what is held of a node."""
        return self._known.get(node)

    def all(self) -> tuple[Ledger, ...]:
        """Return what is held of all nodes, by id."""
        return tuple(self._known[node] for node in sorted(self._known))

    def keep(self, ledger: Ledger) -> None:
        """Keep a ledger in the place of the node's older one, durably.

        Raises:
            OSError: It is not kept.
        """
        if ledger.node_id not in self._known and len(self._known) >= LEDGERS_MAX:
            raise OSError("there is no room for the checkpoints of another node")
        if not self._directory.is_dir():
            self._directory.mkdir(mode=0o700)
        private_files.replace(self._directory / ledger.node_id, msgspec.msgpack.encode(ledger))
        self._known[ledger.node_id] = ledger
