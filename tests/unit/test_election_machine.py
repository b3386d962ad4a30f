"""One behaviour a test; the simulation looks for what nobody thought of."""

import pytest

from bzzz_core.election.events import (
    BecameLeader,
    Broadcast,
    CastBallot,
    Cause,
    Decided,
    GuardRefused,
    LeaderBack,
    LeaderFound,
    LeaderLost,
    PollFailed,
    ReadTerm,
    Refusal,
    Resign,
    SaveVote,
    Scored,
    Send,
    Served,
    StepDown,
    SteppedDown,
    TermRead,
    TermRefused,
    TermUnknown,
    TermUnread,
    TermWritten,
    VoteSaved,
    WriteTerm,
)
from bzzz_core.election.leader import VOTED_OUT_DETECTS
from bzzz_core.election.messages import (
    Heartbeat,
    HeartbeatAck,
    HeartbeatRefusal,
    PreVoteReply,
    PreVoteRequest,
    Resignation,
    Standing,
    VoteReply,
    VoteRequest,
)
from bzzz_core.election.stages import Role
from bzzz_core.election.state import TERM_JUMP_MAX
from bzzz_core.model import NodeId, Revision, StreamId, Term, Vote
from tests.fakes.election_world import (
    NEVER_VOTED,
    STREAM,
    TIMINGS,
    A,
    B,
    Bench,
    C,
    D,
    E,
    every,
    make_record,
    messages,
    only,
)

DETECT = TIMINGS.detect_ms
QUORUM = TIMINGS.check_quorum_ms
RANK = TIMINGS.rank_delay_ms


def request(term: int = 1, previous: int = 0) -> VoteRequest:
    return VoteRequest(Term(term), Revision(previous), 0.0)


def sounding(previous: int = 0, round_: int = 1) -> PreVoteRequest:
    return PreVoteRequest(round_, Revision(previous), 0.0)


def refusal(bench: Bench, sender: NodeId, asked: VoteRequest) -> Refusal | None:
    return only(bench.hear(sender, asked), Decided).refusal


# ---- the way to leadership


def test_a_candidate_goes_from_sounding_to_serving() -> None:
    """The whole main path, step by step, and nothing between the steps."""
    bench = Bench()
    assert bench.started == [ReadTerm()]
    assert bench.stand() == [Broadcast(sounding())]
    vote = Vote(Term(1), A, Revision(0), STREAM)
    assert bench.grant(B) == [SaveVote(vote), Broadcast(request())]
    cast = only(bench.on(VoteSaved(vote)), CastBallot)
    assert (cast.ballot.candidate, cast.ballot.voter, cast.ballot.term) == (A, A, 1)
    assert bench.vote(A) == []
    record = only(bench.vote(B), WriteTerm).record
    assert [signed.ballot.voter for signed in record.certificate] == [A, B]
    (beat,) = messages(bench.on(TermWritten(Term(1), Revision(4))))
    assert isinstance(beat, Heartbeat)
    assert (beat.record, beat.sequence, beat.number, beat.served) == (record, 4, 1, 0)
    assert bench.machine.token_at(bench.ms) is None
    elected = only(bench.ack(B, 1, sequence=4), BecameLeader)
    assert (elected.term, elected.sequence, elected.record) == (1, 4, record)
    assert (elected.campaign.cause, elected.campaign.given) == (Cause.FIRST, (A, B))
    token = bench.machine.token_at(bench.ms)
    assert token is not None
    assert (token.stream, token.sequence) == (STREAM, 4)
    bench.on(Served(Term(1), Revision(5)))
    (beat,) = messages(bench.wait(1))
    assert isinstance(beat, Heartbeat)
    assert beat.served == 5
    view = bench.machine.view()
    assert (view.role, view.leader, view.term, view.served) == (Role.LEADER, A, 1, 5)


