"""A status says what is known and says so when nothing is."""

import msgspec
import pytest

from bzzz_core.api.documents import Status
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sources import load_agent_config
from bzzz_core.demo.layout import lay_out
from bzzz_core.election.machine import View
from bzzz_core.election.stages import Role
from bzzz_core.enrolled import voter_set
from bzzz_core.membership.beat import Beat
from bzzz_core.membership.member import Member
from bzzz_core.model import FabricState, MemberState, NodeId, Revision, Sample, Term
from bzzz_core.status import Attachment, Moment, compose, not_ready, sight_of

MOMENT = Moment(now_ms=10_000, uptime_ms=6_000, at="now", leader_since_at="then")
CONNECTED = Attachment(FabricState.CONNECTED, "broker-1", None)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> AgentConfig:
    files = lay_out(tmp_path_factory.mktemp("demo") / "state", agents=4)
    return load_agent_config(files.agents[0].config, {})


def view(leader: NodeId | None, *, served: int = 0) -> View:
    return View(
        role=Role.FOLLOWER,
        leader=leader,
        term=Term(7),
        sequence=Revision(9),
        since_ms=0,
        served=Revision(served),
        abstains=False,
    )


def silent(config: AgentConfig) -> tuple[Member, ...]:
    return tuple(
        Member(NodeId(node.id), MemberState.SUSPECT, None, 0) for node in config.cluster.nodes
    )


def test_before_any_election_nothing_is_claimed(config: AgentConfig) -> None:
    status = compose(
        config,
        voters=voter_set(config),
        view=None,
        members=silent(config),
        attachment=CONNECTED,
        moment=MOMENT,
    )
    assert (status.leader, status.term, status.leader_serving) == (None, 0, False)
    assert status.leader_since_at is None
    assert status.members[0].cpu_percent is None
    assert status.members[0].heard_ms_ago is None
    assert status.uptime_s == 6


def test_the_leader_is_named_by_its_name(config: AgentConfig) -> None:
    leader = config.cluster.nodes[1]
    status = compose(
        config,
        voters=voter_set(config),
        view=view(NodeId(leader.id), served=12),
        members=silent(config),
        attachment=CONNECTED,
        moment=MOMENT,
    )
    assert (status.leader, status.leader_id, status.term) == (leader.name, leader.id, 7)
    assert status.leader_serving
    assert (status.fabric.voters, status.fabric.quorum) == (3, 2)


def test_a_member_shows_its_newest_report_and_its_age(config: AgentConfig) -> None:
    node = config.cluster.nodes[0]
    beat = Beat(
        node=NodeId(node.id),
        name="what it calls itself",
        address="x",
        version="1",
        incarnation=1,
        number=1,
        uptime_s=3,
        voter=True,
        sample=Sample(cpu_percent=12.5),
    )
    members = (Member(NodeId(node.id), MemberState.ALIVE, beat, 9_400),)
    status = compose(
        config,
        voters=voter_set(config),
        view=None,
        members=members,
        attachment=CONNECTED,
        moment=MOMENT,
    )
    shown = status.members[0]
    assert shown.name == node.name, "a node's name is what the cluster enrolled, not what it says"
    assert (shown.heard_ms_ago, shown.cpu_percent, shown.memory_used_bytes) == (600, 12.5, None)


def test_a_sight_makes_the_same_documents_as_the_whole_status(config: AgentConfig) -> None:
    members = tuple(
        Member(NodeId(node.id), MemberState.ALIVE, _beat(node.id), 9_000 + number, rtt_ms=0.5)
        for number, node in enumerate(config.cluster.nodes)
    )

    def composed(some: tuple[Member, ...]) -> Status:
        return compose(
            config,
            voters=voter_set(config),
            view=None,
            members=some,
            attachment=CONNECTED,
            moment=MOMENT,
        )

    sight = sight_of(config, composed(()), iter(members), now_ms=MOMENT.now_ms)
    seen = [(node, sight.document(source)) for node, _, source in sight.members]
    assert seen == [(document.node_id, document) for document in composed(members).members]
    assert not sight.head.members


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"heard_ms": 9_900}, False),
        ({"changed_ms": 1}, False),
        ({"state": MemberState.SUSPECT}, True),
        ({"rtt_ms": 7.0}, True),
        ({"beat": None}, True),
    ],
)
def test_a_mark_is_another_when_a_document_is_but_for_its_age(
    config: AgentConfig, change: dict[str, object], *, differs: bool
) -> None:
    """On an edge every member is heard anew with each digest."""
    node = NodeId(config.cluster.nodes[0].id)
    member = Member(node, MemberState.ALIVE, _beat(node), 9_000)
    changed = msgspec.structs.replace(member, **change)

    def mark(one: Member) -> object:
        head = compose(
            config,
            voters=voter_set(config),
            view=None,
            members=(),
            attachment=CONNECTED,
            moment=MOMENT,
        )
        ((_, found, _),) = sight_of(config, head, [one], now_ms=10_000).members
        return found

    assert (mark(member) != mark(changed)) is differs
    newer = msgspec.structs.replace(member, beat=_beat(node, number=2))
    assert mark(newer) != mark(member)


def _beat(node: str, number: int = 1) -> Beat:
    return Beat(
        node=NodeId(node),
        name="n",
        address="x",
        version="1",
        incarnation=1,
        number=number,
        uptime_s=3,
        voter=True,
        sample=Sample(cpu_percent=12.5),
    )


@pytest.mark.parametrize(
    ("state", "leads", "served", "addresses", "words"),
    [
        (FabricState.CONNECTED, True, 5, {"127.0.0.1"}, []),
        (FabricState.DEGRADED, True, 5, {"127.0.0.1"}, []),
        (FabricState.LOST, True, 5, {"127.0.0.1"}, ["fabric is lost"]),
        (FabricState.CONNECTED, False, 0, {"127.0.0.1"}, ["no leader"]),
        (FabricState.CONNECTED, True, 0, {"127.0.0.1"}, ["write acknowledged"]),
        (FabricState.CONNECTED, True, 5, {"192.0.2.9"}, ["no interface"]),
    ],
)
def test_not_ready_names_every_reason(  # noqa: PLR0917  one row of the table
    config: AgentConfig,
    state: FabricState,
    leads: bool,  # noqa: FBT001
    served: int,
    addresses: set[str],
    words: list[str],
) -> None:
    leader = NodeId(config.cluster.nodes[0].id) if leads else None
    status = compose(
        config,
        voters=voter_set(config),
        view=view(leader, served=served),
        members=silent(config),
        attachment=Attachment(state, None, None),
        moment=MOMENT,
    )
    reasons = not_ready(status, addresses=frozenset(addresses), address="127.0.0.1")
    assert len(reasons) == len(words)
    for reason, word in zip(reasons, words, strict=True):
        assert word in reason
