"""Entries are found, exported and proven."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from bzzz_core.errors import IntegrityError, KeyNotFound, RequestInvalid, TrustError
from bzzz_core.telemetry.audit import Audit
from bzzz_core.telemetry.audit_export import Header, export, verify_export
from bzzz_core.telemetry.audit_query import Query, find, moment, prove_entry
from bzzz_core.trust.audit_proof import check, check_authority, check_key, load
from bzzz_core.trust.audit_report import Checkpoint
from bzzz_core.trust.keys import IdentityKey
from tests.fakes.audits import audit_at


class Minutes:
    """A wall clock that goes on by a minute each time it is read."""

    def __init__(self) -> None:
        self.count = -1

    def __call__(self) -> str:
        self.count += 1
        return f"2026-03-01T{self.count // 60:02}:{self.count % 60:02}:00.000Z"


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[Audit]:
    """Return 91 entries, in small segments and in writes of three."""
    made = audit_at(tmp_path, now=Minutes(), segment_bytes=3_000)
    for number in range(30):
        made.write(
            [
                made.act("config changed", "root by API", {"key": f"k{number}"}),
                made.act("refused", f"edge-{number % 3}", {"reason": "No Voter"}, trace="ab" * 16),
                made.act("joined", "leader", {"n": number}),
            ]
        )
    yield made
    made.close()


def numbers(audit: Audit, **wish: object) -> list[int]:
    return [line.seq for line in find(audit.files, msgspec.convert(wish, Query))[0]]


def test_entries_are_found_by_each_of_their_parts(audit: Audit) -> None:
    assert numbers(audit, actor="edge-1") == list(range(6, 92, 9))
    assert numbers(audit, actor="edge-*", limit=2) == [87, 90]
    assert numbers(audit, what="joined", limit=3) == [85, 88, 91]
    assert len(numbers(audit, trace="ab" * 16)) == 30
    assert numbers(audit, text="no voter", limit=1) == [90]
    assert numbers(audit, text="k17") == [53]
    assert numbers(audit, since="2026-03-01T01:30") == [91]
    assert numbers(audit, until="2026-03-01T00:02") == [2, 3]
    assert numbers(audit, what="nothing") == []


def test_pages_of_older_entries_lead_to_the_first(audit: Audit) -> None:
    found: list[int] = []
    before = 0
    while True:
        lines, before = find(audit.files, Query(limit=7, before=before))
        found = [line.seq for line in lines] + found
        if not before:
            break
    assert found == list(range(1, 92))


def test_times_are_typed_as_people_type_them() -> None:
    now = datetime(2026, 3, 2, 12, tzinfo=UTC)
    assert moment("2h", now=now) == "2026-03-02T10:00:00.000Z"
    assert moment("2026-03-01", now=now) == "2026-03-01T00:00:00.000Z"
    assert moment("2026-03-01T12:00+02:00", now=now) == "2026-03-01T10:00:00.000Z"
    for typed in ("soon", "", "-1h", "99999999d", "2026-13-01"):
        with pytest.raises(RequestInvalid):
            moment(typed, now=now)


def test_every_entry_can_be_proven_and_no_changed_proof_holds(audit: Audit) -> None:
    lengths = set()
    for number in range(1, 92):
        proof = prove_entry(audit, number, certificates="")
        assert check(load(msgspec.json.encode(proof))).seq == number
        check_key(proof, audit.owner.public_key)
        lengths.add(len(proof.steps))
        for part, other in (
            ("entry", proof.entry.replace("2026", "2027")),
            ("before", "ab" * 64),
            ("steps", ()) if proof.steps else ("before", "cd" * 64),
            ("public_key", IdentityKey.generate().public_key.hex()),
        ):
            with pytest.raises(IntegrityError):
                check(msgspec.structs.replace(proof, **{part: other}))
    assert lengths == {0, 1, 2}
    with pytest.raises(KeyNotFound):
        prove_entry(audit, 92, certificates="")
    with pytest.raises(TrustError, match="not by"):
        check_key(proof, IdentityKey.generate().public_key)
    with pytest.raises(TrustError, match="no certificate"):
        check_authority(proof, "")
    with pytest.raises(IntegrityError):
        load(b"{}")


def test_the_proof_behind_a_removed_segment_uses_its_anchor(tmp_path: Path) -> None:
    audit = audit_at(tmp_path, segment_bytes=2_000, bytes_max=5_000)
    for _ in range(40):
        audit.record("act", actor="a")
    first = audit.files.first()
    assert first is not None
    assert first.seq > 1
    assert check(prove_entry(audit, first.seq, certificates="")).seq == first.seq
    with pytest.raises(KeyNotFound):
        prove_entry(audit, first.seq - 1, certificates="")
    audit.close()


@pytest.mark.parametrize("since", ["", "2026-03-01T00:31"])
@pytest.mark.parametrize("until", ["", "2026-03-01T01:05"])
def test_an_export_whole_or_in_part_is_verified_elsewhere(
    audit: Audit, tmp_path: Path, since: str, until: str
) -> None:
    head = audit.head()
    assert head is not None
    path = tmp_path / "export"
    lines = list(export(audit.files, audit.owner, since=since, until=until, at="now"))
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    assert Header.read(path).owner == audit.owner
    checkpoints = [Checkpoint("bzzz-2", head)]
    report = verify_export(path, audit.owner, checkpoints=checkpoints, thorough=True)
    assert report.fault is None
    assert report.entries == len(lines) - 1
    assert len(report.confirmed) == (not until)
    path.write_bytes(path.read_bytes().replace(b'"k15"', b'"k51"'))
    report = verify_export(path, audit.owner, checkpoints=[], thorough=False)
    assert report.fault is not None
    assert report.fault.kind == "edit"


def test_an_export_with_another_beginning_is_none(audit: Audit, tmp_path: Path) -> None:
    path = tmp_path / "export"
    lines = list(export(audit.files, audit.owner, since="2026-03-01T00:31", until="", at="now"))
    path.write_bytes(b"".join(line + b"\n" for line in [lines[0], *lines[2:]]))
    report = verify_export(path, audit.owner, checkpoints=[], thorough=False)
    assert report.fault is not None
    for spoilt in (b"", b"{}\n", b"x" * 10_000):
        path.write_bytes(spoilt)
        with pytest.raises(IntegrityError):
            Header.read(path)
