"""Handing over, failover by hand, and what else an operator may wish; one behaviour a test."""

from __future__ import annotations

import msgspec
import pytest

from bzzz_core.election.candidate import MANDATE_DETECTS
from bzzz_core.election.events import (
    BecameLeader,
    Broadcast,
    CastBallot,
    Cause,
    Decided,
    Drain,
    Drained,
    GuardRefused,
    HandingFailed,
    HandOver,
    LeaderLost,
    NotDrained,
    Quarantined,
    Refusal,
    Resign,
    SaveVote,
    Scored,
    SendWarrant,
    Served,
    Stand,
    StepDown,
    SteppedDown,
    Suspend,
    TermRead,
    TermWritten,
    Tick,
    VoteSaved,
    WriteTerm,
)
from bzzz_core.election.leader import HANDING_DETECTS
from bzzz_core.election.messages import (
    STOCK_VERSION,
    Evidence,
    HeartbeatAck,
    PreVoteReply,
    PreVoteRequest,
    Proclamation,
    Resignation,
    SignedWarrant,
    Stock,
    Transfer,
    VoteReply,
    VoteRequest,
    Warrant,
)
from bzzz_core.election.stages import Role
from bzzz_core.election.state import LONELY_DETECTS, TERM_JUMP_MAX, TERM_LEAP, UNSURE_DETECTS
from bzzz_core.model import NodeId, Revision, Term
from tests.fakes.election_world import (
    CLUSTER,
    STREAM,
    TIMINGS,
    A,
    B,
    Bench,
    C,
    every,
    make_record,
    messages,
    only,
)

DETECT = TIMINGS.detect_ms
RANK = TIMINGS.rank_delay_ms
STOCK = Stock(STOCK_VERSION, ())


def serving(**scores: float) -> Bench:
    """Return a leader of a, b, c whose followers answered with these scores."""
    bench = Bench()
    bench.lead()
    bench.on(Served(Term(1), Revision(2)))
    bench.wait(TIMINGS.heartbeat_ms)
    for node, score in scores.items():
        bench.hear(NodeId(node), HeartbeatAck(Term(1), Revision(1), 2, score))
    return bench


def warrant_for(
    successor: NodeId, *, leader: NodeId = A, term: int = 1, sequence: int = 1, version: int = 1
) -> SignedWarrant:
    warrant = Warrant(
        CLUSTER, STREAM, Revision(sequence), Term(term), leader, successor, Stock(version, ())
    )
    return SignedWarrant(warrant, bytes(64))


def following(me: NodeId = B, *, manual: bool = False) -> Bench:
    """Return a follower of a, term 1 at revision 1."""
    bench = Bench(me, manual=manual)
    bench.beat(A)
    return bench


# ---- the leader's side


def test_a_leader_hands_over_to_the_fittest_that_is_current() -> None:
    """It stops writing at once, and tells everybody only when its writes have ended."""
    bench = serving(b=10.0, c=70.0)
    assert bench.on(HandOver(None)) == [Drain(Term(1), C)]
    assert bench.machine.token_at(bench.ms) is None
    assert bench.machine.view().role is Role.LEADER
    actions = bench.on(Drained(Term(1), STOCK))
    warrant = Warrant(CLUSTER, STREAM, Revision(1), Term(1), A, C, STOCK)
    assert actions == [SteppedDown(Term(1), StepDown.TRANSFERRED), SendWarrant(warrant, 3)]
    assert bench.machine.view().role is Role.FOLLOWER
    assert bench.on(Drained(Term(1), STOCK)) == []


def test_equal_followers_are_told_apart_by_their_ids() -> None:
    assert serving(b=10.0, c=10.0).on(HandOver(None)) == [Drain(Term(1), B)]


@pytest.mark.parametrize("to", [A, C, NodeId("x")])
def test_only_a_voter_that_was_heard_lately_may_follow(to: NodeId) -> None:
    """Itself, a silent voter and a stranger may not; the leader leads on."""
    bench = serving(b=10.0)
    (failed,) = bench.on(HandOver(to))
    assert isinstance(failed, HandingFailed)
    assert bench.machine.token_at(bench.ms) is not None


