"""Every way to tamper with an audit is found and named, by itself or by what peers hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from bzzz_core.api.audit_text import render_verified
from bzzz_core.auditing.reports import VerifyDocument
from bzzz_core.errors import IntegrityError
from bzzz_core.telemetry.audit import Audit
from bzzz_core.telemetry.audit_verify import owner_in, verify_files
from bzzz_core.trust.audit_chain import SIGN_EVERY, Act, Head, Tip, parse, seal, tip_of
from bzzz_core.trust.audit_report import Checkpoint, Report
from bzzz_core.trust.keys import IdentityKey
from tests.fakes.audits import audit_at

Lines = list[bytes]


class Node:
    """A chain of twelve entries, each signed, told to a peer at entries 5 and 12."""

    def __init__(self, logs: Path) -> None:
        self.key = IdentityKey.generate()
        self.audit: Audit = audit_at(logs, key=self.key)
        self.held: list[Checkpoint] = []
        for number in range(2, 13):
            self.audit.record(f"act {number}", actor="a")
            if number in (5, 12):
                self.held.append(Checkpoint("bzzz-2", self.head()))
        self.audit.close()
        self.path = self.audit.files.segments()[-1]

    def head(self) -> Head:
        head = self.audit.head()
        assert head is not None
        return head

    @property
    def lines(self) -> Lines:
        return self.path.read_bytes().splitlines(keepends=True)

    def tamper(self, how: Callable[[Lines], Lines]) -> None:
        self.path.write_bytes(b"".join(how(self.lines)))

    def rewrite(self, since: int, acts: int) -> None:
        """Write the chain anew behind `since` entries, with the node's own key."""
        kept = self.lines[:since]
        tip = tip_of(parse(kept[-1][:-1])) if kept else Tip()
        new = [Act(at="then", actor="b", what="nothing happened") for _ in range(acts)]
        for act in new:
            more, led = seal([act], tip, author=self.audit.author, node="bzzz-1")
            kept += [line + b"\n" for line in more]
            tip = led[-1][0]
        self.path.write_bytes(b"".join(kept))

    def verify(self, *, peers: bool = False, thorough: bool = False) -> Report:
        held = self.held if peers else []
        return verify_files(self.audit.files, self.audit.owner, checkpoints=held, thorough=thorough)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def fault_of(report: Report) -> tuple[str, int]:
    assert report.fault is not None
    return report.fault.kind, report.fault.seq


def edit(number: int, old: bytes, new: bytes) -> Callable[[Lines], Lines]:
    def change(lines: Lines) -> Lines:
        assert old in lines[number - 1]
        return [*lines[: number - 1], lines[number - 1].replace(old, new), *lines[number:]]

    return change


def test_nothing_is_found_where_nothing_was_done(node: Node) -> None:
    for thorough in (False, True):
        report = node.verify(peers=True, thorough=thorough)
        assert report.fault is None
        assert (report.entries, report.last) == (12, 12)
        (confirmed,) = report.confirmed
        assert (confirmed.peer, confirmed.seq) == ("bzzz-2", 12)
    assert report.signatures >= 12


@pytest.mark.parametrize(
    ("how", "found"),
    [
        (edit(4, b"act 4", b"act 5"), ("edit", 4)),
        (edit(12, b"act 12", b"act 21"), ("edit", 12)),
        (edit(4, b'"sig":"', b'"sig":"0'), ("edit", 4)),
        (edit(4, b'"what"', b'"waht"'), ("edit", 4)),
        (edit(4, b'"seq":4', b'"seq": 4'), ("edit", 4)),
        (edit(4, b"}", b"}}"), ("edit", 4)),
        (edit(4, b"\n", b""), ("edit", 4)),
        (edit(4, b"\n", b"\n\n"), ("edit", 5)),
        (lambda lines: [*lines[:4], b"x" * 100_000 + b"\n", *lines[4:]], ("edit", 5)),
        (lambda lines: [*lines, b"no entry\n"], ("edit", 13)),
        (lambda lines: lines[:3] + lines[4:], ("delete", 4)),
        (lambda lines: lines[:3] + lines[6:], ("delete", 4)),
        (lambda lines: lines[1:], ("delete", 1)),
        (lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]], ("reorder", 4)),
        (lambda lines: [*lines[:3], *lines[6:], *lines[3:6]], ("reorder", 4)),
        (lambda lines: [*lines[:6], lines[3], *lines[6:]], ("reorder", 4)),
        (lambda lines: [*lines[:6], lines[5], *lines[6:]], ("reorder", 6)),
    ],
)
def test_edit_delete_and_reorder_show_in_the_files_alone(
    node: Node, how: Callable[[Lines], Lines], found: tuple[str, int]
) -> None:
    node.tamper(how)
    assert fault_of(node.verify()) == found
    assert fault_of(node.verify(thorough=True)) == found