def test_a_single_voter_elects_itself() -> None:
    """A cluster of one has a majority of one and nobody to ask."""
    bench = Bench(voters="a", vote=None)
    saved = only(bench.stand(), SaveVote)
    assert only(bench.on(VoteSaved(saved.vote)), CastBallot).ballot.voter == A
    assert only(bench.vote(A), WriteTerm).record.leader == A
    actions = bench.on(TermWritten(Term(1), Revision(1)))
    assert only(actions, BecameLeader).term == 1
    assert bench.wait(10 * DETECT)
    assert bench.machine.token_at(bench.ms) is not None


def test_nobody_stands_before_the_store_or_a_leader_was_heard() -> None:
    """Without knowing `_term` a candidate could only be refused."""
    bench = Bench(sequence=None)
    assert bench.started == [ReadTerm()]
    assert bench.stand() == []
    assert bench.on(TermUnread()) == []
    assert bench.wait(RANK - 1) == []
    assert bench.wait(1) == [ReadTerm()]


def test_sounding_is_repeated_until_a_majority_grants() -> None:
    """A lost question costs one rank delay."""
    bench = Bench()
    bench.stand()
    assert bench.wait(RANK - 1) == []
    assert bench.wait(1) == [Broadcast(sounding(round_=2))]
    assert bench.grant(B, round_=1) == []
    assert every(bench.grant(B, round_=2), SaveVote)


def test_a_majority_of_five_is_three() -> None:
    """The candidate's own vote counts."""
    bench = Bench(voters="abcde")
    bench.stand()
    assert bench.grant(B) == []
    assert bench.grant(B) == []
    assert every(bench.grant(C), SaveVote)


def test_a_refusal_with_a_newer_revision_makes_the_candidate_read() -> None:
    """It missed a record; the one who asks is told."""
    bench = Bench()
    bench.stand()
    reply = PreVoteReply(A, 1, False, "stale", Term(3), Revision(9))  # noqa: FBT003
    assert bench.hear(B, reply) == [ReadTerm()]
    assert bench.hear(C, reply) == []


def test_the_term_is_higher_than_any_vote_that_was_heard_of() -> None:
    """Else a voter that took part in a failed poll would have to refuse."""
    bench = Bench()
    bench.stand()
    assert only(bench.grant(B, voted=6), SaveVote).vote.term == 7


def test_an_incredible_term_is_not_taken_over() -> None:
    """One hostile voter must not use up the numbers."""
    bench = Bench()
    bench.stand()
    assert only(bench.grant(B, voted=TERM_JUMP_MAX), SaveVote).vote.term == 1


def test_answers_to_others_or_out_of_time_are_ignored() -> None:
    """A machine may hear anything at any time."""
    bench = Bench()
    assert bench.grant(B) == []
    assert bench.vote(B) == []
    assert bench.ack(B, 1) == []
    assert bench.hear(B, HeartbeatRefusal(Term(1), Revision(1))) == []
    assert bench.on(TermWritten(Term(1), Revision(1))) == []
    assert bench.on(Served(Term(1), Revision(1))) is not None
    assert bench.on(GuardRefused(Term(1))) == []
    bench.stand()
    stranger = PreVoteReply(C, 1, True, "", Term(0), Revision(0))  # noqa: FBT003
    assert bench.hear(B, stranger) == []
    bench.grant(B)
    assert bench.vote(B, term=2) == []
    assert bench.vote(B, previous=5) == []


def test_a_vote_request_is_repeated_and_the_poll_ends_in_time() -> None:
    """Then the candidate waits as long as its place among the ids says."""
    bench = Bench(B)
    bench.stand()
    bench.grant(A)
    assert bench.wait(RANK) == [Broadcast(request())]
    assert bench.wait(RANK - 1) == []
    assert bench.wait(DETECT) == [PollFailed(Term(1), (), ())]
    assert bench.machine.view().role is Role.FOLLOWER
    assert bench.wait(2 * RANK - 1) == []
    assert bench.wait(1) == [Broadcast(sounding(round_=2))]


