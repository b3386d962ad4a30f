"""The broker's directory: its lasting name, its shape, and refusal of every start that loses data.

Traps of JetStream that are closed here:

- A store written by a broker without a cluster section is *deleted* when the same broker is started
  clustered ("orphaned stream"). Ours are clustered from the first start; an older one is refused,
  and moved by snapshot and restore.
- A founding that was cut short leaves half a cluster of two. Nobody has written to it, so it is
  emptied and founded again.
- A broker that was removed from a cluster never votes again under its old name. So the name carries
  random characters and belongs to the store: a store set aside takes its name along.
- Two supervisors of one store would be two writers: whoever holds the lock is the one.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final

from bzzz_core.errors import BrokerError, BrokerHindered
from bzzz_core.model import NodeId
from bzzz_core.trust import private_files

_SERVER_NAME: Final = re.compile(r"[a-z2-7]{26}-[0-9a-f]{8}")
_FREE_BYTES_KEPT: Final = 64_000_000
"""What the broker leaves to logs, vote file and configuration on the same disk."""
_STORE_BYTES_MIN: Final = 16_000_000
_BESIDE: Final = ("witness", "founding", "companion")


class Shape(StrEnum):
    """How a store came about."""

    ALONE = "alone"
    """Written by a broker without a cluster section; BZZZ makes none such any more."""
    FOUNDING = "founding"
    """A cluster of one is being made of it; nobody has written to it yet."""
    CLUSTERED = "clustered"


@contextmanager
def held(store: Path) -> Iterator[None]:
    """Be the only process that runs a broker on this store while the block lasts.

    Raises:
        BrokerError: Another process does.
    """
    private_files.private_directory(store)
    try:
        lock = private_files.lock(store / "lock")
    except BlockingIOError as exc:
        raise BrokerError(f"another process runs a broker on {store}; end that one") from exc
    with lock:
        yield


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


def claim(store: Path, *, alone: bool) -> bool:
    """Return whether a cluster of one is to be founded on this store before it is used.

    Args:
        store: The broker's directory.
        alone: Whether there is no other voter to join.

    Raises:
        BrokerError: Starting would delete what the store holds; nothing was changed.
    """
    shape = shape_of(store)
    if shape is Shape.ALONE:
        raise BrokerError(
            f"the store {store} was written by a broker that ran alone; starting it clustered"
            " would lose its streams. Save them with `bzzz-agent fabric snapshot --offline`, move"
            " the directory away, start again, and `bzzz-agent fabric restore` them"
        )
    if shape is Shape.CLUSTERED:
        _mark(store, Shape.CLUSTERED)
        return False
    shutil.rmtree(store / "jetstream", ignore_errors=True)
    _mark(store, Shape.FOUNDING if alone else Shape.CLUSTERED)
    return alone


def founded(store: Path) -> None:
    """Note that the founding is done: from here on the store holds what others rely on."""
    remember_size(store, 1)
    _mark(store, Shape.CLUSTERED)


def shape_of(store: Path) -> Shape | None:
    """Return how a store came about, or None for a fresh one.

    Raises:
        BrokerError: Its mark is damaged.
    """
    marker = store / "shape"
    if marker.exists():
        text = private_files.read(marker).decode("ascii", "replace").strip()
        try:
            return Shape(text)
        except ValueError as exc:
            raise BrokerError(f"{marker} is damaged: it holds no shape of a store") from exc
    # No marker: believe the files. nats-server keeps <account>/streams/<name>, and a clustered one
    # also the Raft log of its metadata.
    jetstream = store / "jetstream"
    if any(jetstream.glob("*/_js_/_meta_")):
        return Shape.CLUSTERED
    return Shape.ALONE if any(jetstream.glob("*/streams/*")) else None


def remember_size(store: Path, peers: int) -> None:
    """Note how many brokers the cluster counted when it was last seen whole."""
    if size_seen(store) != peers:
        private_files.replace(store / "size", f"{peers}\n".encode())


def size_seen(store: Path) -> int:
    """Return how many brokers the cluster counted when last seen, 0 if it never was."""
    path = store / "size"
    text = private_files.read(path).decode("ascii", "replace").strip() if path.exists() else ""
    return int(text) if text.isdecimal() else 0


def set_aside(store: Path) -> Path | None:
    """Move a store out of the way whose broker is no peer any more; return where it went.

    The next start makes a fresh one under a new name. One generation is kept.
    """
    if not (store / "server-name").exists():
        return None
    kept = store.with_name(f"{store.name}.left")
    shutil.rmtree(kept, ignore_errors=True)
    for name in _BESIDE:
        shutil.rmtree(store / name, ignore_errors=True)
    kept.mkdir(mode=0o700)
    # The lock's file stays where it is: whoever sets aside holds it.
    for path in [path for path in store.iterdir() if path.name not in ("lock", "server-name")]:
        path.rename(kept / path.name)
    # The name goes last: without it the store is fresh, and half a move is done again.
    (store / "server-name").rename(kept / "server-name")
    private_files.sync_directory(store)
    return kept


def bytes_available(store: Path, limit_bytes: int) -> int:
    """Return how much the broker may write: the configured limit, or less where the disk is small.

    A full disk costs the node its part in the cluster until it is restarted, so the limit that
    JetStream itself keeps (and answers with an error) must come first.

    Raises:
        BrokerHindered: The disk has no room for any store.
    """
    usage = shutil.disk_usage(store)
    written = sum(path.stat().st_size for path in _files(store / "jetstream"))
    room = written + usage.free - min(_FREE_BYTES_KEPT, usage.total // 8)
    if room < min(_STORE_BYTES_MIN, limit_bytes):
        raise BrokerHindered(
            f"the disk of {store} has {usage.free // 1_000_000} MB left; the broker needs"
            f" {_STORE_BYTES_MIN // 1_000_000} MB and what others use beside it"
        )
    return min(limit_bytes, room)


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file())


def _mark(store: Path, shape: Shape) -> None:
    marker = store / "shape"
    if not marker.exists() or shape_of(store) is not shape:
        private_files.replace(marker, f"{shape}\n".encode())