def digit(after: bytes) -> Callable[[Lines], Lines]:
    """Change the first hexadecimal digit behind some bytes of the first entry."""

    def change(lines: Lines) -> Lines:
        at = lines[0].index(after) + len(after)
        other = b"1" if lines[0][at : at + 1] == b"0" else b"0"
        return [lines[0][:at] + other + lines[0][at + 1 :], *lines[1:]]

    return change


UNHASHED = "entry 1 is not what was hashed"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (edit(1, b"audit begun", b"audit begin"), UNHASHED),
        (edit(1, b'"cluster":"test"', b'"cluster":"mine"'), UNHASHED),
        (digit(b'"node_id":"'), UNHASHED),
        (digit(b'"public_key":"'), UNHASHED),
        (edit(1, b'"at":"then"', b'"at":"when"'), UNHASHED),
        (digit(b'"hash":"'), UNHASHED),
        (digit(b'"sig":"'), "the signature of entry 1 is not that of bzzz-1"),
        (digit(b'"prev":"'), "the first entry names one before it"),
        (edit(1, b'"seq":1', b'"seq":2'), "the first entry bears the number 2"),
        (edit(1, b'"seq":1', b'"seq":0'), "the line is no entry: Expected `int` >= 1 - at `$.seq`"),
        (lambda lines: [lines[0][:40] + b"\n", *lines[1:]], "the line is no entry: Input data"),
        (lambda lines: [lines[0][:40] + b"\n"] + [b"0\n"] * 3, "the line is no entry: Input data"),
    ],
)
def test_an_edit_of_the_first_entry_is_told_as_what_it_is_and_where(
    node: Node, how: Callable[[Lines], Lines], words: str
) -> None:
    """It is no fork and no deletion: nobody should look for entries that never were."""
    node.tamper(how)
    for peers in (False, True):
        for thorough in (False, True):
            fault = node.verify(peers=peers, thorough=thorough).fault
            assert fault is not None
            assert (fault.kind, fault.seq, fault.place) == ("edit", 1, f"{node.path.name}:1")
            assert fault.words.startswith(words)


def said(report: Report) -> list[str]:
    found = VerifyDocument(node="bzzz-1", ok=report.fault is None, report=report)
    return render_verified(msgspec.to_builtins(found)).splitlines()


def test_what_a_person_reads_counts_no_entries_that_are_not_there(node: Node) -> None:
    assert said(node.verify())[1] == "  12 entries read, 1 to 12, the last of then"
    node.tamper(lambda lines: lines[:1])
    assert said(node.verify())[1] == "  1 entry read, 1 to 1, the last of then"
    node.tamper(edit(1, b"audit begun", b"audit begin"))
    assert said(node.verify())[:4] == [
        "bzzz-1: NOT AS IT WAS WRITTEN",
        f"  EDITED at entry 1, {node.path.name}:1",
        "  entry 1 is not what was hashed",
        "  no entry stands before that",
    ]
    node.tamper(lambda _lines: [])
    assert said(node.verify())[1] == "  there is no entry yet"


def test_a_copy_whose_first_entry_was_changed_does_not_say_whose_it_is(node: Node) -> None:
    node.tamper(edit(1, b"audit begun", b"audit begin"))
    with pytest.raises(IntegrityError, match="was changed; say it with --node NAME"):
        owner_in(node.audit.files)


def test_the_first_entry_twice_is_told_so(node: Node) -> None:
    node.tamper(lambda lines: [lines[0], *lines])
    fault = node.verify().fault
    assert fault is not None
    assert (fault.kind, fault.seq, fault.words) == ("reorder", 1, "entry 1 stands there twice")


