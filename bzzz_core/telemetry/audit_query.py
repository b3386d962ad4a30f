"""Finds entries of one audit: by actor, act, time, trace or text; and what a proof of one needs.

Reading trusts nothing and proves nothing: a line that cannot be read is passed over. To know that
entries are what was written, verify.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import msgspec

from bzzz_core.errors import IntegrityError, KeyNotFound, RequestInvalid
from bzzz_core.telemetry.audit import Audit
from bzzz_core.telemetry.audit_files import AuditFiles
from bzzz_core.trust.audit_chain import SIGN_EVERY, Line, Step, parse, tip_of
from bzzz_core.trust.audit_proof import Proof, prove

LIMIT_MAX: Final = 1_000
_SPANS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
Term = Annotated[str, msgspec.Meta(max_length=200)]


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries are wanted; what is empty does not matter."""

    actor: Term = ""
    """The whole actor, or the beginning of it with a `*` behind."""
    what: Term = ""
    """Likewise."""
    since: Term = ""
    """UTC, RFC 3339, or the beginning of one (`2026-03-01`)."""
    until: Term = ""
    """Up to, not including."""
    trace: Term = ""
    text: Term = ""
    """Anywhere in the entry, without regard to case."""
    before: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Only entries with smaller numbers; 0: all."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=LIMIT_MAX)] = 100

    def wants(self, line: Line, raw: bytes) -> bool:
        """Return whether an entry is one of those."""
        return (
            (not self.before or line.seq < self.before)
            and _like(self.actor, line.actor)
            and _like(self.what, line.what)
            and (not self.since or line.at >= self.since)
            and (not self.until or line.at < self.until)
            and (not self.trace or line.trace == self.trace)
            and (not self.text or self.text.casefold() in raw.decode("utf-8", "replace").casefold())
        )


def find(files: AuditFiles, query: Query) -> tuple[list[Line], int]:
    """Return the newest entries that are wanted, oldest first, and where older ones begin.

    The second is 0 if there are no older ones, else `before` of the query for them.
    """
    found: list[Line] = []
    for path in reversed(files.segments()):
        here = [line for _, line in wanted(files, query, [path])]
        found = here + found
        if len(found) > query.limit:
            kept = found[-query.limit :]
            return kept, kept[0].seq
    return found, 0


def wanted(
    files: AuditFiles, query: Query, segments: list[Path] | None = None
) -> Iterator[tuple[bytes, Line]]:
    """Yield (line as it stands there, entry) of what is wanted, oldest first, without a limit."""
    for _, raw, _ in files.lines(segments):
        try:
            line = parse(raw)
        except IntegrityError:
            continue
        if query.wants(line, raw):
            yield raw, line


def moment(typed: str, *, now: datetime) -> str:
    """Return a time that somebody typed as entries write it: `2h` ago, or a date, or date and time.

    Raises:
        RequestInvalid: It is none of these.
    """
    number, unit = typed[:-1], typed[-1:]
    if unit in _SPANS and number.isdecimal() and len(number) <= 6:  # noqa: PLR2004
        at = now - timedelta(seconds=int(number) * _SPANS[unit])
    else:
        try:
            at = datetime.fromisoformat(typed)
        except ValueError as exc:
            raise RequestInvalid(
                f"{typed[:40]} is no time; write 2h, 7d or 2026-03-01T12:00"
            ) from exc
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def prove_entry(audit: Audit, number: int, *, certificates: str) -> Proof:
    """Return the proof of one entry.

    Raises:
        KeyNotFound: There is no such entry, or it was removed.
        IntegrityError: The chain is damaged around it.
        OSError: The files cannot be read.
    """
    raw, before = _entry(audit.files, number)
    line = parse(raw)
    steps: tuple[Step, ...] = ()
    if line.sig:
        head = audit.author.head(tip_of(line))
    else:
        stretch = audit.stretch(number, SIGN_EVERY, nearest=True)
        if stretch is None:
            raise KeyNotFound(f"no signature follows entry {number}: nobody was told of it")
        steps, head = stretch.steps, stretch.head
    public_key = audit.owner.public_key
    return prove(
        raw, before=before, steps=steps, head=head, public_key=public_key, certificates=certificates
    )


def _entry(files: AuditFiles, number: int) -> tuple[bytes, str]:
    """Return an entry as it stands there, and the signature of the one before."""
    before = ""
    anchors = {one.head.seq: one.head.sig for one in files.anchors()}
    for _, raw, _ in files.lines():
        try:
            line = parse(raw)
        except IntegrityError:
            continue
        if line.seq == number:
            return raw, before or anchors.get(number - 1, "")
        before = line.sig
    raise KeyNotFound(f"there is no entry {number}, or not any more")


def _like(pattern: str, value: str) -> bool:
    if pattern.endswith("*"):
        return value.startswith(pattern[:-1])
    return not pattern or value == pattern