@pytest.mark.parametrize(
    ("to", "why"),
    [
        (A, "{name} leads already"),
        (B, "{name} is quarantined; `bzzz-agent leader release` trusts it again"),
        (C, "{name} was not heard lately"),
        (NodeId("x"), "x has no vote"),
    ],
)
def test_a_refused_successor_is_told_by_name_and_reason(to: NodeId, why: str) -> None:
    bench = serving(b=10.0)
    bench.on(Quarantined(frozenset({B})))
    voter = bench.voters.find(to)
    (failed,) = bench.on(HandOver(to))
    assert failed == HandingFailed(why.format(name=voter.name if voter else ""))


def test_nobody_may_follow_who_is_quarantined() -> None:
    bench = serving(b=10.0)
    bench.on(Quarantined(frozenset({B})))
    assert only(bench.on(HandOver(None)), HandingFailed).reason.startswith("no other voter")


def test_who_does_not_lead_hands_nothing_over() -> None:
    assert only(following().on(HandOver(None)), HandingFailed)
    bench = Bench()
    bench.lead()
    assert only(bench.on(HandOver(B)), HandingFailed), "not before it serves"


def test_a_leader_hands_over_once_at_a_time() -> None:
    bench = serving(b=10.0)
    bench.on(HandOver(B))
    assert only(bench.on(HandOver(B)), HandingFailed)


def test_a_leader_whose_writes_do_not_end_leads_on() -> None:
    """Told so, or by its own patience."""
    bench = serving(b=10.0)
    bench.on(HandOver(B))
    assert only(bench.on(NotDrained(Term(1))), HandingFailed)
    assert bench.machine.token_at(bench.ms) is not None
    assert bench.on(NotDrained(Term(1))) == []
    bench.on(HandOver(B))
    waited = 0
    actions: list[object] = []
    while not every(actions, HandingFailed):  # type: ignore[arg-type]
        waited += TIMINGS.heartbeat_ms
        number = 2 + waited // TIMINGS.heartbeat_ms
        actions = list(bench.wait(TIMINGS.heartbeat_ms))
        actions += bench.ack(B, number)
    assert waited == HANDING_DETECTS * DETECT
    assert bench.machine.token_at(bench.ms) is not None
    assert bench.on(Drained(Term(1), STOCK)) == [], "too late: it leads on"


def test_a_drain_of_another_term_means_nothing() -> None:
    bench = serving(b=10.0)
    bench.on(HandOver(B))
    assert bench.on(Drained(Term(2), STOCK)) == []
    assert bench.on(NotDrained(Term(2))) == []


def test_a_leader_that_changes_the_voters_acts_as_none_until_it_resigns() -> None:
    """The new voters may have elected somebody before it hears the answer."""
    bench = serving(b=10.0)
    bench.on(Suspend())
    assert bench.machine.token_at(bench.ms) is None
    actions = bench.on(Resign(StepDown.VOTERS_CHANGED))
    bye = Resignation(Term(1), Revision(1), 3, "the voters changed")
    assert actions == [SteppedDown(Term(1), StepDown.VOTERS_CHANGED), Broadcast(bye)]
    assert following().on(Suspend()) == []


# ---- the others' side


def test_the_successor_asks_for_ballots_at_once_with_its_warrant() -> None:
    """No silence, no sounding: the leader has said so."""
    bench = following()
    signed = warrant_for(B)
    actions = bench.hear(A, Transfer(signed, 2))
    assert only(actions, LeaderLost).why == StepDown.TRANSFERRED
    vote = only(actions, SaveVote).vote
    assert messages(actions) == [VoteRequest(Term(2), Revision(1), 0.0, signed)]
    assert only(bench.on(VoteSaved(vote)), CastBallot)
    assert messages(bench.wait(RANK)) == [VoteRequest(Term(2), Revision(1), 0.0, signed)]
    bench.vote(B, term=2, previous=1)
    record = only(bench.vote(C, term=2, previous=1), WriteTerm).record
    bench.on(TermWritten(record.term, Revision(5)))
    elected = only(bench.ack(A, 1, term=2, sequence=5), BecameLeader)
    assert elected.campaign.cause is Cause.TRANSFER
    assert elected.campaign.warrant == signed.warrant
    assert elected.campaign.predecessor == A