def test_a_poll_that_cannot_win_any_more_ends_at_once() -> None:
    """Waiting for the deadline would cost a second of leadership."""
    bench = Bench()
    bench.stand()
    bench.grant(B)
    no = VoteReply(A, Term(1), None, "voted", Term(5), Revision(0))
    assert bench.hear(B, no) == []
    assert bench.machine.view().role is Role.CANDIDATE
    bench.hear(C, no)
    assert bench.machine.view().role is Role.FOLLOWER
    bench.wait(RANK)
    assert only(bench.grant(B, round_=2), SaveVote).vote.term == 6


# ---- the record


def test_a_refused_write_is_looked_into_and_the_newer_record_believed() -> None:
    """Losing a race is no error."""
    bench = Bench()
    bench.write()
    assert bench.on(TermRefused(Term(1))) == [ReadTerm()]
    assert bench.on(TermRead(Revision(7), make_record(B, 1, 0, bench.voters))) == []
    view = bench.machine.view()
    assert (view.role, view.leader, view.term, view.sequence) == (Role.FOLLOWER, None, 1, 7)


def test_an_old_answer_after_a_refusal_is_asked_again() -> None:
    """An isolated broker may show what is no more."""
    bench = Bench()
    bench.write()
    bench.on(TermRefused(Term(1)))
    assert bench.on(TermRead(Revision(0), None)) == []
    assert bench.wait(RANK) == [ReadTerm()]


def test_a_write_without_answer_is_read_back_and_found() -> None:
    """The answer was lost, the record was not."""
    bench = Bench()
    record = bench.write().record
    assert bench.on(TermUnknown(Term(1))) == [ReadTerm()]
    (beat,) = messages(bench.on(TermRead(Revision(3), record)))
    assert isinstance(beat, Heartbeat)
    assert beat.sequence == 3
    assert bench.on(TermWritten(Term(1), Revision(3))) == []


def test_a_write_without_answer_that_did_not_happen_is_repeated() -> None:
    """The same record at the same revision: at most one of the two is taken."""
    bench = Bench()
    write = bench.write()
    bench.on(TermUnknown(Term(1)))
    assert bench.on(TermRead(Revision(0), None)) == [write]
    assert bench.on(TermRead(Revision(0), None)) == []
    assert bench.wait(RANK) == []


def test_an_answer_for_another_poll_is_ignored() -> None:
    """The write of an abandoned poll may come back late."""
    bench = Bench()
    bench.write()
    assert bench.on(TermWritten(Term(9), Revision(3))) == []
    assert bench.machine.view().role is Role.CANDIDATE


def test_an_unproven_record_moves_the_base_and_names_nobody() -> None:
    """Whoever forged it broke the leader's fence: elect anew, on top of it."""
    bench = Bench()
    bench.lead()
    actions = bench.on(TermRead(Revision(6), None))
    assert actions == [SteppedDown(Term(1), StepDown.OVERTAKEN)]
    assert bench.machine.view().leader is None
    bench.wait(DETECT + 3 * RANK)
    assert only(bench.grant(B, round_=2), SaveVote).vote == Vote(Term(2), A, Revision(6), STREAM)


# ---- leading


def test_a_leader_stops_when_no_majority_has_answered_for_long() -> None:
    """It counts from the sending of the heartbeat, not from the arrival of the answer."""
    bench = Bench()
    bench.lead()
    bench.ms += 500
    assert bench.ack(B, 1) == []
    assert bench.machine.token_at(bench.ms + 99) is not None
    assert bench.machine.token_at(bench.ms + 100) is None
    assert bench.wait(QUORUM - 500) == [SteppedDown(Term(1), StepDown.QUORUM_LOST)]
    assert bench.machine.view().leader is None


def test_answers_keep_a_leader() -> None:
    """Heartbeats go out on time, and each answer renews its mandate."""
    bench = Bench()
    bench.lead()
    for number in range(2, 12):
        (beat,) = messages(bench.wait(TIMINGS.heartbeat_ms))
        assert isinstance(beat, Heartbeat)
        assert beat.number == number
        assert beat.standings == ((Standing(C, 50.0),) if number > 4 else beat.standings)
        assert bench.ack(C, number) == []


