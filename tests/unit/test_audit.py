"""The audit is appended to, signed, goes on after a power loss, and never grows without bound."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from bzzz_core.telemetry.audit import Audit
from bzzz_core.telemetry.audit_files import AuditFiles
from bzzz_core.telemetry.audit_pending import take_in, taken
from bzzz_core.telemetry.audit_verify import verify_files
from bzzz_core.trust.audit_chain import Anchor, parse
from bzzz_core.trust.audit_report import Report
from bzzz_core.trust.keys import IdentityKey
from tests.fakes.audits import acts, audit_at


class PowerCut(Exception):
    """The machine stops here."""


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[Audit]:
    made = audit_at(tmp_path)
    yield made
    made.close()


def verified(audit: Audit) -> Report:
    return verify_files(audit.files, audit.owner)


def test_each_act_is_one_entry_that_says_who_what_and_when(audit: Audit, tmp_path: Path) -> None:
    audit.record("node revoked", actor="operator", node_name="b", count=2)
    audit.record("config changed", actor="SIGHUP")
    first, second = acts(tmp_path)
    assert first == {
        "at": "then",
        "node": "bzzz-1",
        "what": "node revoked",
        "actor": "operator",
        "node_name": "b",
        "count": 2,
    }
    assert second["what"] == "config changed"
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "audit").iterdir()]
    assert not any(mode & 0o027 for mode in modes)
    assert verified(audit).fault is None


def test_every_write_ends_with_a_signature_and_large_ones_have_more(audit: Audit) -> None:
    audit.write([audit.act("act", "a", {}) for _ in range(200)])
    signed = [line.seq for _, raw, _ in audit.files.lines() if (line := parse(raw)).sig]
    assert signed == [1, 65, 129, 193, 201]


def test_a_restart_goes_on_with_the_chain(tmp_path: Path) -> None:
    key = IdentityKey.generate()
    for number in range(3):
        audit = audit_at(tmp_path, key=key)
        audit.record("start", actor="a", number=number)
        audit.close()
    report = verified(audit)
    assert (report.fault, report.entries, report.notes) == (None, 4, ())


@pytest.mark.parametrize("left", [1, 40, 300, -2])
def test_a_torn_last_line_is_named_and_does_not_swallow_the_next_act(
    tmp_path: Path, left: int
) -> None:
    key = IdentityKey.generate()
    audit = audit_at(tmp_path, key=key)
    audit.record("first", actor="a")
    audit.record("lost", actor="a")
    audit.close()
    path = audit.files.segments()[-1]
    *whole, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole) + last[:left])
    report = verified(audit)
    assert report.fault is None
    assert "torn" in report.notes[0]
    again = audit_at(tmp_path, key=key)
    again.record("second", actor="a")
    again.close()
    told = [line["what"] for line in acts(tmp_path, torn=True)]
    assert told == ["first", "audit recovered", "second"]
    report = verified(again)
    assert report.fault is None
    assert "lost with the power" in report.notes[0]


def acts_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_entries_without_a_signature_are_not_gone_on_from(tmp_path: Path) -> None:
    """Else somebody without the key could append entries, and the node would sign them."""
    key = IdentityKey.generate()
    audit = audit_at(tmp_path, key=key)
    audit.write([audit.act("act", "a", {"n": number}) for number in range(10)])
    audit.close()
    path = audit.files.segments()[-1]
    path.write_bytes(b"".join(acts_of(path)[:6]))
    again = audit_at(tmp_path, key=key)
    again.record("after", actor="a")
    again.close()
    report = verified(again)
    assert (report.fault, report.last) == (None, 3)
    assert report.entries == 3, "the first one, what was recovered, and the new one"


def test_what_no_power_loss_leaves_is_gone_on_from_and_stays_a_fault(tmp_path: Path) -> None:
    key = IdentityKey.generate()
    audit = audit_at(tmp_path, key=key)
    audit.record("one", actor="a")
    audit.record("two", actor="a")
    audit.close()
    path = audit.files.segments()[-1]
    path.write_bytes(path.read_bytes().replace(b'"what":"two"', b'"what":"tow"'))
    again = audit_at(tmp_path, key=key)
    again.record("three", actor="a")
    again.close()
    report = verified(again)
    assert report.fault is not None
    assert (report.fault.kind, report.fault.seq) == ("edit", 3)
    assert acts(tmp_path)[-1]["what"] == "three"


def test_a_chain_without_any_signature_of_the_node_is_set_aside(tmp_path: Path) -> None:
    audit = audit_at(tmp_path)
    audit.record("one", actor="a")
    audit.close()
    other = audit_at(tmp_path)
    other.record("two", actor="a")
    other.close()
    assert (tmp_path / "audit.1" / "000001.jsonl").exists()
    first = other.files.first()
    assert first is not None
    assert first.fields["set_aside"] == "audit.1"
    assert verified(other).fault is None


def test_the_audit_of_earlier_releases_is_taken_over_and_its_bytes_stand_in_the_first_entry(
    tmp_path: Path,
) -> None:
    (tmp_path / "audit.jsonl").write_text('{"what":"old"}\n')
    audit = audit_at(tmp_path)
    audit.record("new", actor="a")
    audit.close()
    assert not (tmp_path / "audit.jsonl").exists()
    assert verified(audit).notes == ("1 unsigned lines of earlier releases are as taken over",)
    audit.files.before.write_text('{"what":"odd"}\n')
    fault = verified(audit).fault
    assert fault is not None
    assert (fault.kind, fault.place) == ("edit", "before.jsonl")
    audit.files.before.unlink()
    fault = verified(audit).fault
    assert fault is not None
    assert fault.kind == "delete"


def test_old_segments_go_and_an_anchor_stays(tmp_path: Path) -> None:
    audit = audit_at(tmp_path, segment_bytes=4_000, bytes_max=20_000)
    for number in range(200):
        audit.record("act", actor="a", number=number)
    audit.close()
    total = sum(path.stat().st_size for path in audit.files.segments())
    assert total < 30_000
    report = verified(audit)
    assert report.fault is None
    assert report.first > 100
    assert "removed in order" in report.notes[0]
    audit.files.segments()[0].unlink()
    fault = verified(audit).fault
    assert fault is not None
    assert fault.kind == "delete"


class Failing(AuditFiles):
    """Files of a machine that loses its power at one step of removing a segment."""

    def __init__(self, directory: Path, at: str) -> None:
        super().__init__(directory)
        self.at = at

    def append_anchor(self, anchor: Anchor) -> None:
        if self.at == "before the anchor":
            raise PowerCut
        super().append_anchor(anchor)
        if self.at == "behind the anchor":
            raise PowerCut


def fill(audit: Audit) -> None:
    for _ in range(200):
        audit.record("act", actor="a")


@pytest.mark.parametrize("at", ["before the anchor", "behind the anchor"])
def test_a_power_loss_between_roll_and_anchor_costs_nothing(tmp_path: Path, at: str) -> None:
    key = IdentityKey.generate()
    audit = audit_at(tmp_path, key=key, segment_bytes=4_000, bytes_max=12_000)
    audit.files = Failing(tmp_path / "audit", at)
    with pytest.raises(PowerCut):
        fill(audit)
    audit.close()
    before = verified(audit)
    assert before.fault is None
    again = audit_at(tmp_path, key=key, segment_bytes=4_000, bytes_max=12_000)
    again.record("act", actor="a")
    again.close()
    report = verified(again)
    assert report.fault is None
    assert report.first > 1
    assert len(again.files.segments()) <= len(audit.files.segments())


def test_a_second_writer_forks_nothing(tmp_path: Path) -> None:
    key = IdentityKey.generate()
    agent, command = audit_at(tmp_path, key=key), audit_at(tmp_path, key=key)
    agent.record("one", actor="agent")
    assert not command.write([command.act("two", "command", {})])
    agent.record("three", actor="agent")
    agent.close()
    assert command.write([])
    command.close()
    agent.record("four", actor="agent")
    agent.close()
    assert [line["what"] for line in acts(tmp_path)] == ["one", "three", "two", "four"]
    assert verified(agent).fault is None


def test_what_commands_leave_is_taken_in_once(tmp_path: Path) -> None:
    audit = audit_at(tmp_path)
    audit.record("one", actor="agent")
    files = audit.files
    files.append_pending(json.dumps({"at": "t", "actor": "root", "what": "set"}).encode() + b"\n")
    files.append_pending(b"no act\n")
    assert [act.what for act in take_in(files)] == ["set"]
    files.append_pending(json.dumps({"at": "t", "actor": "root", "what": "more"}).encode() + b"\n")
    assert [act.what for act in take_in(files)] == ["set"], "not written yet"
    taken(files)
    assert [act.what for act in take_in(files)] == ["more"]
    taken(files)
    assert take_in(files) == []
    audit.close()


def test_what_cannot_be_written_is_said_and_does_not_stop_the_act(tmp_path: Path) -> None:
    audit_at(tmp_path / "missing").record("act", actor="a")
    assert not (tmp_path / "missing").exists()


def test_a_value_of_any_kind_and_length_fits_an_entry(audit: Audit, tmp_path: Path) -> None:
    audit.record(
        "act",
        actor="a\nb",
        reason="x" * 5_000,
        error=ValueError("no\nway"),
        name="\udcff",
        huge=2**80,
        endless=float("inf"),
    )
    (line,) = acts(tmp_path)
    assert line["error"] == "no\nway"
    assert len(str(line["reason"])) == 1_000
    assert (line["name"], line["huge"], line["endless"]) == ("?", str(2**80), "inf")
    assert verified(audit).fault is None


def test_how_the_chain_goes_on_is_the_same_from_memory_and_from_the_files(tmp_path: Path) -> None:
    key = IdentityKey.generate()
    audit = audit_at(tmp_path, key=key, segment_bytes=4_000)
    for _ in range(30):
        audit.write([audit.act("act", "a", {}), audit.act("act", "a", {})])
    other = audit_at(tmp_path, key=key)
    for after, steps in ((0, 1), (0, 7), (1, 4), (10, 8), (55, 100), (60, 1)):
        found = audit.stretch(after, steps)
        assert found == other.stretch(after, steps)
        assert found is None or found.since.seq == after
    assert audit.stretch(61, 10) is None
    assert audit.stretch(99, 10) is None
    audit.close()
