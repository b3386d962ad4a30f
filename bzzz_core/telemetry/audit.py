"""The record of acts that matter to trust: who did what, and when; the writing end of the chain.

Entries are appended and fsynced before an act is answered for; `trust.audit_chain` says what an
entry is, `audit_files` where it lies. Values are redacted by whoever records.

Rules: one writer at a time, by a lock on the directory. A write ends with a signature, which costs
a twentieth of its fsync. What could not be written is kept in memory, within bounds, and goes with
the next write. The writer goes on from the last entry that the node signed; what lies behind it is
named in the next entry, and whether a power loss explains it. Nothing that is there is changed.

An agent records through `AuditDesk`, which does not wait for the disk; commands leave what they
have to say for the agent (`audit_pending`), or write while none runs.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import RLock
from typing import BinaryIO, Final

from bzzz_core.errors import IntegrityError
from bzzz_core.telemetry import logs
from bzzz_core.telemetry.audit_files import BYTES_MAX, SEGMENT_BYTES, SEGMENTS_MIN, AuditFiles, End
from bzzz_core.trust.audit_chain import (
    BEGUN,
    DAMAGED,
    RECOVERED,
    REMOVED,
    Act,
    Author,
    Head,
    Step,
    Tip,
    Value,
    parse,
    seal,
    step_of,
    tip_of,
)
from bzzz_core.trust.audit_report import Owner

FORMAT: Final = 1
_KEPT_MAX: Final = 4_096
_RECENT_MAX: Final = 4_096
"""Steps held in memory: peers are usually told of the last minute."""
_VALUE_CHARACTERS_MAX: Final = 1_000
_FIELDS_MAX: Final = 32
_INTEGER_MAX: Final = 2**53


@dataclass(frozen=True, slots=True)
class Stretch:
    """How a head follows from an earlier entry."""

    since: Tip
    steps: tuple[Step, ...]
    head: Head


class Audit:
    """One node's chain, to append to; every method may be called from any thread."""

    def __init__(
        self,
        directory: Path,
        *,
        node: str,
        author: Author,
        now: Callable[[], str],
        segment_bytes: int = SEGMENT_BYTES,
        bytes_max: int = BYTES_MAX,
    ) -> None:
        """Open nothing.

        Args:
            directory: Of the chain, `<logs>/audit`; made at the first write.
            node: Name of the node.
            author: Signs.
            now: Gives wall-clock UTC as text.
            segment_bytes: A segment that has more takes no further write.
            bytes_max: Of all segments; beyond that the oldest goes.
        """
        self.files = AuditFiles(directory)
        self.author = author
        self.owner = Owner(node, author.cluster, author.node_id, author.signer.public_key)
        self._now = now
        self._segment_bytes = segment_bytes
        self._bytes_max = bytes_max
        self._log = logs.get("audit")
        self.failures = 0
        """Writes that the disk refused; what they held is kept and tried again."""
        self.lost = 0
        """Acts that were not kept, because too many were."""
        self._busy = RLock()
        self._lock: BinaryIO | None = None
        self._kept: deque[Act] = deque()
        self._lost = 0
        self._tip: Tip | None = None
        """None: to be found in the files."""
        self._seen: Tip | None = None
        """What the files end with, as long as nothing was written."""
        self._attempted: Tip | None = None
        """Where the chain would have ended, had the last write not failed."""
        self._number = 1
        self._size = 0
        self._full = False
        """A segment was begun since anybody looked whether the oldest has to go."""
        self._recent: deque[tuple[Tip, Step]] = deque(maxlen=_RECENT_MAX)

    def record(self, what: str, *, actor: str, **fields: object) -> None:
        """Write one act durably. A full disk is logged and does not stop the act."""
        self.write([self.act(what, actor, fields)])

    def act(self, what: str, actor: str, fields: Mapping[str, object], *, trace: str = "") -> Act:
        """Return an act as of now, within the bounds of an entry."""
        some = list(fields.items())[:_FIELDS_MAX]
        return Act(
            at=self._now(),
            actor=_text(actor),
            what=_text(what),
            trace=trace,
            fields={name: _bounded(value) for name, value in some},
        )

    def write(self, some: Iterable[Act]) -> bool:
        """Write acts durably, in their order, and what earlier calls could not; say if it is done.

        A full disk is logged and does not stop the acts.
        """
        with self._busy:
            for act in some:
                if len(self._kept) >= _KEPT_MAX:
                    self._lost += 1
                    self.lost += 1
                else:
                    self._kept.append(act)
            try:
                self._write()
            except OSError as exc:
                self._tip = self._seen = None
                self.failures += 1
                self._log.error("audit not written", acts=len(self._kept), reason=str(exc))
                return False
            return True

    def head(self) -> Head | None:
        """Return the end of the chain; None if there is none, or it cannot be read now."""
        with self._busy:
            if self._tip is None and self._seen is None:
                with suppress(OSError):
                    end = self.files.end(self.owner)
                    self._seen = end.tip if end is not None else None
            tip = self._tip or self._seen
            return self.author.head(tip) if tip is not None and tip.seq else None

    def stretch(self, after: int, steps_max: int, *, nearest: bool = False) -> Stretch | None:
        """Return how the chain goes on behind an entry, up to a head `steps_max` further at most.

        Args:
            after: Number of the entry; 0: the beginning.
            steps_max: At least 1.
            nearest: Up to the first head there is, instead of the last one.

        Returns:
            None if the entry is not there any more, was never there, or is the last one.

        Raises:
            OSError: The files cannot be read.
        """
        with self._busy:
            found = self._in_memory(after, steps_max) or self._in_files(after, steps_max)
        signed = [place for place, (tip, _) in enumerate(found) if place and tip.sig]
        found = found[: (signed[0] if nearest else signed[-1]) + 1] if signed else []
        if len(found) < 2:  # noqa: PLR2004  the entry itself, and one behind it
            return None
        steps = tuple(step for _, step in found[1:])
        return Stretch(found[0][0], steps, self.author.head(found[-1][0]))

    def close(self) -> None:
        """Let others append."""
        with self._busy:
            self._tip = self._seen = None
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    # ---- writing

    def _write(self) -> None:
        first = self._opened()
        if not (first or self._kept):
            return
        if self._lost:
            lost = self.act("audit lines lost", "", {"count": self._lost})
            self._append(first, [*self._kept, lost])
        else:
            self._append(first, list(self._kept))
        self._kept.clear()
        self._lost = 0
        self._retire()

    def _append(self, first: Sequence[Act], acts: Sequence[Act]) -> None:
        """Append acts; `first` goes before them, signed by itself."""
        assert self._tip is not None, "opened before"
        lines: list[bytes] = []
        led: list[tuple[Tip, Step]] = []
        tip = self._tip
        for group in (first, acts):
            if group:
                more, where = seal(group, tip, author=self.author, node=self.owner.node)
                lines += more
                led += where
                tip = led[-1][0]
        rolls = self._size >= self._segment_bytes and not first
        self._number += rolls
        self._attempted = tip
        self._size = self.files.append(self._number, b"".join(line + b"\n" for line in lines))
        self._tip, self._attempted = tip, None
        self._full = self._full or rolls
        self._recent.extend(led)

    def _opened(self) -> list[Act]:
        """Take the lock and find the end, unless that is done; return what has to be said first."""
        if self._tip is not None:
            return []
        self.files.make()
        if self._lock is None:
            self._lock = self.files.lock()
        end = self.files.end(self.owner)
        if end is None or self._of_another():
            return self._begin({"set_aside": self._set_aside()})
        self._find_segment()
        self._recent.clear()
        self._full = True  # A removal that was interrupted is gone on with.
        self._tip = end.tip
        if end.tip == self._attempted:  # It came through after all.
            self._kept.clear()
            self._attempted = None
        if end.tip.seq == 0:
            return self._begin(_torn(end))
        if not end.behind:
            return []
        what = RECOVERED if end.honest else DAMAGED
        return [self.act(what, self.owner.node, _torn(end))]

    def _find_segment(self) -> None:
        segments = self.files.segments()
        self._number = int(segments[-1].stem) if segments else 1
        self._size = segments[-1].stat().st_size if segments else 0

    def _of_another(self) -> bool:
        """Return whether the chain is another node's, or of another cluster."""
        anchors = self.files.anchors()
        if anchors:
            head = anchors[-1].head
            return (head.cluster, head.node_id) != (self.owner.cluster, self.owner.node_id)
        first = self.files.first()
        if first is None or first.what != BEGUN:
            return False
        said = (first.fields.get("cluster"), first.fields.get("node_id"))
        return said != (self.owner.cluster, self.owner.node_id)

    def _set_aside(self) -> str:
        """Move a chain away that cannot be gone on with, and return where it is."""
        if not self.files.segments():
            return ""
        here = self.files.directory
        number = 1
        while (there := here.with_name(f"{here.name}.{number}")).exists():
            number += 1
        here.rename(there)
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        self.files.make()
        self._lock = self.files.lock()
        self._log.error("audit begun anew", set_aside=str(there))
        return there.name

    def _begin(self, fields: dict[str, object]) -> list[Act]:
        """Return the first entry of a chain; it stands for what the node wrote before."""
        self._number, self._size = 1, 0
        self._tip = Tip()
        self._find_segment()
        old = self.files.directory.with_name("audit.jsonl")
        if old.exists() and not self.files.before.exists():
            old.rename(self.files.before)
        if self.files.before.exists():
            fields |= measured(self.files.before)
        said = {
            "format": FORMAT,
            "cluster": self.owner.cluster,
            "node_id": self.owner.node_id,
            "public_key": self.owner.public_key.hex(),
            **{name: value for name, value in fields.items() if value != ""},
        }
        return [self.act(BEGUN, self.owner.node, said)]

    def _retire(self) -> None:
        """Remove the oldest segments if there is too much; what they held keeps an anchor.

        The chain says so first, then the anchor is kept, then the segment goes: whatever the power
        interrupts, an anchor is there for what is not.
        """
        if not self._full:
            return
        segments = self.files.segments()
        total = sum(path.stat().st_size for path in segments)
        while total > self._bytes_max and len(segments) > SEGMENTS_MIN:
            oldest = segments.pop(0)
            size, tip = oldest.stat().st_size, self.files.last_of(oldest, self.owner)
            if tip is None:
                self._log.error("audit segment kept: its end is damaged", segment=oldest.name)
                break
            fields = {"segment": oldest.name, "bytes": size, "last": tip.seq, "last_hash": tip.hash}
            if not self._is_anchored(tip):
                self._append([], [self.act(REMOVED, self.owner.node, fields)])
                self.files.append_anchor(self.author.anchor(tip, at=self._now()))
            self.files.remove(self.files.before)  # Older than any segment.
            self.files.remove(oldest)
            total -= size
        self._full = False

    def _is_anchored(self, tip: Tip) -> bool:
        return any(one.head.hash == tip.hash for one in self.files.anchors())

    # ---- steps

    def _in_memory(self, after: int, steps_max: int) -> list[tuple[Tip, Step]]:
        """Return the entry `after` and those behind it, if memory holds them."""
        recent = self._recent
        if not recent or recent[0][0].seq > after:
            return []
        start = after - recent[0][0].seq
        return list(islice(recent, start, start + steps_max + 1))

    def _in_files(self, after: int, steps_max: int) -> list[tuple[Tip, Step]]:
        """Return the same as the files have it."""
        found: list[tuple[Tip, Step]] = []
        if after == 0:
            found.append((Tip(), Step(bytes(32), b"")))
        before = Tip()
        for _, raw, _ in self.files.lines(self._segments_from(after)):
            try:
                line = parse(raw)
            except IntegrityError:
                continue
            if line.seq >= max(after, 1):
                if found and line.seq != found[-1][0].seq + 1:
                    break
                found.append((tip_of(line), step_of(raw, line, before.sig)))
            before = tip_of(line)
            if len(found) > steps_max:
                break
        return found if found and found[0][0].seq == after else []

    def _segments_from(self, seq: int) -> list[Path]:
        """Return the segments from the one on that holds entry `seq`, the one before included."""
        segments = self.files.segments()
        begins = [self.files.first_number(path) or 0 for path in segments]
        start = max((place for place, first in enumerate(begins) if first <= seq), default=0)
        return segments[max(0, start - 1) :]


def measured(path: Path) -> dict[str, object]:
    """Return what the first entry says of the audit of earlier releases."""
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    return {"before_sha256": sha256, "before_bytes": len(data), "before_lines": data.count(b"\n")}


def _torn(end: End) -> dict[str, object]:
    if not end.behind:
        return {}
    sha256 = hashlib.sha256(end.behind).hexdigest()
    return {"torn_sha256": sha256, "torn_bytes": len(end.behind)}


def _bounded(value: object) -> Value:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _INTEGER_MAX:
        return str(value)[:_VALUE_CHARACTERS_MAX]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return _text(str(value))


def _text(value: str) -> str:
    """Return a text that can be written, whatever bytes it was made from."""
    return value[:_VALUE_CHARACTERS_MAX].encode("utf-8", "replace").decode("utf-8")