def test_a_leader_that_slept_steps_down_before_it_looks_at_anything_else() -> None:
    """The first thing after a sleep may be an old answer that would prop it up."""
    bench = Bench()
    bench.lead()
    bench.ms += 5_000
    assert bench.ack(B, 1) == [SteppedDown(Term(1), StepDown.QUORUM_LOST)]


def test_answers_of_strangers_and_to_forgotten_heartbeats_count_for_nothing() -> None:
    """Only voters keep a leader, and only with something it said lately."""
    bench = Bench()
    bench.lead()
    bench.wait(400)
    assert bench.ack(NodeId("z"), 2) == []
    assert bench.ack(B, 77) == []
    assert bench.ack(B, 2, sequence=9) == []
    assert bench.wait(200) == [SteppedDown(Term(1), StepDown.QUORUM_LOST)]


def test_a_leader_that_is_never_confirmed_gives_up_silently() -> None:
    """Nobody was told that it led, so nobody is told that it ended."""
    bench = Bench()
    bench.write()
    bench.on(TermWritten(Term(1), Revision(1)))
    assert bench.wait(DETECT) == []
    assert bench.machine.view().role is Role.FOLLOWER


def test_a_refused_guard_ends_leadership_and_looks_at_the_record() -> None:
    """The store knows better."""
    bench = Bench()
    bench.lead()
    assert bench.on(GuardRefused(Term(1))) == [
        SteppedDown(Term(1), StepDown.GUARD_REFUSED),
        ReadTerm(),
    ]


def test_a_newer_record_ends_leadership() -> None:
    """And its leader is followed and answered."""
    bench = Bench()
    bench.lead()
    actions = bench.beat(B, term=2, sequence=2, previous=1)
    assert actions == [
        SteppedDown(Term(1), StepDown.OVERTAKEN),
        LeaderFound(Term(2), B, Revision(2)),
        Send(B, HeartbeatAck(Term(2), Revision(2), 1, 0.0)),
    ]


def test_a_leader_whose_first_write_is_never_acknowledged_goes() -> None:
    """It may be the only one that cannot reach the store."""
    bench = Bench()
    bench.lead()
    actions = []
    for number in range(2, 90):
        actions = bench.wait(TIMINGS.heartbeat_ms)
        if every(actions, SteppedDown):
            break
        bench.ack(B, number)
    assert only(actions, SteppedDown).reason is StepDown.UNABLE
    assert bench.ms >= 20 * DETECT


def test_a_resigned_leader_tells_the_others_and_stands_last() -> None:
    """It does not grab the power back."""
    bench = Bench()
    bench.lead()
    assert bench.on(Resign()) == [
        SteppedDown(Term(1), StepDown.RESIGNED),
        Broadcast(Resignation(Term(1), Revision(1), 2, "resigned")),
    ]
    assert bench.wait(DETECT + 3 * RANK - 1) == []
    assert only(bench.wait(1), Broadcast).message == sounding(previous=1, round_=2)


def test_resigning_without_office_only_ends_a_candidacy() -> None:
    """What the store may have taken cannot be taken back."""
    bench = Bench()
    assert bench.on(Resign()) == []
    bench.stand()
    assert bench.on(Resign()) == []
    assert bench.machine.view().role is Role.FOLLOWER
    bench = Bench()
    bench.write()
    assert bench.on(Resign()) == []
    assert bench.machine.view().role is Role.CANDIDATE


def test_a_leader_goes_when_a_voter_refuses_it_for_long() -> None:
    """That voter gave its ballot away and cannot come back before the next term."""
    bench = Bench()
    bench.lead()
    no = HeartbeatRefusal(Term(1), Revision(1))
    assert bench.hear(C, no) == []
    number = 1
    while bench.ms < DETECT + 3 * RANK + VOTED_OUT_DETECTS * DETECT - 200:
        bench.wait(200)
        number += 1
        bench.ack(B, number)
        assert bench.hear(C, no) == []
    bench.wait(200)
    bench.ack(B, number + 1)
    assert only(bench.hear(C, no), SteppedDown).reason is StepDown.VOTED_OUT


# ---- voting


