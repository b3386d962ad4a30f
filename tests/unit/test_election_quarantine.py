"""What is held against whom, and for how long."""

from __future__ import annotations

from pathlib import Path

import pytest

from bzzz_core.election.messages import Ballot, Evidence, SignedBallot
from bzzz_core.election.proofs import FileProofs, Proofs
from bzzz_core.election.quarantine import (
    OFFENCES_MAX,
    SUSPICION_MS,
    WINDOW_MS,
    Conviction,
    Offence,
    Quarantine,
    Rejected,
    equivocates,
)
from bzzz_core.model import NodeId, Revision, Term
from tests.fakes.election_world import CLUSTER, STREAM, A, B, C, voter_set

VOTERS = voter_set("abc")


def ballot(
    candidate: NodeId, *, voter: NodeId = B, term: int = 2, previous: int = 1
) -> SignedBallot:
    content = Ballot(
        CLUSTER, STREAM, Revision(previous), Term(term), candidate, voter, VOTERS.digest()
    )
    return SignedBallot(content, bytes(64))


def court(**more: object) -> Quarantine:
    return Quarantine(me=A, voters=VOTERS, **more)  # type: ignore[arg-type]


def lie(culprit: NodeId | None = B, offence: Offence = Offence.UNTRUE) -> Rejected:
    return Rejected("a lie", offence, claimed=B, culprit=culprit)


def note(quarantine: Quarantine, rejected: Rejected, now_ms: int = 0) -> Conviction | None:
    return quarantine.note(rejected, now_ms, at="then", evidence=b"proof")


@pytest.mark.parametrize(
    ("second", "guilty"),
    [
        (ballot(C), True),
        (ballot(A), False),
        (ballot(C, term=3), False),
        (ballot(C, previous=2), False),
        (ballot(C, voter=C), False),
    ],
)
def test_only_two_candidates_on_one_record_in_one_term_convict(
    second: SignedBallot,
    guilty: bool,  # noqa: FBT001
) -> None:
    """On another record a voter without memory may sign for a term once more."""
    assert equivocates(ballot(A), second) is guilty
    quarantine = court()
    assert quarantine.see(ballot(A)) is None
    evidence = quarantine.see(second)
    assert (evidence is not None) is guilty
    if evidence is not None:
        conviction = quarantine.convict(evidence, at="then")
        assert conviction is not None
        assert (conviction.node, conviction.offence, conviction.until_ms) == (B, "equivocal", None)
        assert quarantine.convict(evidence, at="again") is None, "told once"
        assert quarantine.nodes(10**9) == {B}


def test_a_node_does_not_put_itself_into_quarantine() -> None:
    quarantine = court()
    assert quarantine.convict(Evidence(ballot(B, voter=A), ballot(C, voter=A)), at="") is None
    assert note(quarantine, lie(A)) is None


def test_ballots_are_not_remembered_without_end() -> None:
    quarantine = court()
    for term in range(2, 1_000):
        quarantine.see(ballot(A, term=term))
    assert quarantine.see(ballot(C, term=999)) is not None
    assert quarantine.see(ballot(C, term=2)) is None, "forgotten"


def test_what_nobody_signed_is_counted_and_convicts_nobody() -> None:
    """Or a quarantine would be a weapon."""
    quarantine = court()
    for _ in range(3 * OFFENCES_MAX):
        assert note(quarantine, lie(None, Offence.FORGED)) is None
    quarantine.count(Offence.STALE, "somebody nobody knows")
    assert quarantine.counters == {"forged": 30, "forged:b": 30, "stale": 1}
    assert quarantine.convictions(0) == ()


@pytest.mark.parametrize("offence", [Offence.VERSION, Offence.OTHER_VOTERS, Offence.STALE])
def test_a_difference_is_no_offence(offence: Offence) -> None:
    """Another release, other voters, a late message: nobody is to blame."""
    quarantine = court()
    for _ in range(3 * OFFENCES_MAX):
        assert note(quarantine, lie(offence=offence)) is None
    assert lie(offence=offence).against(B, proven=True).proven is False