def test_a_first_entry_without_its_signature_is_told_with_the_one_that_misses_it(
    node: Node,
) -> None:
    def unsign(lines: Lines) -> Lines:
        return [lines[0][: lines[0].index(b',"sig"')] + b"}\n", *lines[1:]]

    node.tamper(unsign)
    fault = node.verify().fault
    assert fault is not None
    assert (fault.kind, fault.seq) == ("edit", 2)
    assert fault.words == "entry 2 is not what was hashed, or entry 1 has lost its signature"


def test_an_entry_whose_predecessor_was_named_anew_is_the_one_at_fault(node: Node) -> None:
    prev = parse(node.lines[6][:-1]).prev.encode()
    node.tamper(edit(7, b'"prev":"' + prev, b'"prev":"' + prev[::-1]))
    fault = node.verify().fault
    assert fault is not None
    assert (fault.kind, fault.seq) == ("edit", 7)
    assert fault.place.endswith(":7")


def test_a_forged_part_is_found_where_it_begins_though_something_else_is_wrong_behind_it(
    node: Node,
) -> None:
    forger = IdentityKey.generate()
    node.audit.author = type(node.audit.author)(node.audit.author.cluster, forger)
    node.rewrite(since=3, acts=9)
    node.tamper(lambda lines: [*lines[:9], *lines[10:]])
    assert fault_of(node.verify()) == ("edit", 4)
    assert fault_of(node.verify(thorough=True)) == ("edit", 4)


def test_two_entries_in_one_place_are_a_fork(node: Node) -> None:
    before = node.lines
    node.rewrite(since=8, acts=1)
    other = node.lines[-1]
    node.path.write_bytes(b"".join([*before[:9], other, *before[9:]]))
    assert fault_of(node.verify()) == ("fork", 9)


@pytest.mark.parametrize("left", [11, 7, 5, 1, 0])
def test_an_end_that_was_cut_off_shows_against_what_a_peer_holds(node: Node, left: int) -> None:
    node.tamper(lambda lines: lines[:left])
    assert node.verify().fault is None
    report = node.verify(peers=True)
    assert fault_of(report) == ("truncate", left + 1)
    assert report.fault is not None
    assert "bzzz-2" in report.fault.words


@pytest.mark.parametrize(("since", "acts"), [(3, 9), (3, 20), (11, 1)])
def test_a_chain_written_anew_with_the_nodes_key_shows_against_what_a_peer_holds(
    node: Node, since: int, acts: int
) -> None:
    node.rewrite(since, acts)
    assert node.verify(thorough=True).fault is None
    assert fault_of(node.verify(peers=True)) == ("fork", 5 if since < 5 else 12)


def test_what_no_peer_holds_yet_can_be_written_anew_with_the_nodes_key(node: Node) -> None:
    """The limit of what is promised; docs/threat-model.md says so."""
    node.held = node.held[:1]
    node.rewrite(since=5, acts=3)
    assert node.verify(peers=True).fault is None


def test_a_chain_written_anew_without_the_key_is_no_chain_of_the_node(node: Node) -> None:
    forger = IdentityKey.generate()
    node.audit.author = type(node.audit.author)(node.audit.author.cluster, forger)
    node.rewrite(since=3, acts=9)
    assert fault_of(node.verify()) == ("edit", 4)


def test_checkpoints_and_anchors_that_the_node_did_not_sign_do_not_count(node: Node) -> None:
    held = node.held[1].head
    false = Head(
        cluster=held.cluster,
        node_id=held.node_id,
        seq=40,
        hash=held.hash,
        at=held.at,
        sig=held.sig,
    )
    node.held = [Checkpoint("liar", false)]
    report = node.verify(peers=True)
    assert report.fault is None
    assert "liar" in report.notes[0]


def test_another_nodes_chain_is_not_this_ones(node: Node, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Node(tmp_path / "other")
    report = verify_files(other.audit.files, node.audit.owner)
    assert fault_of(report) == ("fork", 1)


def test_a_large_write_is_signed_often_enough(node: Node) -> None:
    node.audit.write([node.audit.act("act", "a", {}) for _ in range(3 * SIGN_EVERY + 5)])
    node.audit.close()
    assert node.verify().fault is None


def test_too_long_a_run_without_a_signature_is_a_fault(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bzzz_core.trust.audit_chain.SIGN_EVERY", SIGN_EVERY + 1)
    node.audit.write([node.audit.act("act", "a", {}) for _ in range(3 * SIGN_EVERY)])
    node.audit.close()
    assert fault_of(node.verify()) == ("edit", 12 + SIGN_EVERY)
