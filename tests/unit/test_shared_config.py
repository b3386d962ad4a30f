"""Set once, for all: compare-and-set, history, refusal of what is a node's own, every node follows.

The nodes are wired as agents wire them, over the memory fabric in virtual time.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bzzz_core.config.layers import ClusterValues
from bzzz_core.errors import (
    ConfigError,
    Deposed,
    IntegrityError,
    NotLeader,
    PermissionDenied,
    QuorumUnavailable,
    RequestInvalid,
    RequestTimeout,
    RevisionConflict,
)
from bzzz_core.fabric.memory import MemoryHub, MemoryRecords
from bzzz_core.model import NodeId
from bzzz_core.shared_config.cache import SharedConfigCache
from bzzz_core.shared_config.record import (
    HISTORY_MAX,
    RECORD_KEY,
    SharedConfig,
    Wish,
    address_of,
    changed,
    decode,
    encode,
    history_of,
    key_of,
    values_of,
)
from bzzz_core.telemetry import tracing
from tests.fakes.config_nodes import ConfigNode, Running
from tests.fakes.node_files import LEAVES, write_node_file
from tests.fakes.virtual_time import VirtualClock, run

KEY = "resources.log_level"
Story = Callable[[ConfigNode, ConfigNode, ConfigNode], Awaitable[None]]


def wish(changes: dict[str, object | None], **more: Any) -> Wish:
    texts = {k: None if v is None else json.dumps(v) for k, v in changes.items()}
    return Wish(**{"changes": texts, "by": "root", "request": "12345678", **more})


def after(shared: SharedConfig, changes: dict[str, object | None], **more: Any) -> SharedConfig:
    request = f"request-{shared.number}"
    return changed(
        shared,
        wish(changes, **{"request": request, **more}),
        cluster_name="bzzz",
        node="n1",
        at="2026-01-01T00:00:00Z",
    )


EMPTY = SharedConfig("c1")
NO_THREADS = "validation: {check_secrets: false}\n"
"""Secrets are read in a thread, which virtual time does not wait for."""


def test_a_value_lies_under_its_address() -> None:
    address = address_of("bzzz", KEY)
    assert address == "ucxl://any:any@bzzz:config/resources/log_level"
    assert key_of(address) == KEY
    for foreign in ("x", "ucxl://any:any@bzzz:other/a", "ucxl://any:any@bzzz:config/*"):
        assert key_of(foreign) is None


def test_every_leaf_that_may_be_shared_has_an_address_of_its_own() -> None:
    shared = {key for key, leaf in LEAVES.items() if not leaf.of_node}
    assert {key_of(address_of("bzzz", key)) for key in shared} == shared
    own = {"system.node_name", "network.address", "resources.paths.data", "cluster.id",
           "cluster.nodes", "security.directory", "ai.endpoint.api_key"}  # fmt: skip
    assert not own & shared


def test_a_change_says_who_when_and_what() -> None:
    one = after(EMPTY, {KEY: "debug"})
    two = after(one, {KEY: "error", "cluster.roster.dead_ms": 9_000})
    three = after(two, {KEY: None})
    assert (one.number, two.number, three.number) == (1, 2, 3)
    assert values_of(three) == ClusterValues(3, {"cluster.roster.dead_ms": 9_000})
    assert [(c.number, c.before, c.after, c.by, c.node) for c in history_of(three, KEY)] == [
        (3, '"error"', None, "root", "n1"),
        (2, '"debug"', '"error"', "root", "n1"),
        (1, None, '"debug"', "root", "n1"),
    ]
    assert len(history_of(three, None)) == 4


def test_what_changes_nothing_is_no_revision() -> None:
    one = after(EMPTY, {KEY: "debug"})
    assert after(one, {KEY: "debug"}) is one
    assert after(one, {"cluster.roster.dead_ms": None}) is one


def test_the_same_wish_twice_is_one_change() -> None:
    """A question to the leader that timed out is asked again."""
    one = after(EMPTY, {KEY: "debug"}, request="the-same-wish", expected=0)
    assert after(one, {KEY: "debug"}, request="the-same-wish", expected=0) is one


def test_a_wish_for_another_revision_is_refused() -> None:
    with pytest.raises(RevisionConflict, match="at revision 1, not at 0"):
        after(after(EMPTY, {KEY: "debug"}), {KEY: "error"}, expected=0)


@pytest.mark.parametrize("key", [k for k, leaf in LEAVES.items() if leaf.of_node])
def test_what_is_a_node_s_own_is_refused_with_the_reason(key: str) -> None:
    with pytest.raises(ConfigError, match="each node"):
        after(EMPTY, {key: "x"})


def test_history_is_bounded() -> None:
    shared = EMPTY
    for number in range(HISTORY_MAX + 5):
        shared = after(shared, {KEY: ("debug", "error")[number % 2]})
    assert len(shared.history) == HISTORY_MAX
    assert shared.history[-1].number == HISTORY_MAX + 5
    assert decode(encode(shared), cluster="c1") == shared


def test_a_record_that_is_none_or_foreign_is_refused() -> None:
    for content in (b"", b"\xc1", msgspec.msgpack.encode({"number": -1}), encode(EMPTY)[:-1]):
        with pytest.raises(IntegrityError, match="damaged"):
            decode(content, cluster="c1")
    with pytest.raises(IntegrityError, match="another cluster"):
        decode(encode(EMPTY), cluster="c2")


def test_a_record_that_grew_too_large_is_not_written() -> None:
    values = {f"ucxl://any:any@bzzz:config/{n}": '"' + "x" * 60_000 + '"' for n in range(12)}
    with pytest.raises(ConfigError, match="over 700000 bytes"):
        encode(SharedConfig("c1", 1, values))


def test_values_that_cannot_be_read_are_left_out() -> None:
    values = {address_of("bzzz", KEY): '"debug"', address_of("bzzz", "a.b"): "{", "x": "1"}
    assert values_of(SharedConfig("c1", 1, values)).values == {KEY: "debug"}


def test_the_cache_never_goes_back_and_survives_damage(tmp_path: Path) -> None:
    cache = SharedConfigCache(tmp_path, cluster="c1")
    two = after(after(EMPTY, {KEY: "debug"}), {KEY: "error"})
    assert cache.store(two)
    assert not cache.store(after(EMPTY, {KEY: "debug"}))
    assert cache.load() == two
    cache.path.write_bytes(b"damage")
    assert cache.load() == EMPTY
    assert SharedConfigCache(tmp_path, cluster="c2").load().number == 0
    with pytest.raises(IntegrityError, match="cannot be written"):
        SharedConfigCache(tmp_path / "absent", cluster="c1").store(two)


def nodes_of(directory: Path) -> tuple[ConfigNode, ConfigNode, ConfigNode]:
    hub, nodes = MemoryHub(clock=VirtualClock(), seed=1), []
    for name, node_id in (("alpha", "n1"), ("beta", "n2"), ("gamma", "n3")):
        place = directory / name
        place.mkdir()
        fabric = hub.attach(NodeId(node_id))
        nodes.append(
            ConfigNode(
                write_node_file(place, NO_THREADS, node=name),
                fabric=fabric,
                records=MemoryRecords(hub, fabric),
                clock=VirtualClock(),
            )
        )
    alpha, beta, gamma = nodes
    return alpha, beta, gamma


def play(directory: Path, story: Story) -> None:
    """Run three nodes, of which alpha leads, and the story."""

    async def whole() -> None:
        nodes = nodes_of(directory)
        async with Running(nodes):
            # The first questions to the leader find none and end.
            await VirtualClock().sleep_ms(1_900)
            await nodes[0].lead()
            await story(*nodes)

    run(whole())


def put(changes: dict[str, str | None], **more: object) -> bytes:
    body = {"changes": changes, "scope": "cluster", "by": "root", **more}
    return msgspec.json.encode(body)


def test_a_value_set_on_one_voter_reaches_every_node(tmp_path: Path) -> None:
    async def story(alpha: ConfigNode, beta: ConfigNode, gamma: ConfigNode) -> None:
        answer = await beta.call("PUT", "/v1/config", put({KEY: "debug"}))
        assert (answer.revision, beta.log_level) == (1, "debug")
        assert [one.key for one in answer.applied] == [KEY]
        await VirtualClock().sleep_ms(2_500)
        assert (alpha.log_level, gamma.log_level) == ("debug", "info")
        alpha.tell([gamma])
        await VirtualClock().sleep_ms(500)
        assert gamma.log_level == "debug"
        assert [line["what"] for line in alpha.audit] == [
            "cluster config changed",
            "config changed",
        ]
        assert alpha.audit[0]["actor"] == "root by API with token admin"
        assert alpha.audit[0]["asker"] == "n2"
        assert gamma.audit[0]["actor"] == "cluster-wide revision 1"

    play(tmp_path, story)


def test_every_node_applies_a_change_under_the_trace_of_the_request(tmp_path: Path) -> None:
    async def story(leader: ConfigNode, voter: ConfigNode, edge: ConfigNode) -> None:
        for trace, value in (("1" * 32, "debug"), ("2" * 32, "error")):
            with tracing.request(trace=trace):
                await voter.call("PUT", "/v1/config", put({KEY: value}))
            leader.tell([edge])
            await VirtualClock().sleep_ms(3_000)
        applied = [("configuration changed", "1" * 32), ("configuration changed", "2" * 32)]
        assert leader.traces == voter.traces == edge.traces == applied

    play(tmp_path, story)


def test_an_edge_that_hears_no_digest_learns_within_half_a_minute(tmp_path: Path) -> None:
    async def story(alpha: ConfigNode, beta: ConfigNode, gamma: ConfigNode) -> None:
        del beta
        await alpha.call("PUT", "/v1/config", put({KEY: "debug"}))
        await VirtualClock().sleep_ms(31_000)
        assert gamma.log_level == "debug"

    play(tmp_path, story)


def test_an_edge_may_not_change_it_and_the_attempt_is_audited(tmp_path: Path) -> None:
    async def story(alpha: ConfigNode, beta: ConfigNode, gamma: ConfigNode) -> None:
        del beta
        with pytest.raises(PermissionDenied, match="only a voter"):
            await gamma.call("PUT", "/v1/config", put({KEY: "debug"}))
        assert alpha.audit == [
            {"what": "cluster config refused", "actor": "n3", "by": "root by API with token admin"}
        ]

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("changes", "more", "kind", "message"),
    [
        ({KEY: "loud"}, {}, ConfigError, "log_level: Input should be"),
        ({"cluster.timings.detect_ms": "300"}, {}, ConfigError, "4 x heartbeat_ms"),
        ({"network.address": "192.0.2.9"}, {}, ConfigError, "is each node's own"),
        ({"ai.endpoint.api_key": "env:X"}, {}, ConfigError, "where a secret is"),
        ({"no.such": "1"}, {}, ConfigError, "no such setting"),
        ({KEY: "debug"}, {"revision": 5}, RevisionConflict, "revision 0, not at 5"),
        ({KEY: "debug"}, {"revision": "abc"}, ConfigError, "is a number"),
        ({KEY: "debug"}, {"scope": "node", "revision": 5}, ConfigError, "is a text"),
        ({KEY: "debug"}, {"scope": "node", "revision": "5"}, RevisionConflict, "look again"),
        ({}, {}, RequestInvalid, "the body"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    tmp_path: Path,
    changes: dict[str, str | None],
    more: dict[str, object],
    kind: type[Exception],
    message: str,
) -> None:
    async def story(alpha: ConfigNode, beta: ConfigNode, gamma: ConfigNode) -> None:
        del gamma
        with pytest.raises(kind, match=message):
            await beta.call("PUT", "/v1/config", put(changes, **more))
        assert await alpha.records.read(RECORD_KEY) is None
        assert beta.log_level == "info"

    play(tmp_path, story)


def test_a_number_given_as_text_is_kept_as_a_number(tmp_path: Path) -> None:
    async def story(alpha: ConfigNode, beta: ConfigNode, gamma: ConfigNode) -> None:
        del beta, gamma
        answer = await alpha.call("PUT", "/v1/config", put({"validation.watch_ms": "500"}))
        assert [one.new for one in answer.applied] == [500]
        (past,) = await alpha.call("GET", "/v1/config/history", key="validation.watch_ms")
        assert (past.before, past.after, past.by) == (None, 500, "root by API with token admin")
        with pytest.raises(ConfigError, match="no such setting"):
            await alpha.call("GET", "/v1/config/history", key="validation.wtach_ms")

    play(tmp_path, story)


def test_values_that_depend_on_each_other_change_together(tmp_path: Path) -> None:
    changes: dict[str, str | None] = {
        "cluster.timings.heartbeat_ms": "100",
        "cluster.timings.check_quorum_ms": "300",
        "cluster.timings.detect_ms": "400",
    }

    async def story(alpha: ConfigNode, beta: ConfigNode, gamma: ConfigNode) -> None:
        del beta, gamma
        answer = await alpha.call("PUT", "/v1/config", put(changes))
        assert sorted(one.key for one in answer.waiting) == sorted(changes)
        document = await alpha.call("GET", "/v1/config")
        assert document.cluster_revision == 1
        assert {one.key for one in document.waiting} == set(changes)
        origins = {one.key: (one.source, one.place) for one in document.settings}
        assert origins["cluster.timings.detect_ms"] == ("cluster-wide", "revision 1")

    play(tmp_path, story)


def test_the_node_s_file_goes_before_and_the_answer_says_so(tmp_path: Path) -> None:
    async def story(alpha: ConfigNode, beta: ConfigNode, gamma: ConfigNode) -> None:
        del beta, gamma
        body = msgspec.json.encode({"changes": {KEY: "error"}, "by": "root"})
        answer = await alpha.call("PUT", "/v1/config", body)
        assert alpha.log_level == "error"
        answer = await alpha.call("PUT", "/v1/config", put({KEY: "debug"}))
        assert alpha.log_level == "error"
        assert "is set by the file here" in answer.notes[0]
        body = msgspec.json.encode({"changes": {KEY: None}})
        await alpha.call("PUT", "/v1/config", body)
        assert alpha.log_level == "debug"
        await alpha.call("PUT", "/v1/config", put({KEY: None}))
        assert alpha.log_level == "info"

    play(tmp_path, story)


def test_a_try_says_what_would_happen(tmp_path: Path) -> None:
    async def story(alpha: ConfigNode, beta: ConfigNode, gamma: ConfigNode) -> None:
        del beta, gamma
        body = msgspec.json.encode({"changes": {KEY: "debug"}})
        answer = await alpha.call("POST", "/v1/config/validate", body)
        assert [one.key for one in answer.applied] == [KEY]
        assert alpha.log_level == "info"
        bad = msgspec.json.encode({"changes": {KEY: "loud"}})
        with pytest.raises(ConfigError, match="Input should be"):
            await alpha.call("POST", "/v1/config/validate", bad)
        answer = await alpha.call("POST", "/v1/config/reload", b'{"by": "root"}')
        assert answer.applied == ()

    play(tmp_path, story)


def test_what_is_in_force_is_told_while_the_file_is_spoilt(tmp_path: Path) -> None:
    async def story(alpha: ConfigNode, beta: ConfigNode, gamma: ConfigNode) -> None:
        del beta, gamma
        before = await alpha.call("GET", "/v1/config")
        alpha.path.write_text(alpha.path.read_text().replace("ai: {", "ai: {modle: x, "))
        await VirtualClock().sleep_ms(3_000)
        document = await alpha.call("GET", "/v1/config")
        assert "ai.modle: unknown key" in document.refused
        assert document.revision != before.revision
        assert [(one.key, one.value) for one in document.settings] == [
            (one.key, one.value) for one in before.settings
        ]

    play(tmp_path, story)


def test_without_a_leader_nothing_is_promised_and_the_copy_holds(tmp_path: Path) -> None:
    async def story(alpha: ConfigNode, beta: ConfigNode, gamma: ConfigNode) -> None:
        await alpha.call("PUT", "/v1/config", put({KEY: "debug"}))
        alpha.tell([gamma])
        await VirtualClock().sleep_ms(3_000)
        alpha.token = None
        with pytest.raises((NotLeader, RequestTimeout)):
            await beta.call("PUT", "/v1/config", put({KEY: "error"}))
        await VirtualClock().sleep_ms(60_000)
        assert (beta.log_level, gamma.log_level) == ("debug", "debug")

    play(tmp_path, story)


def test_the_next_leader_goes_on_where_the_last_one_was(tmp_path: Path) -> None:
    async def story(alpha: ConfigNode, beta: ConfigNode, gamma: ConfigNode) -> None:
        del gamma
        await alpha.call("PUT", "/v1/config", put({KEY: "debug"}))
        alpha.token = None
        await beta.lead()
        answer = await alpha.call("PUT", "/v1/config", put({KEY: "error"}))
        assert answer.revision == 2
        assert len(await alpha.call("GET", "/v1/config/history", key=KEY)) == 2

    play(tmp_path, story)


def test_a_deposed_leader_writes_nothing(tmp_path: Path) -> None:
    async def story(alpha: ConfigNode, beta: ConfigNode, gamma: ConfigNode) -> None:
        del gamma
        await alpha.call("PUT", "/v1/config", put({KEY: "debug"}))
        await beta.lead()
        with pytest.raises(Deposed):
            await alpha.call("PUT", "/v1/config", put({KEY: "error"}))
        record = await beta.records.read(RECORD_KEY)
        assert record is not None
        assert values_of(decode(record.value, cluster="c1")).values == {KEY: "debug"}

    play(tmp_path, story)


def test_an_older_record_than_is_known_is_not_built_upon(tmp_path: Path) -> None:
    """A broker that was cut off may answer a read with old data."""

    async def story(alpha: ConfigNode, beta: ConfigNode, gamma: ConfigNode) -> None:
        del beta, gamma
        keeper = alpha.configuration._keeper
        assert keeper is not None
        keeper.saw(7)
        with pytest.raises(QuorumUnavailable, match="older"):
            await alpha.call("PUT", "/v1/config", put({KEY: "debug"}))

    play(tmp_path, story)


def test_of_many_who_wish_at_once_one_wins(tmp_path: Path) -> None:
    async def wins(node: ConfigNode, value: int) -> bool:
        try:
            body = put({"validation.watch_ms": str(value)}, revision=0)
            await node.call("PUT", "/v1/config", body)
        except RevisionConflict:
            return False
        return True

    async def story(alpha: ConfigNode, beta: ConfigNode, gamma: ConfigNode) -> None:
        del gamma
        wishes = (wins(node, value) for value, node in enumerate((alpha, beta) * 4, start=500))
        assert sum(await asyncio.gather(*wishes)) == 1
        assert len(await alpha.call("GET", "/v1/config/history")) == 1

    play(tmp_path, story)


def test_a_node_on_which_the_values_do_not_fit_keeps_what_it_has(tmp_path: Path) -> None:
    async def story(alpha: ConfigNode, beta: ConfigNode, gamma: ConfigNode) -> None:
        del gamma
        text = beta.path.read_text()
        beta.path.write_text(text.replace("id: c1", "id: c1\n  timings: {heartbeat_ms: 190}"))
        changes: dict[str, str | None] = {
            "cluster.timings.heartbeat_ms": "100",
            "cluster.timings.check_quorum_ms": "200",
            "cluster.timings.detect_ms": "400",
        }
        await alpha.call("PUT", "/v1/config", put(changes))
        await VirtualClock().sleep_ms(3_000)
        document = await beta.call("GET", "/v1/config")
        assert "4 x heartbeat_ms" in document.refused
        assert beta.configuration.current.cluster.timings.detect_ms == 800

    play(tmp_path, story)


def test_a_restart_begins_with_the_copy_and_without_it_if_it_does_not_fit(tmp_path: Path) -> None:
    alpha, *_ = nodes_of(tmp_path)
    cache = SharedConfigCache(alpha.path.parent / "data", cluster="c1")
    cache.store(after(EMPTY, {KEY: "debug"}))
    hub = MemoryHub(clock=VirtualClock(), seed=1)
    fabric = hub.attach(NodeId("n1"))
    again = ConfigNode(
        alpha.path, fabric=fabric, records=MemoryRecords(hub, fabric), clock=VirtualClock()
    )
    assert again.log_level == "debug"
    values = {address_of("bzzz", KEY): '"loud"'}
    cache.store(SharedConfig("c1", 2, values))
    third = ConfigNode(
        alpha.path, fabric=fabric, records=MemoryRecords(hub, fabric), clock=VirtualClock()
    )
    assert third.log_level == "info"
    assert third.reports[0][0] == "cluster-wide configuration left out"


@pytest.mark.parametrize("operation", ["config", "config-set"])
@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x80" * 9, b"\x81\xa6number\xa1x"])
def test_a_malformed_question_is_refused(tmp_path: Path, operation: str, body: bytes) -> None:
    async def story(alpha: ConfigNode, beta: ConfigNode, gamma: ConfigNode) -> None:
        del alpha, gamma
        with pytest.raises(RequestInvalid):
            await beta.requests.ask(operation, body, timeout_ms=1_000)

    play(tmp_path, story)


def test_a_malformed_answer_is_counted_and_asked_again(tmp_path: Path) -> None:
    async def story(alpha: ConfigNode, beta: ConfigNode, gamma: ConfigNode) -> None:
        del beta
        follower = gamma.configuration._follower
        assert follower is not None
        good, answers = follower._ask, [b"\xc1", b"\x82\xa6number\x09\xa6record\xc4\x01\xc1"]

        async def ask(body: bytes) -> bytes:
            return answers.pop(0) if answers else await good(body)

        follower._ask, before = ask, follower.counters["unanswered"]
        await alpha.call("PUT", "/v1/config", put({KEY: "debug"}))
        alpha.tell([gamma])
        await VirtualClock().sleep_ms(5_000)
        assert gamma.log_level == "debug"
        assert follower.counters["unanswered"] == before + 2

    play(tmp_path, story)
