"""A holder knows whether a chain was continued, cut or forked, and forgets no contradiction."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bzzz_core.model import NodeId
from bzzz_core.telemetry.audit import Audit
from bzzz_core.telemetry.audit_ledgers import Ledgers
from bzzz_core.trust.audit_chain import Head
from bzzz_core.trust.audit_ledger import (
    CONTRADICTIONS_MAX,
    HEADS_MAX,
    NONCE_BYTES,
    Ledger,
    Told,
    genuine,
)
from bzzz_core.trust.keys import IdentityKey
from tests.fakes.audits import CLUSTER, audit_at

HOLDER, OTHER = NodeId("a" * 26), NodeId("b" * 26)
NONCE = b"n" * NONCE_BYTES


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[Audit]:
    made = audit_at(tmp_path)
    made.record("first", actor="a")
    yield made
    made.close()


def ledger_of(audit: Audit) -> Ledger:
    owner = audit.owner
    return Ledger(node_id=owner.node_id, name=owner.node, public_key=owner.public_key)


def head_of(audit: Audit) -> Head:
    head = audit.head()
    assert head is not None
    return head


def told(audit: Audit, since: int = 0) -> Told:
    stretch = audit.stretch(since, 100)
    said = Told(head=head_of(audit), nonce=NONCE, since=since)
    if stretch is not None:
        said = Told(head=stretch.head, nonce=NONCE, since=since, steps=stretch.steps)
    return said.signed(audit.author.signer, HOLDER)


def fork_of(audit: Audit, folder: Path, acts: int) -> Audit:
    """Return another chain of the same node, as somebody with its key would write it."""
    folder.mkdir()
    signer = audit.author.signer
    assert isinstance(signer, IdentityKey)
    other = audit_at(folder, key=signer)
    for _ in range(acts):
        other.record("nothing happened", actor="b")
    other.close()
    return other


def test_a_chain_that_goes_on_is_believed_only_with_the_steps_to_it(audit: Audit) -> None:
    ledger, verdict = ledger_of(audit).take(told(audit), at="t1")
    assert verdict == "new"
    assert ledger.take(told(audit), at="t2") == (ledger, "known")
    for number in range(5):
        audit.record("act", actor="a", number=number)
    ledger, verdict = ledger.take(told(audit, since=2), at="t3")
    assert verdict == "new"
    assert [one.linked for one in ledger.heads] == [True, True]
    audit.record("act", actor="a")
    ledger, verdict = ledger.take(told(audit, since=3), at="t4")
    assert (verdict, ledger.heads[-1].linked) == ("new", False)
    assert not ledger.open


def test_a_chain_that_became_shorter_and_one_that_is_another_are_kept_with_both_ends(
    audit: Audit, tmp_path: Path
) -> None:
    for _ in range(3):
        audit.record("act", actor="a")
    ledger, _ = ledger_of(audit).take(told(audit), at="t1")
    for folder, acts, found in (("cut", 1, "rollback"), ("same", 4, "fork"), ("long", 9, "fork")):
        other = fork_of(audit, tmp_path / folder, acts)
        after, verdict = ledger.take(told(other, since=5 if acts > 4 else 0), at="t2")
        assert verdict == found
        (one,) = after.open
        assert (one.kind, one.held.head.seq, one.told.head.seq) == (found, 5, acts + 1)
        assert one.told.steps == told(other, since=5 if acts > 4 else 0).steps
        assert after.latest is not None
        assert after.latest.head == head_of(other), "held from here on"
        assert {head.hash for head in after.evidence()} >= {
            head_of(audit).hash,
            head_of(other).hash,
        }
        again, verdict = after.take(told(other), at="t3")
        assert (verdict, again) == ("known", after), "told once"
        accepted = after.accept(by="root", at="t4")
        assert accepted.open == ()
        assert accepted.contradictions[0].accepted_by == "root"
        assert [head.hash for head in accepted.evidence()] == [head_of(other).hash]


def test_nobody_can_tell_for_another_nor_again_nor_to_somebody_else(audit: Audit) -> None:
    said = told(audit)
    key, node = audit.owner.public_key, audit.owner.node_id
    assert genuine(said, key, cluster=CLUSTER, node=node, holder=HOLDER)
    assert not genuine(said, key, cluster=CLUSTER, node=node, holder=OTHER)
    assert not genuine(said, key, cluster="other", node=node, holder=HOLDER)
    assert not genuine(said, key, cluster=CLUSTER, node=OTHER, holder=HOLDER)
    changed = Told(
        head=said.head, nonce=b"m" * NONCE_BYTES, since=0, steps=said.steps, sig=said.sig
    )
    assert not genuine(changed, key, cluster=CLUSTER, node=node, holder=HOLDER)
    stripped = Told(head=said.head, nonce=NONCE, since=0, sig=said.sig)
    assert not genuine(stripped, key, cluster=CLUSTER, node=node, holder=HOLDER)


def test_what_is_held_is_bounded_and_reaches_back(audit: Audit) -> None:
    ledger = ledger_of(audit)
    for _ in range(4 * HEADS_MAX):
        latest = ledger.latest
        audit.record("act", actor="a")
        ledger, _ = ledger.take(told(audit, since=latest.head.seq if latest else 0), at="t")
    kept = [one.head.seq for one in ledger.heads]
    assert len(kept) == HEADS_MAX
    assert kept == sorted(kept)
    assert kept[0] <= 4, "the oldest stays"
    assert kept[-4:] == list(range(kept[-1] - 3, kept[-1] + 1)), "and so do the newest"


def test_of_many_contradictions_the_first_and_the_last_stay(audit: Audit, tmp_path: Path) -> None:
    audit.record("act", actor="a")
    ends = (audit, fork_of(audit, tmp_path / "other", 2))
    ledger = ledger_of(audit)
    for number in range(3 * CONTRADICTIONS_MAX):
        ledger, _ = ledger.take(told(ends[number % 2]), at=f"t{number}")
    assert len(ledger.contradictions) == CONTRADICTIONS_MAX
    assert ledger.contradictions[0].at == "t1"
    assert ledger.contradictions[-1].at == f"t{3 * CONTRADICTIONS_MAX - 1}"
    assert ledger.more == 2 * CONTRADICTIONS_MAX - 1


def test_what_is_held_outlives_a_restart_and_what_cannot_be_read_is_not_overwritten(
    audit: Audit, tmp_path: Path
) -> None:
    ledger, _ = ledger_of(audit).take(told(audit), at="t")
    place = tmp_path / "checkpoints"
    Ledgers(place).keep(ledger)
    (place / OTHER).write_bytes(b"spoilt")
    again = Ledgers(place)
    again.load()
    assert again.all() == (ledger,)
    assert again.get(ledger.node_id) == ledger
    assert (place / f"{OTHER}.unreadable").read_bytes() == b"spoilt"


def test_a_ledger_with_a_key_that_is_not_the_nodes_is_none() -> None:
    with pytest.raises(ValueError, match="another node"):
        Ledger(node_id=OTHER, name="x", public_key=IdentityKey.generate().public_key)
