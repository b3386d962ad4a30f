"""An edge believes a leader's own, proven heartbeat, and nothing else."""

from collections.abc import Callable

import pytest

from bzzz_core.election.ballot import sign_ballot
from bzzz_core.election.history import Leadership, encode_leadership
from bzzz_core.election.messages import (
    Ballot,
    Heartbeat,
    HeartbeatAck,
    Message,
    Proclamation,
    TermRecord,
)
from bzzz_core.election.observer import LeadershipObserver
from bzzz_core.election.stages import Role
from bzzz_core.election.wire import Wire
from bzzz_core.model import ClusterId, Revision, StreamId, Term, Voter, VoterSet
from bzzz_core.trust.keys import IdentityKey

CLUSTER = ClusterId("cluster")
STREAM = StreamId("stream")
KEYS = sorted((IdentityKey.generate() for _ in range(3)), key=lambda key: key.node_id)
EDGE = IdentityKey.generate()
VOTERS = VoterSet(tuple(Voter(key.node_id, "n", key.public_key) for key in KEYS))
SILENCE_MS = 3_000


def observer(
    tell: Callable[[Leadership], None] = lambda _leadership: None, *, term: int = 0
) -> LeadershipObserver:
    return LeadershipObserver(
        me=EDGE.node_id,
        cluster=CLUSTER,
        voters=VOTERS,
        signer=EDGE,
        silence_ms=SILENCE_MS,
        now_ms=0,
        term=Term(term),
        tell=tell,
    )


def heartbeat(*, term: int = 1, number: int = 1, ballots: int = 2, leader: int = 0) -> Heartbeat:
    who = KEYS[leader].node_id
    signed = tuple(
        sign_ballot(
            Ballot(CLUSTER, STREAM, Revision(0), Term(term), who, key.node_id, VOTERS.digest()), key
        )
        for key in KEYS[:ballots]
    )
    record = TermRecord(Term(term), who, Revision(0), signed)
    return Heartbeat(Term(term), Revision(4), number, who, record, Revision(5), ())


def sealed(message: Message, by: IdentityKey = KEYS[0]) -> bytes:
    wire = Wire(me=by.node_id, cluster=CLUSTER, stream=STREAM, voters=VOTERS, signer=by)
    return wire.seal(message)


def test_a_proven_heartbeat_names_the_leader() -> None:
    edge = observer()
    edge.hear(sealed(heartbeat()), 100)
    view = edge.view(200)
    assert (view.role, view.leader, view.term) == (Role.EDGE, KEYS[0].node_id, 1)
    assert (view.sequence, view.served, view.since_ms) == (4, 5, 100)


def test_silence_ends_the_belief_but_not_the_memory() -> None:
    edge = observer()
    edge.hear(sealed(heartbeat()), 100)
    view = edge.view(100 + SILENCE_MS)
    assert (view.leader, view.served, view.term) == (None, 0, 1)


def test_who_voted_until_now_remembers_the_term_but_believes_nobody() -> None:
    edge = observer(term=3)
    assert (edge.view(0).leader, edge.view(0).term) == (None, 3)
    edge.hear(sealed(heartbeat(term=2)), 10)
    assert edge.view(20).leader is None
    edge.hear(sealed(heartbeat(term=3)), 30)
    assert edge.view(40).leader == KEYS[0].node_id


def test_an_old_heartbeat_does_not_refresh() -> None:
    """A replayed message must not keep a dead leader alive."""
    edge = observer()
    edge.hear(sealed(heartbeat(number=7)), 0)
    edge.hear(sealed(heartbeat(number=7)), 2_900)
    assert edge.view(3_100).leader is None


def test_a_newer_term_wins_and_an_older_one_does_not_come_back() -> None:
    edge = observer()
    edge.hear(sealed(heartbeat(term=2, leader=1), KEYS[1]), 0)
    edge.hear(sealed(heartbeat(term=1, number=99)), 10)
    assert edge.view(20).leader == KEYS[1].node_id


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        sealed(heartbeat(ballots=1)),
        sealed(heartbeat(ballots=0)),
        sealed(heartbeat(leader=1), KEYS[0]),
        sealed(HeartbeatAck(Term(1), Revision(1), 1, 50.0)),
        sealed(heartbeat(), EDGE),
    ],
    ids=["empty", "nonsense", "minority", "no ballots", "foreign", "no heartbeat", "no voter"],
)
def test_what_proves_nothing_is_counted_and_dropped(data: bytes) -> None:
    edge = observer()
    edge.hear(data, 0)
    assert edge.view(1).leader is None
    assert edge.rejected == 1


# ---- proclamations


def proclaimed(term: int, *, leader: int = 0, story: bytes | None = None) -> bytes:
    beat = heartbeat(term=term, leader=leader)
    told = Leadership(Term(term), KEYS[leader].node_id, cause="first election")
    entry = encode_leadership(told) if story is None else story
    message = Proclamation(beat.sequence, beat.record, beat.served, entry)
    return sealed(message, KEYS[leader])


def test_leaderships_are_told_in_order_and_once_per_term() -> None:
    """Whatever comes twice, late, or after the heartbeat of the same term."""
    told: list[int] = []
    edge = observer(lambda leadership: told.append(leadership.term))
    edge.hear(proclaimed(1), 0)
    edge.hear(proclaimed(1), 1)
    edge.hear(sealed(heartbeat(term=2, leader=1), KEYS[1]), 2)
    edge.hear(proclaimed(1), 3)
    assert edge.view(4).term == 2
    edge.hear(proclaimed(2, leader=1), 5)
    edge.hear(proclaimed(4), 5)
    edge.hear(proclaimed(3, leader=1), 6)
    edge.hear(proclaimed(4), SILENCE_MS)
    assert told == [1, 2, 4]
    assert edge.view(SILENCE_MS + 6).leader is None, "the same once more says nothing of now"
    edge.hear(sealed(heartbeat(term=4)), 7)
    assert edge.view(7).leader == KEYS[0].node_id
    assert edge.view(7).served == 5


def test_a_story_about_somebody_else_or_none_is_not_told() -> None:
    """The certificate proves the leader, not its words."""
    told: list[Leadership] = []
    edge = observer(told.append)
    edge.hear(proclaimed(1, story=b"\xc1"), 0)
    assert edge.counters == {"malformed": 1}
    edge.hear(proclaimed(2, story=encode_leadership(Leadership(Term(9), KEYS[1].node_id))), 0)
    assert told == []
    assert edge.view(1).term == 2


def test_other_committed_voters_are_adopted() -> None:
    few = VoterSet(VOTERS.voters[1:])
    edge = observer()
    edge.adopt(few)
    edge.hear(sealed(heartbeat()), 0)
    assert edge.view(1).leader is None
    assert edge.counters["stranger"] == 1
    edge.adopt(VOTERS)
    edge.hear(sealed(heartbeat()), 0)
    assert edge.view(1).leader == KEYS[0].node_id
