"""An edge believes a leader's own, proven heartbeat, and nothing else."""

import pytest

from bzzz_core.election.ballot import sign_ballot
from bzzz_core.election.messages import Ballot, Heartbeat, HeartbeatAck, Message, TermRecord
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


def observer() -> LeadershipObserver:
    return LeadershipObserver(
        me=EDGE.node_id,
        cluster=CLUSTER,
        voters=VOTERS,
        signer=EDGE,
        silence_ms=SILENCE_MS,
        now_ms=0,
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
