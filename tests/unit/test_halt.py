"""The emergency stop: it reaches everybody, nothing keeps a node from stopping, it is not lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from bzzz_core.api.event_documents import HaltDocument
from bzzz_core.api.operations import Call, Operation
from bzzz_core.errors import (
    Halted,
    IntegrityError,
    NotLeader,
    PermissionDenied,
    QuorumUnavailable,
    RequestInvalid,
    RevisionConflict,
)
from bzzz_core.halt.file import UNREADABLE, HaltFile
from bzzz_core.halt.keeper import Answer, Known
from bzzz_core.halt.operations import NotYet, unless_halted
from bzzz_core.halt.record import (
    RECORD_KEY,
    Decision,
    Kept,
    Own,
    Wish,
    decided,
    decode,
    decode_kept,
    encode,
)
from bzzz_core.halt.service import POLL_MS, STOP_MS_MAX
from bzzz_core.model import MemberState, NodeId
from tests.fakes.halting_nodes import CLUSTER, NOW, HaltCluster
from tests.fakes.virtual_time import pass_s, run

FRESH = Decision(cluster=CLUSTER)
OWN = Own(by="root", at=NOW, reason="mine")


def wish(*, halted: bool = True, request: str = "12345678", expected: int | None = None) -> Wish:
    return Wish(halted=halted, by="root", reason="why", request=request, expected=expected)


def after(before: Decision, *, halted: bool, request: str = "") -> Decision:
    name = request or f"request-{before.number}"
    return decided(before, wish(halted=halted, request=name), node=NodeId("n"), at=NOW)


STOPPED = after(FRESH, halted=True)
RESUMED = after(STOPPED, halted=False)


# ---- what is decided


def test_a_decision_says_who_when_why_and_where() -> None:
    assert (STOPPED.number, STOPPED.halted, STOPPED.by, STOPPED.at, STOPPED.reason) == (
        1,
        True,
        "root",
        NOW,
        "why",
    )
    assert (RESUMED.number, RESUMED.halted, RESUMED.node) == (2, False, "n")


def test_to_stop_what_is_stopped_decides_nothing() -> None:
    assert decided(STOPPED, wish(request="another-one"), node=NodeId("m"), at=NOW) is STOPPED


def test_to_resume_always_decides_because_a_node_may_have_stopped_by_itself() -> None:
    assert after(RESUMED, halted=False).number == 3


def test_the_same_wish_twice_decides_once() -> None:
    """A question to the leader that timed out is asked again."""
    again = decided(
        RESUMED,
        wish(halted=False, request="request-1", expected=1),
        node=NodeId("n"),
        at=NOW,
    )
    assert again is RESUMED


def test_who_resumes_does_not_end_a_stop_that_came_meanwhile() -> None:
    newer = after(RESUMED, halted=True)
    with pytest.raises(RevisionConflict, match="somebody stopped the work"):
        decided(newer, wish(halted=False, expected=2), node=NodeId("n"), at=NOW)


@pytest.mark.parametrize("content", [b"", b"\xff", b"\x80", encode(Kept(decision=FRESH))])
def test_what_is_no_record_is_refused(content: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode(content, cluster=CLUSTER)


def test_another_clusters_record_is_refused() -> None:
    with pytest.raises(IntegrityError, match="another cluster"):
        decode(encode(STOPPED), cluster="c2")
    with pytest.raises(IntegrityError, match="another cluster"):
        decode_kept(encode(Kept(decision=STOPPED)), cluster="c2")


# ---- a node's own stop


def test_an_older_decision_changes_nothing() -> None:
    kept = Kept(decision=RESUMED)
    assert kept.heard(STOPPED) is kept


def test_a_resume_from_before_a_nodes_own_stop_does_not_end_it() -> None:
    """It was decided while the node was away, by somebody who could not know of the stop."""
    alone = Kept(decision=FRESH).stopped(OWN)
    back = alone.heard(RESUMED)
    assert back.halted
    assert back.settled
    assert not back.heard(after(RESUMED, halted=False)).halted


def test_a_stop_of_the_cluster_leaves_a_nodes_own_stop_alone() -> None:
    kept = Kept(decision=FRESH).stopped(OWN).heard(FRESH).heard(STOPPED)
    assert kept.own is not None
    assert kept.heard(RESUMED) == Kept(decision=RESUMED)


def test_the_first_own_stop_stays() -> None:
    kept = Kept(decision=FRESH).stopped(OWN)
    assert kept.stopped(Own(by="other", at=NOW)) is kept


# ---- the file


def test_what_is_kept_is_there_at_the_next_start(tmp_path: Path) -> None:
    file = HaltFile(tmp_path, cluster=CLUSTER, now=lambda: NOW)
    assert not file.load().halted
    kept = Kept(decision=STOPPED, own=OWN)
    file.store(kept)
    assert file.load() == kept
    assert file.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"garbage", encode(Kept(decision=Decision(cluster="x")))])
def test_a_file_that_cannot_be_read_counts_as_a_stop(tmp_path: Path, content: bytes) -> None:
    file = HaltFile(tmp_path, cluster=CLUSTER, now=lambda: NOW)
    file.path.write_bytes(content)
    file.path.chmod(0o600)
    kept = file.load()
    assert kept.halted
    assert kept.own is not None
    assert UNREADABLE in kept.own.reason


# ---- all nodes


@pytest.fixture
def cluster(tmp_path: Path) -> HaltCluster:
    return HaltCluster(tmp_path, "a", "b", "c", "edge")


def test_a_stop_asked_of_any_node_is_everywhere_and_the_answer_says_so(
    cluster: HaltCluster,
) -> None:
    async def story() -> None:
        answer = await cluster["edge"].call("POST", reason="it deletes things", by="root")
        assert (answer.cluster, answer.followed, answer.missing) == (
            True,
            ("a", "b", "c", "edge"),
            (),
        )
        assert answer.took_ms < 1_000
        for node in cluster.nodes.values():
            found = node.halt.document()
            assert (found.halted, found.local, found.reason, found.node) == (
                True,
                False,
                "it deletes things",
                "edge",
            )
            mine = [line for line in node.audit if line["what"] == "work halted"]
            assert [(line["actor"], line["reason"]) for line in mine] == [
                ("root by API with token admin", "it deletes things")
            ]
        answer = await cluster["b"].call("DELETE", by="root")
        assert (answer.cluster, len(answer.followed)) == (True, 4)
        assert not any(node.halt.halted for node in cluster.nodes.values())

    run(cluster.run(story))


def test_an_edge_does_not_resume(cluster: HaltCluster) -> None:
    async def story() -> None:
        await cluster["a"].call("POST")
        with pytest.raises(PermissionDenied, match="only a voter"):
            await cluster["edge"].call("DELETE")
        assert cluster["edge"].halt.halted
        assert cluster["a"].audit[-1]["what"] == "resume refused"

    run(cluster.run(story))


def test_the_answer_names_who_has_not_followed_within_five_seconds(cluster: HaltCluster) -> None:
    async def story() -> None:
        cluster.cut_off = {"c"}
        answer = await cluster["b"].call("POST")
        assert answer.missing == (NotYet("c", "alive"),)
        assert answer.took_ms == 5_000
        cluster.cut_off = set()
        cluster.tell()
        await pass_s(1)
        assert cluster["c"].halt.halted

    run(cluster.run(story))


def test_nobody_waits_for_the_dead(cluster: HaltCluster) -> None:
    async def story() -> None:
        cluster.cut_off = {"c"}
        cluster.states["c"] = MemberState.DEAD
        answer = await cluster["b"].call("POST")
        assert answer.missing == (NotYet("c", "dead"),)
        assert answer.took_ms < 1_000

    run(cluster.run(story))


def test_without_a_leader_the_asked_node_stops_and_stays_so_until_somebody_resumes(
    cluster: HaltCluster,
) -> None:
    async def story() -> None:
        cluster.leader = None
        answer = await cluster["b"].call("POST", reason="alone")
        assert (answer.cluster, answer.followed) == (False, ("b",))
        assert "only this node has stopped" in answer.notes[0]
        assert cluster["b"].halt.document().local
        with pytest.raises(NotLeader):
            await cluster["b"].call("DELETE")
        cluster.leader = "a"
        await pass_s(POLL_MS / 1000)
        assert [n.name for n in cluster.nodes.values() if n.halt.halted] == ["b"]
        await cluster["c"].call("DELETE")
        assert not cluster["b"].halt.halted

    run(cluster.run(story))


def test_a_node_that_stays_stopped_by_itself_is_not_said_to_have_resumed(
    cluster: HaltCluster,
) -> None:
    """It has not met a leader since it stopped, so the resume may rest on not knowing of that."""

    async def story() -> None:
        cluster.cut_off = {"c"}
        await cluster["c"].call("POST")
        resuming = asyncio.create_task(cluster["a"].call("DELETE"))
        await pass_s(1)
        cluster.cut_off = set()
        answer = await resuming
        assert answer.missing == (NotYet("c", "alive"),)
        assert cluster["c"].halt.halted
        assert not (await cluster["a"].call("DELETE")).missing
        assert not cluster["c"].halt.halted

    run(cluster.run(story))


def test_only_this_node_stops_if_only_it_is_to(cluster: HaltCluster) -> None:
    async def story() -> None:
        answer = await cluster["b"].call("POST", local=True)
        assert (answer.cluster, answer.followed) == (False, ("b",))
        await pass_s(60)
        assert [n.name for n in cluster.nodes.values() if n.halt.halted] == ["b"]

    run(cluster.run(story))


def test_a_node_that_was_away_follows_when_it_is_back(cluster: HaltCluster) -> None:
    async def story() -> None:
        cluster.cut_off = {"c"}
        await cluster["a"].call("POST")
        cluster.cut_off = set()
        await pass_s(POLL_MS / 1000 + 1)  # It hears no digest; the poll makes up for that.
        assert cluster["c"].halt.halted

    run(cluster.run(story))


def test_every_node_starts_again_as_it_was_and_alone(cluster: HaltCluster) -> None:
    async def before() -> None:
        await cluster["a"].call("POST", reason="why")

    async def afterwards() -> None:
        await pass_s(1)
        for name in "abc":
            assert cluster[name].halt.document().reason == "why"

    run(cluster.run(before))
    cluster.leader = None
    for name in list(cluster.nodes):
        assert cluster.restart(name).halt.halted
    run(cluster.run(afterwards))


def test_a_new_leader_tells_the_number_that_the_store_has(cluster: HaltCluster) -> None:
    """It missed the decision itself; what its digests say must not hide it from the others."""

    async def story() -> None:
        cluster.cut_off = {"b"}
        await cluster["a"].call("POST")
        cluster.cut_off = {"a"}
        cluster.leader = "b"
        cluster["b"].halt.look()
        await pass_s(0.1)
        assert cluster["b"].halt.halted
        assert cluster["b"].halt.numbers() == {"halt": 1}

    run(cluster.run(story))


# ---- who works


def test_whoever_works_is_told_and_the_node_counts_as_done_only_then(
    cluster: HaltCluster,
) -> None:
    heard: list[HaltDocument] = []

    async def worker(found: HaltDocument) -> None:
        await pass_s(0.7)
        heard.append(found)

    async def story() -> None:
        cluster["c"].halt.subscribe(worker)
        answer = await cluster["a"].call("POST")
        assert answer.followed == ("a", "b", "c", "edge")
        assert 700 <= answer.took_ms < 2_000
        await cluster["a"].call("DELETE")
        assert [found.halted for found in heard] == [True, False]

    run(cluster.run(story))


def test_a_worker_that_does_not_stop_holds_up_nobody_for_ever(cluster: HaltCluster) -> None:
    async def deaf(_found: HaltDocument) -> None:
        await pass_s(3_600)

    async def failing(_found: HaltDocument) -> None:
        raise QuorumUnavailable("cannot give its claims back")

    async def story() -> None:
        cluster["a"].halt.subscribe(deaf)
        cluster["a"].halt.subscribe(failing)
        answer = await cluster["b"].call("POST")
        assert cluster["a"].halt.halted
        assert answer.took_ms <= 5_000
        await pass_s(STOP_MS_MAX / 1000)
        assert cluster["a"].halt.counters["not_stopped"] == 2

    run(cluster.run(story))


def test_work_that_does_not_stop_where_it_was_asked_for_keeps_no_other_node_waiting(
    cluster: HaltCluster,
) -> None:
    """The one node whose work hangs is the one where an operator asks for the stop."""

    async def deaf(_found: HaltDocument) -> None:
        await pass_s(3_600)

    async def story() -> None:
        cluster["b"].halt.subscribe(deaf)
        async with asyncio.TaskGroup() as group:
            group.create_task(cluster["b"].call("POST"))
            await pass_s(1)
            assert all(node.halt.halted for node in cluster.nodes.values())

    run(cluster.run(story))


def test_work_that_hangs_where_the_stop_was_asked_for_is_waited_for_once(
    cluster: HaltCluster,
) -> None:
    async def deaf(_found: HaltDocument) -> None:
        await pass_s(3_600)

    async def story() -> None:
        cluster["b"].halt.subscribe(deaf)
        answer = await cluster["b"].call("POST")
        assert answer.took_ms <= 5_000

    run(cluster.run(story))


def test_work_that_did_not_stop_is_no_node_that_followed_and_is_told_again(
    cluster: HaltCluster,
) -> None:
    told: list[bool] = []

    async def failing_at_first(found: HaltDocument) -> None:
        told.append(found.halted)
        if len(told) <= 2:
            raise QuorumUnavailable("cannot give its claims back")

    async def story() -> None:
        cluster["b"].halt.subscribe(failing_at_first)
        answer = await cluster["a"].call("POST")
        assert answer.missing == (NotYet("b", "alive"),)
        assert len(told) == 1, "what failed just now is not asked again at once"
        answer = await cluster["b"].call("POST")
        assert (len(told), answer.missing) == (2, (NotYet("b", "alive"),)), "somebody insists"
        await pass_s(POLL_MS / 1000 + 1)
        assert told == [True] * 3
        assert not (await cluster["a"].call("POST")).missing
        await cluster["a"].call("DELETE")
        assert told == [True, True, True, False]

    run(cluster.run(story))


def test_whoever_shows_it_hears_of_each_change_and_of_who_decided(cluster: HaltCluster) -> None:
    shown: list[tuple[bool, bool]] = []

    async def story() -> None:
        cluster["b"].halt.watch(lambda found: shown.append((found.halted, found.local)))
        await cluster["b"].call("POST")
        await cluster["b"].call("DELETE")

    run(cluster.run(story))
    assert (shown[0], shown[-2], shown[-1]) == ((True, True), (True, False), (False, False))


def test_who_works_learns_at_the_start_that_it_must_not(cluster: HaltCluster) -> None:
    heard: list[bool] = []

    async def worker(found: HaltDocument) -> None:
        heard.append(found.halted)

    async def story() -> None:
        await cluster["a"].call("POST")

    async def nothing() -> None:
        await pass_s(1)

    run(cluster.run(story))
    cluster.leader = None
    for name in list(cluster.nodes):
        cluster.restart(name)
    cluster["b"].halt.subscribe(worker)
    run(cluster.run(nothing))
    assert heard == [True]


def test_a_disk_that_takes_nothing_keeps_no_node_from_stopping(cluster: HaltCluster) -> None:
    async def story() -> None:
        cluster["b"].file.path.mkdir()
        answer = await cluster["b"].call("POST")
        assert cluster["b"].halt.halted
        assert "may not know it" in answer.notes[0]
        cluster["b"].file.path.rmdir()
        await pass_s(POLL_MS / 1000 + 1)
        assert not cluster["b"].halt.trouble
        assert cluster["b"].file.load().halted

    run(cluster.run(story))


def test_while_halted_nothing_is_changed_and_all_can_be_read(cluster: HaltCluster) -> None:
    async def handler(_call: Call) -> str:
        return "done"

    reads, writes = unless_halted(
        [
            Operation("GET", "/v1/x", handler, "dht:read", "Read"),
            Operation("PUT", "/v1/x", handler, "dht:write", "Write"),
        ],
        cluster["a"].halt,
    )
    call = Call(params={}, query={}, body=b"")

    async def story() -> None:
        assert await writes.handler(call) == "done"
        await cluster["a"].call("POST", reason="fire")
        assert await reads.handler(call) == "done"
        with pytest.raises(Halted, match=r"in the whole cluster since .* \(fire\)"):
            await writes.handler(call)

    run(cluster.run(story))


# ---- the leader's side


def test_many_who_ask_cost_the_store_one_read(cluster: HaltCluster) -> None:
    async def story() -> None:
        await cluster["a"].call("POST")
        reads = cluster.records.reads
        await asyncio.gather(*(node.halt.fetch() for node in cluster.nodes.values()))
        assert cluster.records.reads - reads <= 1

    run(cluster.run(story))


def test_an_answer_of_a_broker_that_was_cut_off_is_not_built_upon(cluster: HaltCluster) -> None:
    async def story() -> None:
        await cluster["a"].call("POST")
        cluster.records.held.pop(RECORD_KEY)
        await pass_s(2)
        with pytest.raises(QuorumUnavailable, match="older decision"):
            await cluster["b"].halt.fetch()
        assert cluster["b"].halt.halted

    run(cluster.run(story))


def test_no_majority_is_no_decision(cluster: HaltCluster) -> None:
    async def story() -> None:
        cluster.records.refuses = True
        answer = await cluster["a"].call("POST")
        assert (answer.cluster, answer.halt.local) == (False, True)

    run(cluster.run(story))


@pytest.mark.parametrize("body", [b"", b"\xc1", msgspec.msgpack.encode([1, 2])])
def test_what_is_no_question_is_refused(cluster: HaltCluster, body: bytes) -> None:
    async def story() -> None:
        with pytest.raises(RequestInvalid):
            await cluster["a"].keeper.answer_write(NodeId("b"), body)

    run(cluster.run(story))


def test_only_who_has_the_newest_decision_counts_as_having_followed(cluster: HaltCluster) -> None:
    async def story() -> None:
        keeper = cluster["a"].keeper
        await keeper.answer_write(NodeId("b"), msgspec.msgpack.encode(wish()))
        for asker, number in (("x", 0), ("y", 1), ("z", -1)):
            await keeper.answer_read(NodeId(asker), msgspec.msgpack.encode(Known(number)))
        body = await keeper.answer_read(NodeId("y"), msgspec.msgpack.encode(Known(1, True)))  # noqa: FBT003
        assert msgspec.msgpack.decode(body, type=Answer).followers == ("y",)

    run(story())