def test_a_voter_grants_on_the_leaders_word_though_it_has_just_heard_it() -> None:
    """The request may come before the leader's own message."""
    bench = following(C)
    asked = VoteRequest(Term(2), Revision(1), 0.0, warrant_for(B))
    assert only(bench.hear(B, asked), Decided).refusal is None


@pytest.mark.parametrize(
    "signed",
    [
        None,
        warrant_for(C),
        warrant_for(B, term=2),
        warrant_for(B, sequence=3),
        warrant_for(B, leader=C),
    ],
)
def test_no_other_word_frees_from_a_leader_that_is_heard(signed: SignedWarrant | None) -> None:
    """Not for another candidate, record or leader."""
    bench = following(C)
    asked = VoteRequest(Term(2), Revision(1), 0.0, signed)
    assert only(bench.hear(B, asked), Decided).refusal is Refusal.LEADER_ALIVE


def test_the_others_give_the_successor_time_and_stand_if_it_fails() -> None:
    bench = following(C)
    assert messages(bench.hear(A, Transfer(warrant_for(B), 2))) == []
    assert bench.wait(DETECT - 1) == []
    sounding = messages(bench.wait(RANK + 1))
    assert [type(message) for message in sounding] == [PreVoteRequest]


@pytest.mark.parametrize(
    ("sender", "transfer"),
    [
        (C, Transfer(warrant_for(B, leader=C), 2)),
        (A, Transfer(warrant_for(B, term=2), 2)),
        (A, Transfer(warrant_for(B, sequence=2), 2)),
        (A, Transfer(warrant_for(B), 1)),
    ],
)
def test_a_transfer_of_anybody_else_or_of_the_past_is_ignored(
    sender: NodeId, transfer: Transfer
) -> None:
    bench = following()
    assert bench.hear(sender, transfer) == []
    assert bench.machine.view().leader == A


def test_a_successor_that_cannot_read_the_stock_does_not_take_over() -> None:
    """The version check: an ordinary election follows."""
    bench = following()
    actions = bench.hear(A, Transfer(warrant_for(B, version=STOCK_VERSION + 1), 2))
    assert messages(actions) == []


def test_a_successor_without_memory_does_not_take_over() -> None:
    bench = Bench(B, vote=None, sequence=1, record=make_record(A, 1, 0, Bench().voters))
    bench.wait(2 * DETECT)  # Silent until then, lest it prop up a leader that it voted out.
    bench.beat(A)
    assert messages(bench.hear(A, Transfer(warrant_for(B), 2))) == []


def test_a_successor_that_polls_already_goes_on_with_its_poll() -> None:
    bench = following()
    bench.wait(DETECT + 3 * RANK)
    bench.grant(C)
    assert messages(bench.hear(A, Transfer(warrant_for(B), 2))) == []


def test_a_warrant_is_used_up_by_a_poll_that_fails() -> None:
    """Whoever gave no ballot for it will not give one next time."""
    bench = following()
    bench.hear(A, Transfer(warrant_for(B), 2))
    refused = VoteReply(B, Term(2), None, Refusal.VOTED, Term(2), Revision(1))
    bench.hear(A, refused)
    bench.hear(C, refused)
    bench.wait(3 * RANK)
    granted = PreVoteReply(B, 1, True, "", Term(2), Revision(1))  # noqa: FBT003
    (request,) = messages(bench.hear(C, granted))
    assert isinstance(request, VoteRequest)
    assert request.warrant is None