def test_many_offences_in_a_short_time_are_a_suspicion_that_passes() -> None:
    quarantine = court()
    for n in range(OFFENCES_MAX - 1):
        assert note(quarantine, lie(), n) is None
    conviction = note(quarantine, lie(), OFFENCES_MAX)
    assert conviction is not None
    assert conviction.until_ms == OFFENCES_MAX + SUSPICION_MS
    assert quarantine.proofs == ()
    assert note(quarantine, lie(), OFFENCES_MAX) is None, "told once"
    assert quarantine.nodes(OFFENCES_MAX + SUSPICION_MS - 1) == {B}
    assert quarantine.nodes(OFFENCES_MAX + SUSPICION_MS) == frozenset()
    assert note(quarantine, lie(), OFFENCES_MAX + SUSPICION_MS) is None, "it begins anew"


def test_few_offences_over_a_long_time_are_none() -> None:
    quarantine = court()
    for n in range(3 * OFFENCES_MAX):
        assert note(quarantine, lie(), n * WINDOW_MS) is None


def test_suspicion_never_takes_the_majority() -> None:
    """A mistake that all share must not stop the cluster; a proof may."""
    quarantine = court()
    for culprit in (B, C):
        for _ in range(OFFENCES_MAX):
            note(quarantine, lie(culprit))
    assert quarantine.nodes(0) == {B}
    proven = Rejected("false", Offence.UNPROVEN).against(C, proven=True)
    assert note(quarantine, proven) is not None
    assert quarantine.nodes(0) == {B, C}


def test_a_proof_takes_the_place_of_a_suspicion() -> None:
    quarantine = court()
    for _ in range(OFFENCES_MAX):
        note(quarantine, lie())
    assert note(quarantine, lie().against(B, proven=True)) is not None
    assert quarantine.nodes(10 * SUSPICION_MS) == {B}


def test_who_is_no_voter_is_not_held_to_anything() -> None:
    quarantine = court()
    assert note(quarantine, lie(NodeId("x")).against(NodeId("x"), proven=True)) is None
    kept = Conviction(NodeId("x"), "untrue", "", "")
    assert court(kept=[kept]).convictions(0) == ()


def test_a_pardoned_proof_cannot_be_brought_up_again() -> None:
    """Whoever kept it could lock the voter out for ever."""
    quarantine = court()
    quarantine.see(ballot(A))
    evidence = quarantine.see(ballot(C))
    assert evidence is not None
    quarantine.convict(evidence, at="")
    assert quarantine.pardon(B) is not None
    assert quarantine.convict(Evidence(evidence.second, evidence.first), at="") is None
    other = Evidence(ballot(A, term=3), ballot(C, term=3))
    assert quarantine.convict(other, at="") is not None, "another one counts"
    assert quarantine.pardon(B) is not None
    proven = lie().against(B, proven=True)
    assert note(quarantine, proven) is not None
    assert quarantine.pardon(B) is not None
    assert note(quarantine, proven) is None
    assert quarantine.pardon(B) is None
    assert len(quarantine.pardons) == 3
    assert court(pardons=quarantine.pardons).convict(evidence, at="") is None


def test_proofs_survive_a_restart_and_a_damaged_file_knows_nothing(tmp_path: Path) -> None:
    store = FileProofs(tmp_path / "quarantine")
    assert store.load() == Proofs()
    quarantine = court()
    note(quarantine, lie().against(B, proven=True))
    store.save(Proofs(quarantine.proofs, ("a pardon",)))
    kept = store.load()
    again = court(kept=kept.convictions, pardons=kept.pardons)
    assert again.nodes(0) == {B}
    assert again.pardons == ("a pardon",)
    (tmp_path / "quarantine").write_bytes(b"\xc1")
    assert store.load() == Proofs()