def test_a_vote_is_saved_before_its_ballot_leaves() -> None:
    """A crash in between must not let the voter vote twice."""
    bench = Bench()
    bench.ms = DETECT
    vote = Vote(Term(1), B, Revision(0), STREAM)
    assert bench.hear(B, request()) == [Decided(B, Term(1), None), SaveVote(vote)]
    assert bench.hear(B, request()) == []
    assert only(bench.on(VoteSaved(vote)), CastBallot).ballot.candidate == B
    assert only(bench.hear(B, request()), CastBallot).ballot.candidate == B


def test_a_voter_votes_once_per_term() -> None:
    """And tells the second candidate which term to ask for."""
    bench = Bench()
    bench.ms = DETECT
    bench.hear(B, request(term=3))
    decided, send = bench.hear(C, request(term=3))
    assert decided == Decided(C, Term(3), Refusal.VOTED)
    assert isinstance(send, Send)
    assert send.message == VoteReply(C, Term(3), None, Refusal.VOTED, Term(3), Revision(0))
    assert refusal(bench, C, request(term=2)) is Refusal.VOTED
    assert refusal(bench, C, request(term=4)) is None


def test_a_vote_is_remembered_across_a_restart() -> None:
    """The same candidate gets the same ballot again, another one nothing."""
    bench = Bench(vote=Vote(Term(3), B, Revision(0), STREAM))
    bench.ms = DETECT
    assert refusal(bench, C, request(term=3)) is Refusal.VOTED
    assert only(bench.hear(B, request(term=3)), CastBallot).ballot.term == 3


def test_a_vote_overtaken_by_another_casts_no_ballot() -> None:
    """Only the last vote may leave."""
    bench = Bench()
    bench.ms = DETECT
    first = only(bench.hear(B, request(term=1)), SaveVote).vote
    only(bench.hear(C, request(term=2)), SaveVote)
    assert bench.on(VoteSaved(first)) == []


def test_a_vote_on_a_stream_made_anew_says_only_its_term() -> None:
    """Sequences start over there; a voter bound to old ones would never follow."""
    bench = Bench(vote=Vote(Term(8), B, Revision(900), StreamId("old")))
    assert only(bench.beat(C, term=1, sequence=1), Send).to == C
    bench.ms = 2 * DETECT
    assert refusal(bench, C, request(term=8, previous=1)) is Refusal.VOTED


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (request(term=TERM_JUMP_MAX + 1), Refusal.TERM_JUMP),
        (request(previous=4), Refusal.BEHIND),
    ],
)
def test_an_odd_request_is_refused(asked: VoteRequest, why: Refusal) -> None:
    """A voter gives its ballot on what it knows itself, in a credible term."""
    bench = Bench()
    bench.ms = DETECT
    assert refusal(bench, B, asked) is why


def test_a_voter_that_is_behind_reads_and_then_votes() -> None:
    """The candidate asks again; by then the voter knows."""
    bench = Bench()
    bench.ms = DETECT
    assert ReadTerm() in bench.hear(B, sounding(previous=4))
    bench.on(TermRead(Revision(4), make_record(C, 1, 0, bench.voters)))
    assert refusal(bench, B, request(term=2, previous=4)) is Refusal.LEADER_ALIVE
    bench.ms += DETECT
    assert refusal(bench, B, request(term=2, previous=0)) is Refusal.STALE
    assert refusal(bench, B, request(term=2, previous=4)) is None


def test_nobody_gets_a_vote_while_the_leader_is_heard() -> None:
    """A node that lost touch must not depose a leader that the others hear."""
    bench = Bench()
    bench.ms = 5_000
    bench.beat(C)
    bench.ms += DETECT - 1
    assert refusal(bench, B, request(term=2, previous=1)) is Refusal.LEADER_ALIVE
    reply = only(bench.hear(B, sounding(previous=1)), Send).message
    assert reply == PreVoteReply(B, 1, False, Refusal.LEADER_ALIVE, Term(1), Revision(1))  # noqa: FBT003
    bench.ms += 1
    reply = only(bench.hear(B, sounding(previous=1)), Send).message
    assert isinstance(reply, PreVoteReply)
    assert reply.granted