# ---- failover by hand


def test_with_manual_failover_nobody_takes_over_from_a_silent_leader() -> None:
    """Status says that it waits, and an operator's word starts an election."""
    bench = following(manual=True)
    assert not bench.machine.view().waits_for_operator
    assert messages(bench.wait(20 * DETECT)) == []
    assert bench.machine.view().waits_for_operator
    assert [type(m) for m in messages(bench.on(Stand()))] == [PreVoteRequest]
    request = only(bench.grant(C), SaveVote).vote
    bench.on(VoteSaved(request))
    bench.vote(B, term=2, previous=1)
    bench.on(
        TermWritten(only(bench.vote(C, term=2, previous=1), WriteTerm).record.term, Revision(3))
    )
    elected = only(bench.ack(C, 1, term=2, sequence=3), BecameLeader)
    assert elected.campaign.cause is Cause.OPERATOR


def test_a_mandate_ends_in_time_and_with_a_leader() -> None:
    bench = following(manual=True)
    bench.wait(DETECT)
    bench.on(Stand())
    bench.wait(MANDATE_DETECTS * DETECT)
    assert bench.wait(DETECT) == []
    assert bench.machine.view().role is Role.FOLLOWER
    bench.on(Stand())
    bench.beat(A, 2)
    assert messages(bench.wait(2 * DETECT)) == []


def test_a_wish_waits_for_a_leader_that_was_heard_to_fall_silent() -> None:
    """If it speaks once more, there was no want of it."""
    bench = following(manual=True)
    assert messages(bench.on(Stand())) == []
    bench.beat(A, 2)
    assert messages(bench.wait(2 * DETECT)) == []
    bench = following()
    assert messages(bench.on(Stand())) == []
    assert [type(m) for m in messages(bench.wait(DETECT))] == [PreVoteRequest]
    assert messages(bench.on(Stand())) == [], "it stands already"


def test_the_first_leader_and_a_resigned_one_need_no_operator() -> None:
    bench = Bench(B, manual=True)
    assert messages(bench.stand())
    bench = following(manual=True)
    bench.hear(A, Resignation(Term(1), Revision(1), 2, "resigned"))
    assert messages(bench.wait(DETECT + 3 * RANK))


def test_with_manual_failover_the_last_leader_and_a_single_voter_come_back_unaided() -> None:
    """A power loss is no failover."""
    record = make_record(A, 1, 0, Bench().voters)
    bench = Bench(A, manual=True, sequence=4, record=record)
    assert messages(bench.stand())
    alone = Bench(A, voters="a", manual=True, sequence=4, record=record)
    assert only(alone.stand(), SaveVote)


def test_a_resignation_ends_a_wish() -> None:
    bench = following(manual=True)
    bench.wait(DETECT)
    bench.on(Stand())
    bench.on(Resign())
    assert messages(bench.wait(4 * DETECT)) == []


# ---- quarantine


def test_a_quarantined_voter_gets_no_vote_and_gives_none() -> None:
    bench = Bench(A, voters="abc")
    bench.on(Quarantined(frozenset({B, A})))
    bench.stand()
    assert bench.grant(B) == [], "its promise does not count"
    bench.grant(C)
    bench.vote(A)
    assert bench.vote(B) == [], "nor does its ballot"
    assert only(bench.vote(C), WriteTerm)
    other = Bench(C)
    other.on(Quarantined(frozenset({B})))
    other.wait(DETECT)
    asked = VoteRequest(Term(1), Revision(0), 0.0)
    assert only(other.hear(B, asked), Decided).refusal is Refusal.QUARANTINED


def test_what_says_nothing_about_elections_is_passed_over() -> None:
    bench = following()
    record = make_record(A, 1, 0, bench.voters, "ab")
    first, second = record.certificate
    assert bench.hear(A, Evidence(first, second)) == []
    assert bench.hear(A, Proclamation(Revision(1), record, Revision(2), b"")) == []


