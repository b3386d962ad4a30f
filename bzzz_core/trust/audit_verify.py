"""Whether the lines of one node's audit are the chain that its node signed. Pure.

    Verifier.feed(place, line)   one line after the other, oldest first
    Verifier.finish()            what was found: nothing, or the first fault, its kind and place

What each kind of fault is:

    edit      an entry is not what was hashed and signed, or is no entry at all
    delete    entries are missing, and no anchor stands for them
    reorder   an entry stands at another place than its own, or twice
    truncate  a peer holds a checkpoint beyond the end
    fork      two entries claim one place: both in the file, or one there and one at a peer

The first four can be made without the node's key, and without it the files alone show edit, delete
and reorder. Who has the key can write another chain that is faultless in itself; that one, and an
end that was cut off, show only against the checkpoints of peers.

What a power loss leaves behind the last signature is no fault: nobody was told that it was written.
It is named (`torn`), and a signed entry says how much of it there was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import msgspec

from bzzz_core.errors import IntegrityError, SignatureInvalid
from bzzz_core.trust.audit_chain import (
    BEGUN,
    DAMAGED,
    FIRST,
    RECOVERED,
    SIGN_EVERY,
    Anchor,
    Head,
    Line,
    Tip,
    advance,
    parse,
    step_of,
    tip_of,
    torn,
)
from bzzz_core.trust.audit_report import Checkpoint, Confirmed, Fault, Owner, Report

_NOTES_MAX: Final = 32


@dataclass(slots=True)
class _Region:
    """What lies behind the last signature."""

    sha: hashlib._Hash = field(default_factory=hashlib.sha256)
    size: int = 0
    lines: int = 0
    entries: int = 0
    held: Fault | None = None
    """A line in it is no entry; a fault unless a power loss explains it."""
    plausible: bool = True
    whole: bool = True
    """The last line has its newline."""

    def add(self, raw: bytes, *, whole: bool) -> None:
        joined = b"\n" + raw if self.lines else raw
        self.sha.update(joined)
        self.size += len(joined)
        self.lines += 1
        self.whole = whole


class Verifier:
    """Reads one chain."""

    def __init__(
        self,
        owner: Owner,
        *,
        anchors: Iterable[Anchor] = (),
        checkpoints: Iterable[Checkpoint] = (),
        start: Tip | None = None,
        thorough: bool = False,
    ) -> None:
        """Read nothing yet.

        Args:
            owner: Whose chain it ought to be.
            anchors: What stands for removed entries; their signatures are checked here.
            checkpoints: What peers hold; their signatures are checked here, too.
            start: What the first line follows, if only a part of a chain is read; its end is then
                not compared with what peers hold.
            thorough: Check every signature, not only the last one, which stands for all.
        """
        self._owner = owner
        self._thorough = thorough
        self._part = start
        self._notes: list[str] = []
        self._anchors: dict[int, Head] = {}
        self.anchored(anchors)
        self._checkpoints: dict[int, list[Checkpoint]] = {}
        for one in checkpoints:
            if self._genuine(one.head, f"a checkpoint of {one.peer}"):
                self._checkpoints.setdefault(one.head.seq, []).append(one)
        self._confirmed: dict[str, Confirmed] = {}
        self._first = 0
        self._entries = 0
        self._signatures = 0
        self._tip = Tip()
        self._before = Tip()
        """The entry before the tip."""
        self._signed = Tip()
        self._signed_place = ""
        self._region = _Region()
        self._fault: Fault | None = None
        self._seen_later = False

    def anchored(self, anchors: Iterable[Anchor]) -> None:
        """Take more anchors; before the first line."""
        for one in anchors:
            if self._genuine(one, "an anchor"):
                self._anchors[one.head.seq] = one.head

    @property
    def fault(self) -> Fault | None:
        """Return the first fault so far."""
        return self._fault

    def feed(self, place: str, raw: bytes, *, whole: bool = True) -> None:
        """Read one line without its newline; not `whole`: the file ends without one."""
        if self._fault is not None:
            self._look_for_missing(raw)
            return
        try:
            line = parse(raw)
        except IntegrityError as exc:
            self._hold(place, raw, str(exc), whole=whole)
            return
        if self._entries == 0 and not self._begin(place, raw, line):
            return
        if self._recovers(line):
            self._accept_recovery(place, raw, line)
            return
        if self._region.held is not None:
            self._fault = self._region.held
            return
        self._fault = self._misplaced(place, raw, line)
        if self._fault is None:
            self._accept(place, raw, line, whole=whole)

    def finish(self) -> Report:
        """Return what was found in all lines."""
        region = self._region
        if self._fault is None and region.held is not None:
            if region.plausible and not region.whole:
                self._note(f"torn: {region.size} bytes behind entry {self._signed.seq}")
            else:
                self._fault = region.held
        elif self._fault is None and region.entries:
            self._note(f"{region.entries} entries behind the last signature, at {self._signed.seq}")
        if self._fault is None and self._signed.seq:
            self._fault = self._unsigned(self._signed_place, self._signed)
        if self._fault is None:
            self._fault = self._cut_off()
        self._explain_missing()
        return Report(
            node=self._owner.node,
            node_id=self._owner.node_id,
            entries=self._entries,
            first=self._first,
            last=self._tip.seq,
            last_hash=self._tip.hash if self._tip.seq else "",
            last_at=self._tip.at,
            signatures=self._signatures,
            fault=self._fault,
            confirmed=tuple(self._confirmed[peer] for peer in sorted(self._confirmed)),
            notes=tuple(self._notes),
        )

    # ---- one line

    def _begin(self, place: str, raw: bytes, line: Line) -> bool:
        """Take up the chain where its first line says; return whether it may begin there."""
        self._first = line.seq
        if self._part is not None and self._part.seq:
            self._tip = self._part
            self._note(f"a part, from entry {line.seq} on")
        elif anchor := self._anchors.get(line.seq - 1):
            self._tip = self._signed = Tip(anchor.seq, anchor.hash, anchor.sig, anchor.at)
            self._note(f"begins at entry {line.seq}; older ones were removed in order")
        else:
            self._fault = self._no_beginning(place, raw, line)
        return self._fault is None

    def _no_beginning(self, place: str, raw: bytes, line: Line) -> Fault | None:
        """Return why a line is not the first entry of this node's audit, if it is not."""
        held = self._region.held
        if line.seq > 1 and (held is not None or line.prev != FIRST):
            words = f"the files begin with entry {line.seq}, and no anchor stands for those before"
            return held or Fault(kind="delete", seq=1, place=place, words=words)
        if line.seq > 1 or line.prev != FIRST:
            wrong = f"bears the number {line.seq}" if line.seq > 1 else "names one before it"
            return _edited(place, 1, f"the first entry {wrong}")
        told = (line.what, line.fields.get("cluster"), line.fields.get("node_id"))
        if told != (BEGUN, self._owner.cluster, self._owner.node_id):
            if advance(FIRST, step_of(raw, line, "")) != line.hash:
                return _edited(place, 1, "entry 1 is not what was hashed")
            words = f"the chain is not one of {self._owner.node} in this cluster"
            return Fault(kind="fork", seq=1, place=place, words=words)
        return None

    def _recovers(self, line: Line) -> bool:
        """Return whether a line speaks of what lies between the last signature and itself."""
        if line.what not in (BEGUN, RECOVERED, DAMAGED) or not self._region.lines:
            return False
        follows = (line.seq, line.prev) == (self._signed.seq + 1, self._signed.hash)
        return follows and line.fields.get("torn_sha256") == self._region.sha.hexdigest()

    def _accept_recovery(self, place: str, raw: bytes, line: Line) -> None:
        region, signed = self._region, self._signed
        if line.what == DAMAGED or not region.plausible or not line.sig:
            words = f"{region.size} bytes behind entry {signed.seq} are no entries"
            self._fault = region.held or _edited(place, signed.seq + 1, words)
            return
        self._entries -= region.entries
        self._tip, self._region = signed, _Region()
        self._fault = self._misplaced(place, raw, line)
        if self._fault is None:
            self._note(f"torn: {region.size} bytes behind entry {signed.seq}, lost with the power")
            self._accept(place, raw, line, whole=True)

    def _misplaced(self, place: str, raw: bytes, line: Line) -> Fault | None:
        """Return why a line does not follow the one before, if it does not."""
        tip, seq = self._tip, line.seq
        if seq > tip.seq + 1:
            words = f"entry {seq} stands where {tip.seq + 1} belongs"
            return Fault(kind="delete", seq=tip.seq + 1, place=place, words=words)
        if seq <= tip.seq:
            another = seq == tip.seq and line.prev == self._before.hash and line.hash != tip.hash
            words = f"entry {seq} stands behind entry {tip.seq}"
            if another:
                words = f"there are two entries {seq}"
            elif line.hash == tip.hash:
                words = f"entry {seq} stands there twice"
            return Fault(kind="fork" if another else "reorder", seq=seq, place=place, words=words)
        return self._altered(place, raw, line)

    def _altered(self, place: str, raw: bytes, line: Line) -> Fault | None:
        """Return why a line in its place does not continue the one before, if it does not."""
        tip, seq = self._tip, line.seq
        if advance(line.prev, step_of(raw, line, tip.sig)) != line.hash:
            changed = self._unsigned(self._signed_place, tip) if tip.sig else None
            lost = f", or entry {tip.seq} has lost its signature" if tip.seq and not tip.sig else ""
            return changed or _edited(place, seq, f"entry {seq} is not what was hashed{lost}")
        if line.prev != tip.hash and tip.seq < self._first:
            words = f"entry {seq} does not continue entry {tip.seq}, which was removed"
            return _edited(place, seq, words)
        if line.prev != tip.hash:
            words = f"entry {tip.seq} is not the one that entry {seq} continues"
            return _edited(place, tip.seq, words)
        if not line.sig and self._region.entries >= SIGN_EVERY - 1:
            words = f"{SIGN_EVERY} entries behind {self._signed.seq} bear no signature"
            return _edited(place, seq, words)
        return None

    def _accept(self, place: str, raw: bytes, line: Line, *, whole: bool) -> None:
        self._entries += 1
        self._before, self._tip = self._tip, tip_of(line)
        if line.sig:
            self._signed, self._signed_place = self._tip, place
            self._region = _Region()
            if self._thorough:
                self._fault = self._unsigned(place, self._tip)
        else:
            self._region.add(raw, whole=whole)
            self._region.entries += 1
        for one in self._checkpoints.pop(line.seq, ()):
            self._compare(place, one)

    def _compare(self, place: str, held: Checkpoint) -> None:
        if held.head.hash == self._tip.hash:
            at = held.head.at
            self._confirmed[held.peer] = Confirmed(peer=held.peer, seq=self._tip.seq, at=at)
        elif self._fault is None:
            words = f"{held.peer} holds another entry {self._tip.seq}, signed by the node, too"
            self._fault = Fault(kind="fork", seq=self._tip.seq, place=place, words=words)

    def _hold(self, place: str, raw: bytes, why: str, *, whole: bool) -> None:
        """Take note of a line that is no entry, until it shows whether a power loss explains it."""
        region = self._region
        region.plausible = region.plausible and torn(raw)
        region.add(raw, whole=whole)
        if region.held is None:
            region.held = _edited(place, self._tip.seq + 1, why)
        if self._entries == 0 and not self._first and not region.plausible:
            self._fault = region.held

    # ---- all lines

    def _cut_off(self) -> Fault | None:
        """Return the fault if peers hold what lies behind the end, or what lies before differs."""
        beyond = [seq for seq in self._checkpoints if seq > self._tip.seq]
        for seq in sorted(set(self._checkpoints) - set(beyond)):
            for one in self._checkpoints.pop(seq):
                self._compare_with_anchor(one)
        if self._fault is not None or not beyond or self._part is not None:
            return self._fault
        peers = sorted({one.peer for seq in beyond for one in self._checkpoints[seq]})
        words = f"{', '.join(peers)} hold entry {max(beyond)}; the files end at {self._tip.seq}"
        return Fault(kind="truncate", seq=self._tip.seq + 1, place="", words=words)

    def _compare_with_anchor(self, held: Checkpoint) -> None:
        anchor = self._anchors.get(held.head.seq)
        if anchor is None:
            return  # Removed since; nobody can tell any more.
        if anchor.hash == held.head.hash:
            at = held.head.at
            self._confirmed.setdefault(
                held.peer, Confirmed(peer=held.peer, seq=held.head.seq, at=at)
            )
        elif self._fault is None:
            words = f"{held.peer} holds another entry {anchor.seq} than the one that was removed"
            self._fault = Fault(kind="fork", seq=anchor.seq, place="", words=words)

    def _unsigned(self, place: str, tip: Tip) -> Fault | None:
        """Return the fault if a signature is not the node's."""
        self._signatures += 1
        head = Head(
            cluster=self._owner.cluster,
            node_id=self._owner.node_id,
            seq=tip.seq,
            hash=tip.hash,
            at=tip.at,
            sig=tip.sig,
        )
        try:
            head.check(self._owner.public_key)
        except SignatureInvalid:
            words = f"the signature of entry {tip.seq} is not that of {self._owner.node}"
            return _edited(place, tip.seq, words)
        return None

    def _genuine(self, said: Head | Anchor, what: str) -> bool:
        head = said if isinstance(said, Head) else said.head
        with suppress(SignatureInvalid):
            said.check(self._owner.public_key)
            if (head.cluster, head.node_id) == (self._owner.cluster, self._owner.node_id):
                return True
        self._note(f"{what} at entry {head.seq} is not signed by the node and does not count")
        return False

    def _look_for_missing(self, raw: bytes) -> None:
        """Tell entries that stand elsewhere from entries that are gone."""
        if self._fault is None or self._fault.kind != "delete" or self._seen_later:
            return
        with suppress(IntegrityError):
            self._seen_later = parse(raw).seq == self._fault.seq

    def _explain_missing(self) -> None:
        if self._fault is not None and self._seen_later:
            words = f"entry {self._fault.seq} stands behind later ones"
            self._fault = msgspec.structs.replace(self._fault, kind="reorder", words=words)

    def _note(self, words: str) -> None:
        if len(self._notes) < _NOTES_MAX:
            self._notes.append(words)


def _edited(place: str, seq: int, words: str) -> Fault:
    return Fault(kind="edit", seq=seq, place=place, words=words)


def verify_chain(
    lines: Callable[[], Iterable[tuple[str, bytes, bool]]],
    owner: Owner,
    *,
    anchors: Sequence[Anchor] = (),
    checkpoints: Sequence[Checkpoint] = (),
    start: Tip | None = None,
    thorough: bool = False,
) -> Report:
    """Verify lines of (place, line without its newline, whether it had one), oldest first.

    Where there is a fault, the lines are read once more for a signature that fails before it.
    """
    verifier = Verifier(
        owner, anchors=anchors, checkpoints=checkpoints, start=start, thorough=thorough
    )
    for place, raw, whole in lines():
        verifier.feed(place, raw, whole=whole)
    report = verifier.finish()
    if report.fault is None or thorough:
        return report
    return verify_chain(
        lines, owner, anchors=anchors, checkpoints=checkpoints, start=start, thorough=True
    )
