"""An audit in one file, for others to keep or to verify: a header, then lines as they were written.

The header says whose chain it is and which entry comes before the first one, with its signature:
so a part can be verified as well as the whole. What a power loss left between entries goes along.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from bzzz_core.errors import IntegrityError
from bzzz_core.model import NodeId, Text
from bzzz_core.telemetry.audit_files import AuditFiles, Placed, lines_of_file
from bzzz_core.trust.audit_chain import FIRST, Hash, Signature, Tip, parse
from bzzz_core.trust.audit_report import Checkpoint, Owner, Report
from bzzz_core.trust.audit_verify import verify_chain
from bzzz_core.trust.keys import node_id_of

FORMAT: Final = 1
_HEADER_BYTES_MAX: Final = 4_096


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of an export."""

    export: int
    """Version of the format."""
    node: Text
    node_id: NodeId
    cluster: Text
    public_key: Hash
    at: Text
    """When it was made, UTC."""
    seq: int = 0
    """Number of the entry before the first one here."""
    hash: Hash = FIRST
    sig: Signature = ""

    @property
    def owner(self) -> Owner:
        """Return whose chain it says it is."""
        key = bytes.fromhex(self.public_key)
        return Owner(self.node, self.cluster, self.node_id, key)

    @property
    def start(self) -> Tip:
        """Return what the first entry follows."""
        return Tip(self.seq, self.hash, self.sig)

    @classmethod
    def read(cls, path: Path) -> Header:
        """Return the header of an export.

        Raises:
            IntegrityError: It is none.
        """
        try:
            with path.open("rb") as file:
                header = msgspec.json.decode(file.readline(_HEADER_BYTES_MAX), type=cls)
            if header.export != FORMAT or node_id_of(bytes.fromhex(header.public_key)) != (
                header.node_id
            ):
                raise IntegrityError(f"{path}: another format, or the key is not the node's")
        except OSError as exc:
            raise IntegrityError(f"{path}: {exc.strerror}") from exc
        except (ValueError, RecursionError) as exc:
            raise IntegrityError(f"{path} is no export of an audit: {exc}") from exc
        return header


def export(files: AuditFiles, owner: Owner, *, since: str, until: str, at: str) -> Iterator[bytes]:
    """Yield the lines of an export: entries noted from `since` until before `until`, UTC."""
    anchors = {one.head.seq: one.head for one in files.anchors()}
    before, begun = Tip(), False
    for _, raw, _ in files.lines():
        try:
            line = parse(raw)
        except IntegrityError:
            if begun:
                yield raw
            continue
        if not begun and line.at >= since:
            anchor = anchors.get(line.seq - 1)
            if before.seq == 0 and anchor is not None:
                before = Tip(anchor.seq, anchor.hash, anchor.sig)
            yield _header(owner, before, at)
            begun = True
        if begun and until and line.at >= until and before.sig:
            return  # Behind a signature: a part ends as a chain does.
        if begun:
            yield raw
        before = Tip(line.seq, line.hash, line.sig)
    if not begun:
        yield _header(owner, before, at)


def verify_export(
    path: Path, owner: Owner, *, checkpoints: Sequence[Checkpoint], thorough: bool
) -> Report:
    """Verify an export; a part says nothing about what came before and behind.

    Raises:
        IntegrityError: It is none.
    """
    header = Header.read(path)

    def lines() -> Iterator[Placed]:
        found = lines_of_file(path)
        next(found, None)
        yield from found

    return verify_chain(
        lines, owner, start=header.start, checkpoints=checkpoints, thorough=thorough
    )


def _header(owner: Owner, before: Tip, at: str) -> bytes:
    return msgspec.json.encode(
        Header(
            export=FORMAT,
            node=owner.node,
            node_id=owner.node_id,
            cluster=owner.cluster,
            public_key=owner.public_key.hex(),
            at=at,
            seq=before.seq,
            hash=before.hash,
            sig=before.sig,
        )
    )