def test_a_node_that_just_started_votes_for_nobody() -> None:
    """It may have answered a heartbeat the moment before it died."""
    bench = Bench()
    bench.ms = DETECT - 1
    assert refusal(bench, B, request()) is Refusal.LEADER_ALIVE


def test_a_leader_votes_for_nobody() -> None:
    """It hears itself."""
    bench = Bench()
    bench.lead()
    assert refusal(bench, B, request(term=2, previous=1)) is Refusal.LEADS


def test_giving_a_vote_ends_the_own_candidacy_and_postpones_the_next() -> None:
    """Time for the other one to finish."""
    bench = Bench()
    bench.stand()
    assert refusal(bench, B, request()) is None
    assert bench.machine.view().role is Role.FOLLOWER
    assert bench.wait(DETECT - 1) == []
    assert bench.wait(1) == [Broadcast(sounding(round_=2))]


def test_an_edge_follows_and_neither_votes_nor_stands_nor_answers() -> None:
    """Only voters count."""
    bench = Bench(NodeId("z"), vote=None)
    assert bench.beat(B) == [LeaderFound(Term(1), B, Revision(1))]
    view = bench.machine.view()
    assert (view.role, view.leader, view.abstains) == (Role.EDGE, B, False)
    assert bench.wait(DETECT) == [LeaderLost(Term(1), "fell silent")]
    assert bench.wait(10 * DETECT) == []
    assert bench.hear(B, request(term=2, previous=1)) == []
    assert bench.hear(B, sounding(previous=1)) == []


# ---- a lost memory


def test_a_voter_without_memory_abstains_until_the_record_moves() -> None:
    """Its forgotten ballot could only count on the record as it is."""
    bench = Bench(vote=None, sequence=5, record=make_record(B, 2, 1, Bench().voters))
    assert bench.machine.view().abstains
    bench.ms = 2 * DETECT
    assert refusal(bench, C, request(term=3, previous=5)) is Refusal.ABSTAINS
    assert bench.wait(5 * DETECT) == []
    actions = bench.beat(C, term=3, sequence=6, previous=5)
    assert only(actions, SaveVote).vote == Vote(Term(3), NodeId(""), Revision(0), STREAM)
    assert bench.on(VoteSaved(only(actions, SaveVote).vote)) == []
    assert not bench.machine.view().abstains


def test_a_leader_s_claim_where_its_record_lies_ends_no_abstention() -> None:
    """On the record of its start the voter may have voted, whatever anybody says of a later one."""
    old = make_record(B, 2, 1, Bench().voters)
    bench = Bench(vote=None, sequence=5, record=old)
    claimed = bench.beat(C, term=3, sequence=10**6, previous=5, shown=False)
    assert every(claimed, SaveVote) == []
    bench.wait(DETECT)
    assert every(bench.on(TermRead(Revision(5), old)), SaveVote) == []
    view = bench.machine.view()
    assert (view.sequence, view.abstains) == (5, True)
    actions = bench.beat(C, term=4, sequence=6, previous=5)
    assert only(actions, SaveVote).vote.term == 4


def test_a_voter_without_memory_answers_no_heartbeats_at_first() -> None:
    """Its answer could prop up a leader that it has voted out."""
    bench = Bench(vote=None, sequence=1, record=make_record(B, 1, 0, Bench().voters))
    assert every(bench.beat(B, 1), Send) == []
    bench.ms = 2 * DETECT
    assert len(every(bench.beat(B, 2), Send)) == 1


# ---- following


def test_a_follower_answers_each_heartbeat_once_and_finds_a_leader_once() -> None:
    """Doubled and overtaken heartbeats are not answered."""
    bench = Bench()
    bench.on(Scored(42.0))
    assert bench.beat(B, 1) == [
        LeaderFound(Term(1), B, Revision(1)),
        Send(B, HeartbeatAck(Term(1), Revision(1), 1, 42.0)),
    ]
    assert bench.beat(B, 1) == []
    assert bench.beat(B, 3, served=7) == [Send(B, HeartbeatAck(Term(1), Revision(1), 3, 42.0))]
    assert bench.beat(B, 2) == []
    assert bench.machine.view().served == 7


