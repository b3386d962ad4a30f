"""The broker's directory: its lasting name, and refusal to start it in a shape that loses data.

Two traps of JetStream are closed here. A store written by a broker alone is *deleted* when the same
broker starts with a cluster section ("orphaned stream"), so a store remembers its shape and a
different one is refused; growing from one voter to three goes another way. And a broker that was
removed from a cluster never votes again under its old name, so the name carries random characters
and is made anew with the store.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Final

from bzzz_core.errors import BrokerError
from bzzz_core.model import NodeId
from bzzz_core.trust import private_files

ALONE: Final = "alone"
CLUSTERED: Final = "clustered"
_SERVER_NAME: Final = re.compile(r"[a-z2-7]{26}-[0-9a-f]{8}")


def server_name(store: Path, node: NodeId) -> str:
    """Return the broker's name, making and keeping it on first use.

    Raises:
        BrokerError: The store belongs to another node, or its name file is damaged.
    """
    private_files.private_directory(store)
    path = store / "server-name"
    if not path.exists():
        private_files.replace(path, f"{node}-{secrets.token_hex(4)}\n".encode())
    name = private_files.read(path).decode("ascii", "replace").strip()
    if not _SERVER_NAME.fullmatch(name):
        raise BrokerError(f"{path} is damaged: it holds no broker name")
    if node_of(name) != node:
        raise BrokerError(
            f"{store} is the store of node {node_of(name)}, this is {node}; give each node its own"
            " data directory"
        )
    return name


def node_of(name: str) -> NodeId | None:
    """Return the node whose broker is called `name`, or None if it is none of ours."""
    return NodeId(name.partition("-")[0]) if _SERVER_NAME.fullmatch(name) else None


def claim_shape(store: Path, *, clustered: bool) -> None:
    """Record how the store is used, or refuse a use that contradicts the past.

    Raises:
        BrokerError: Starting would delete or split what the store holds; nothing was changed.
    """
    wanted = CLUSTERED if clustered else ALONE
    marker = store / "shape"
    found = _shape_of(store, marker)
    if found is not None and found != wanted:
        raise BrokerError(
            f"the store {store} was written by a broker that ran {found}; starting it {wanted}"
            " would lose its streams. Restore the former voters, or move the directory away"
        )
    if not marker.exists():
        private_files.replace(marker, f"{wanted}\n".encode())


def _shape_of(store: Path, marker: Path) -> str | None:
    if marker.exists():
        return private_files.read(marker).decode("ascii", "replace").strip()
    # No marker: believe the files. nats-server keeps <account>/streams/<name>, and a clustered one
    # also the Raft log of its metadata.
    jetstream = store / "jetstream"
    if any(jetstream.glob("*/_js_/_meta_")):
        return CLUSTERED
    return ALONE if any(jetstream.glob("*/streams/*")) else None