# ---- memory, other voters, deadlines


def test_a_voter_without_memory_returns_when_nobody_can_hold_an_old_ballot() -> None:
    """In no term in which it may have voted: that keeps one vote per term."""
    bench = Bench(B, vote=None)
    bench.hear(A, VoteRequest(Term(7), Revision(0), 0.0))
    bench.ms = LONELY_DETECTS * DETECT - 1
    assert every(bench.on(Tick()), SaveVote) == []
    bench.ms += 1
    vote = only(bench.on(Tick()), SaveVote).vote
    assert (vote.term, vote.candidate) == (TERM_LEAP, "")
    bench.on(VoteSaved(vote))
    assert not bench.machine.view().abstains
    assert only(bench.hear(A, VoteRequest(Term(8), Revision(0), 0.0)), Decided).refusal


def test_without_a_leader_a_node_asks_whether_its_voters_are_still_the_ones() -> None:
    bench = following()
    bench.wait(DETECT)
    assert bench.checks == 0
    bench.wait(UNSURE_DETECTS * DETECT)
    assert bench.checks == 1
    bench.hear(A, Resignation(Term(1), Revision(1), 2, "the voters changed"))
    assert bench.checks == 2
    assert bench.machine.next_deadline_ms(bench.ms) is not None


def test_an_incredible_term_is_not_noted() -> None:
    """A forged record must not use up the numbers."""
    for claimed, asked in ((TERM_JUMP_MAX, 1), (41, 42)):
        bench = Bench(sequence=3, record=None)
        bench.on(TermRead(Revision(4), None, Term(claimed)))
        bench.stand()
        reply = PreVoteReply(A, 1, True, "", Term(0), Revision(4))  # noqa: FBT003
        assert only(bench.hear(B, reply), SaveVote).vote.term == asked


def test_a_node_that_waits_for_nothing_has_no_deadline() -> None:
    """A follower that is no voter wakes only to miss its leader."""
    bench = Bench(NodeId("x"))
    bench.beat(A)
    assert bench.machine.next_deadline_ms(bench.ms) == DETECT
    lonely = Bench(B, vote=None)
    assert lonely.machine.next_deadline_ms(0) == UNSURE_DETECTS * DETECT


def test_deadlines_of_an_office() -> None:
    """The next heartbeat, the quorum, the first write; nothing else."""
    alone = Bench(voters="a", vote=None)
    saved = only(alone.stand(), SaveVote)
    alone.on(VoteSaved(saved.vote))
    alone.vote(A)
    alone.on(TermWritten(Term(1), Revision(1)))
    assert alone.machine.next_deadline_ms(alone.ms) == alone.ms + TIMINGS.heartbeat_ms
    bench = Bench()
    writing = bench.write()
    assert bench.machine.next_deadline_ms(bench.ms) is not None
    bench.on(TermWritten(writing.record.term, Revision(1)))
    assert bench.machine.next_deadline_ms(bench.ms) == bench.ms + TIMINGS.heartbeat_ms
    bench.on(Scored(3.0))
    bench.on(GuardRefused(Term(1)))
    assert bench.machine.view().leader is None


def test_a_stock_is_known_by_its_digest() -> None:
    assert STOCK.digest() != msgspec.structs.replace(STOCK, version=2).digest()


def test_terms_of_the_voters_before_are_spent() -> None:
    """A candidate asks above them, and a voter refuses them."""
    bench = Bench(floor=6)
    assert bench.machine.highest_term() == 6
    bench.stand()
    assert only(bench.grant(B), SaveVote).vote.term == 7
    other = Bench(B, floor=6)
    other.wait(DETECT)
    sixth = other.hear(A, VoteRequest(Term(6), Revision(0), 0.0))
    assert only(sixth, Decided).refusal is Refusal.VOTED
    seventh = other.hear(A, VoteRequest(Term(7), Revision(0), 0.0))
    assert only(seventh, Decided).refusal is None