def test_silence_loses_the_leader_and_its_return_is_no_new_leadership() -> None:
    """Leadership changes are told once per term; that it goes on is told, too."""
    bench = Bench(B)
    bench.beat(A)
    assert bench.wait(DETECT - 1) == []
    lost = LeaderLost(Term(1), "fell silent")
    assert bench.wait(1) == [lost, Broadcast(sounding(previous=1))]
    back, acknowledged = bench.beat(A, 2)
    assert (back, type(acknowledged)) == (LeaderBack(Term(1)), Send)
    view = bench.machine.view()
    assert (view.role, view.leader) == (Role.FOLLOWER, A)


# ---- where a record lies


def test_a_voter_asks_the_store_where_the_record_lies_that_a_leader_tells_of() -> None:
    """The claim was true; until that is known there is no vote and no candidacy on it."""
    bench = Bench()
    assert bench.beat(B, shown=False)[0] == ReadTerm()
    bench.on(TermUnread())
    assert refusal(bench, C, request(term=2, previous=1)) is Refusal.LEADER_ALIVE
    assert LeaderLost(Term(1), "fell silent") in bench.wait(DETECT)
    assert refusal(bench, C, request(term=2, previous=1)) is Refusal.BEHIND
    assert bench.wait(5 * RANK) == [], "the read is under way"
    bench.on(TermRead(Revision(1), make_record(B, 1, 0, bench.voters)))
    assert refusal(bench, C, request(term=2, previous=1)) is None


def test_a_leader_that_misplaces_its_record_is_heard_no_more_and_costs_no_election() -> None:
    """Its followers would else wait for ever for a revision that nobody ever writes."""
    bench = Bench()
    false, record = 10**6, make_record(B, 1, 0, bench.voters)
    bench.beat(B, sequence=false, shown=False)
    bench.on(TermRead(Revision(1), record))
    assert bench.machine.view().sequence == 1
    assert bench.beat(B, 2, sequence=false) == []
    assert bench.beat(B, 3) != [], "it may come to its senses"
    bench.wait(DETECT)
    assert refusal(bench, C, request(term=2, previous=1)) is None


def test_a_record_that_the_store_does_not_know_is_waited_for_while_its_leader_is_heard() -> None:
    """An answer may be old. Afterwards the store counts, and the term stays spent."""
    bench = Bench(sequence=3, record=make_record(C, 1, 0, Bench().voters))
    bench.beat(B, term=2, sequence=9, previous=3, shown=False)
    shown = TermRead(Revision(3), make_record(C, 1, 0, bench.voters))
    assert bench.on(shown) == []
    assert bench.wait(RANK) == [ReadTerm()]
    bench.on(shown)
    bench.wait(DETECT)
    bench.on(shown)
    view = bench.machine.view()
    assert (view.term, view.sequence) == (2, 3)
    assert refusal(bench, C, request(term=2, previous=3)) is Refusal.VOTED
    assert refusal(bench, C, request(term=3, previous=3)) is None


def test_without_any_record_in_the_store_a_claim_is_nothing() -> None:
    bench = Bench()
    bench.beat(B, sequence=9, shown=False)
    bench.wait(DETECT)
    bench.on(TermRead(Revision(0), None))
    assert bench.machine.view().sequence == 0


def test_a_later_term_in_the_store_disproves_a_claim_of_a_later_revision() -> None:
    bench = Bench()
    bench.beat(B, sequence=10**6, shown=False)
    bench.on(TermRead(Revision(5), make_record(C, 2, 1, bench.voters)))
    view = bench.machine.view()
    assert (view.term, view.sequence, view.leader) == (2, 5, None)
    assert only(bench.beat(C, term=2, sequence=5, previous=1), LeaderFound).leader == C


def test_whoever_has_no_vote_need_not_know_where_the_record_lies() -> None:
    bench = Bench(NodeId("z"), vote=None)
    assert ReadTerm() not in bench.beat(B, shown=False)


@pytest.mark.parametrize(("term", "sequence"), [(1, 9), (3, 2), (2, 2), (1, 1)])
def test_only_a_record_newer_in_term_and_revision_is_followed(term: int, sequence: int) -> None:
    """Both grow with every leadership; anything else is old or untrue."""
    bench = Bench()
    bench.beat(B, term=2, sequence=2, previous=1)
    assert bench.beat(C, term=term, sequence=sequence) == []
    assert bench.machine.view().leader == B


def test_a_record_that_was_read_gives_its_leader_time_to_be_heard() -> None:
    """And the leader before it is lost."""
    bench = Bench()
    bench.beat(B)
    bench.ms += 700
    assert bench.on(TermRead(Revision(2), make_record(C, 2, 1, bench.voters))) == [
        LeaderLost(Term(1), "another leader was found")
    ]
    bench.ms += 700
    assert refusal(bench, B, request(term=3, previous=2)) is Refusal.LEADER_ALIVE
    assert only(bench.beat(C, term=2, sequence=2, previous=1), LeaderFound).leader == C


def test_a_voter_refuses_the_leader_whose_record_it_voted_on() -> None:
    """Or a leader that was voted out could count on it again."""
    bench = Bench()
    bench.beat(B)
    bench.ms += DETECT
    assert refusal(bench, C, request(term=2, previous=1)) is None
    assert bench.beat(B, 2) == [Send(B, HeartbeatRefusal(Term(1), Revision(1)))]
    assert bench.beat(B, 2, term=0, sequence=0) == []
    assert only(bench.beat(C, term=2, sequence=2, previous=1), LeaderFound).leader == C


def test_a_resignation_frees_the_followers_at_once() -> None:
    """Nobody waits for silence; what was still on its way is not heard."""
    bench = Bench(C)
    bench.ms = 5_000
    table = (Standing(B, 10.0), Standing(C, 90.0))
    bench.beat(A, 1, standings=table)
    bye = Resignation(Term(1), Revision(1), 3, "resigned")
    assert bench.hear(B, bye) == []
    assert bench.hear(A, bye) == [LeaderLost(Term(1), "resigned")]
    assert bench.hear(A, bye) == []
    assert bench.beat(A, 2, standings=table) == []
    assert bench.wait(1) == [Broadcast(sounding(previous=1))]


def test_a_resignation_of_a_leader_never_heard_is_noted_quietly() -> None:
    """The record was read, the leader's first word is its last."""
    bench = Bench(sequence=3, record=make_record(B, 1, 0, Bench().voters))
    assert bench.hear(B, Resignation(Term(1), Revision(3), 4)) == []
    assert bench.wait(1) == [Broadcast(sounding(previous=3))]


# ---- who stands first


@pytest.mark.parametrize(
    ("table", "rank"),
    [
        ((), 1),
        ((Standing(B, 50.0), Standing(C, 60.0), Standing(D, 40.0)), 1),
        ((Standing(B, 60.0), Standing(C, 60.0), Standing(D, 70.0)), 1),
        ((Standing(B, 90.0), Standing(C, 60.0)), 0),
        ((Standing(C, 60.0), Standing(D, 60.0)), 2),
    ],
)
def test_the_better_score_stands_first_and_ties_go_to_the_smaller_id(
    table: tuple[Standing, ...], rank: int
) -> None:
    """Seen by B, among those that leader E heard; unheard, it stands last."""
    bench = Bench(B, voters="abcde")
    bench.beat(E, standings=table)
    bench.wait(DETECT)
    if rank:
        assert bench.wait(rank * RANK - 1) == []
        assert bench.wait(1) == [Broadcast(sounding(previous=1))]
    else:
        assert bench.machine.view().role is Role.CANDIDATE


def test_a_first_start_is_no_lost_memory() -> None:
    """Or no cluster could ever elect its first leader."""
    assert not Bench(vote=NEVER_VOTED).machine.view().abstains
