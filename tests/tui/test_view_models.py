"""What the views of the monitor say, without a screen."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from bzzz_core.api.event_documents import HaltDocument
from bzzz_core.errors import ConfigError, RequestTimeout, TransportError
from bzzz_core.leader_documents import HistoryDocument, LeaderDocument
from bzzz_core.model import MemberState
from bzzz_tui.monitor import alerts, audit, checks, election, node, nodes, peers
from bzzz_tui.monitor.asked import asked
from bzzz_tui.monitor.times import instant, moment, seconds_between
from bzzz_tui.monitor.top import banner, top_facts
from bzzz_tui.monitor.views import VIEWS, load, view_named
from bzzz_tui.parts import text_of, width_of
from bzzz_tui.recording.places import place_of
from bzzz_tui.store import Link, LinkPhase, Snapshot, Store
from bzzz_tui.wording import ASCII, UNICODE, Tone
from tests.fakes import asked_cluster, statuses
from tests.fakes.asked_cluster import AT, AskedCluster

NOW = 1_000


def store_with(**what: Any) -> Store:
    store = Store(now_ms=0)
    store.apply(asked_cluster.told(0, **what))
    return store


def ask(view: Any, cluster: AskedCluster, store: Store) -> None:
    store.asked[view.VIEW] = asyncio.run(view.ask(cluster.call, store))


# ---- times


def test_a_day_is_only_named_where_it_is_not_today() -> None:
    assert moment("2026-11-21T08:48:00.000Z", today=AT) == "08:48:00"
    assert moment("2026-11-20T23:59:00.000Z", today=AT) == "11-20 23:59:00"
    assert moment("2026-11-21T01:30:00+02:00", today=AT) == "11-20 23:30:00"


@pytest.mark.parametrize(
    ("view", "today", "before"),
    [
        ("alerts", "11:58:00", "11-20 23:59:00"),
        ("checks", "12:00:00", ""),
        ("audit", "12:00:00", ""),
        ("election", "08:48:00", "11-20 20:00:00"),
    ],
)
def test_tables_name_the_day_only_where_it_is_not_today(view: str, today: str, before: str) -> None:
    store, spec = store_with(), view_named(view)
    assert spec is not None
    if spec.ask:
        store.asked[view] = asyncio.run(load(spec.ask)(AskedCluster().call, store))
    lines = "\n".join(load(spec.text)(store, NOW, "", ASCII))
    assert today in lines
    assert "11-21" not in lines
    assert before in lines
    tomorrow = statuses.status(at="2026-11-22T00:00:01.000Z")
    store.apply(asked_cluster.told(1, status=tomorrow))
    assert f"11-21 {today}" in "\n".join(load(spec.text)(store, NOW, "", ASCII))


def test_the_end_of_the_audit_is_told_like_every_other_moment() -> None:
    store = store_with()
    ask(audit, AskedCluster(), store)
    assert "12:00:00" in audit.text(store, NOW, "", ASCII)[0]
    assert "11-21" not in audit.text(store, NOW, "", ASCII)[0]


@pytest.mark.parametrize("said", [None, "", "soon", "9999-99-99", "0001-01-01T00:00:00+23:59"])
def test_what_is_no_instant_is_not_known(said: str | None) -> None:
    assert instant(said) is None
    assert moment(said) == "n/a"
    assert seconds_between(said, AT) is None


# ---- alerts, checks


def test_the_worst_alert_stands_first_and_of_equal_ones_the_newest() -> None:
    more = asked_cluster.alert("newer", "warning", at="2026-11-21T11:59:00.000Z")
    store = store_with(alerts=(*asked_cluster.ALERTS, more))
    assert alerts.order(store) == ["disk", "newer", "skew", "cert"]
    assert text_of(alerts.counts(store, UNICODE)) == "✖ 1 critical  ▲ 2 warning  · 1 info  "
    newest = [text_of(line) for line in alerts.newest(store, 2, UNICODE)]
    assert [line.split()[0] for line in newest] == ["11:59:00", "11:58:00"]


def test_no_alerts_is_something_else_than_not_known() -> None:
    store, silent = store_with(alerts=()), Store(now_ms=0)
    silent.apply(Snapshot(source="bzzz-1", status=statuses.status(), received_ms=0))
    assert "no alerts" in text_of(alerts.counts(store, UNICODE))
    assert not alerts.counts(silent, UNICODE)
    assert "nothing is wrong" in alerts.text(store, NOW, "", ASCII)[-1]
    assert "not known" in alerts.text(silent, NOW, "", ASCII)[0]
    assert "not known" in checks.text(silent, NOW, "", ASCII)[0]


def test_alerts_are_filtered_and_described_with_what_to_do_next() -> None:
    store = store_with()
    lines = alerts.text(store, NOW, "severity=critical", ASCII)
    assert "bzzz-3" in lines[1]
    assert lines[-1] == "1 of 3 alerts"
    facts = dict(alerts.describe(store.alerts["skew"], 0))
    assert facts["next step"] == "look at bzzz-2"
    assert (facts["value"], facts["threshold"]) == ("0.8", "0.5")
    assert dict(alerts.describe(store.alerts["cert"], 0))["value"] == "n/a"


def test_what_is_not_well_stands_before_what_is() -> None:
    store = store_with()
    assert checks.order(store) == ["disk", "clock", "gpu", "broker"]
    facts = dict(checks.describe(store.checks["disk"], 0))
    assert facts["ends agent"] == "yes, if it stays critical"
    assert facts["in a row"] == "3 times not well"


def test_words_from_the_network_move_no_cursor() -> None:
    bad = asked_cluster.alert("x", words="\x1b[2J\u202eevil", subject="\x07b")
    store = store_with(alerts=(bad,))
    for line in [
        *alerts.text(store, NOW, "", UNICODE),
        text_of(alerts.newest(store, 1, UNICODE)[0]),
    ]:
        assert line.isprintable()


# ---- one node


def test_a_page_of_a_node_has_its_alerts_checks_and_story() -> None:
    store = store_with()
    lines = [text_of(one) for one in node.lines(
        store, "bzzz-3", NOW, 80, UNICODE, checks=asked_cluster.CHECKS
    )]  # fmt: skip
    page = "\n".join(lines)
    assert "what does not fit is refused at once" in " ".join(page.split())
    assert "next: look at bzzz-3" in page
    assert "✖ critical" in page
    assert "1 % of /var/lib/bzzz is left" in page
    assert all(len(line) <= 80 for line in lines), "nothing is cut off at the edge"


def test_long_values_stand_across_the_page_and_nothing_is_cut() -> None:
    models = tuple(f"some-model-{n}:32b" for n in range(20))
    member = msgspec.structs.replace(statuses.member(1), models=models)
    store = store_with(status=statuses.status((member, statuses.member(2))))
    for width in (40, 80, 120, 300):
        lines = node.lines(store, "bzzz-1", NOW, width, UNICODE)
        assert all(width_of(line) <= max(width, 60) for line in lines)
        page = " ".join(" ".join(text_of(line) for line in lines).split())
        assert all(model in page for model in models), width


@pytest.mark.parametrize("why", ["asking the node", "not known: no answer within 3 s"])
def test_unknown_health_says_why(why: str) -> None:
    lines = node.lines(store_with(), "bzzz-1", NOW, 80, UNICODE, checks=why)
    assert any(why in text_of(line) for line in lines)


def test_a_node_that_is_not_there_is_said() -> None:
    lines = node.lines(store_with(), "nobody", NOW, 80, UNICODE)
    assert [text_of(line) for line in lines] == [" nobody is not among the nodes"]
    assert node.text(Store(now_ms=0), NOW, "", ASCII)


def test_as_text_it_is_about_the_first_node_or_the_one_named() -> None:
    assert "bzzz-1" in node.text(store_with(), NOW, "", ASCII)[0]
    assert "bzzz-3" in node.text(store_with(), NOW, "bzzz-3", ASCII)[0]


# ---- peers


def peer(store: Store, number: int) -> peers.Peer:
    found = asked(store, peers.VIEW).rows[statuses.node_id(number)]
    assert isinstance(found, peers.Peer)
    return found


def test_voters_that_disagree_are_seen() -> None:
    store, cluster = store_with(), AskedCluster()
    cluster.members = {
        "bzzz-1": asked_cluster.seen(),
        "bzzz-2": asked_cluster.seen(bzzz_3=MemberState.DEAD),
        "bzzz-3": None,
    }
    ask(peers, cluster, store)
    assert peer(store, 3).disputed
    assert peer(store, 3).counted == (1, 2)
    assert not peer(store, 1).disputed
    assert peer(store, 1).seen["bzzz-3"] is None
    lines = peers.text(store, NOW, "disputed=yes", ASCII)
    assert "1 of 2 !" in lines[1]
    assert lines[-1] == "1 of 3 nodes"
    facts = dict(peers.describe(peer(store, 3), 0))
    assert facts["seen by bzzz-2"] == "dead, there and back 3.0ms"
    assert facts["seen by bzzz-3"] == "no answer"


def test_the_worst_way_is_never_shorter_than_the_one_shown_beside_it() -> None:
    store, cluster = store_with(), AskedCluster()
    cluster.members = {name: asked_cluster.seen() for name in ("bzzz-1", "bzzz-2", "bzzz-3")}
    ask(peers, cluster, store)
    assert peer(store, 2).worst_ms == 2.0
    row = store.rows[statuses.node_id(2)]
    row.member = msgspec.structs.replace(row.member, rtt_ms=80.0)
    assert peer(store, 2).worst_ms == 80.0


def test_an_odd_version_is_marked_and_the_usual_one_is_not() -> None:
    old = msgspec.structs.replace(statuses.member(2), version="0.0.9")
    store = store_with(status=statuses.status((statuses.member(1), old, statuses.member(3))))
    store.asked[peers.VIEW] = peers.peers_of(store, {})
    assert [peer(store, n).odd_version for n in (1, 2, 3)] == [False, True, False]
    assert dict(peers.describe(peer(store, 2), 0))["most run"] == "0.1.0"


def test_a_voter_that_answers_nonsense_counts_as_one_that_does_not_answer() -> None:
    async def nonsense(
        _method: str, _path: str, _body: object = None, *, host: str | None = None
    ) -> Any:
        return {"bzzz-1": {"members": [{"name": 3}]}, "bzzz-2": None}.get(host or "", [])

    with pytest.raises(TransportError, match="no voter"):
        asyncio.run(peers.ask(nonsense, store_with()))


def test_only_living_voters_are_asked_and_never_more_than_there_may_be() -> None:
    members = [statuses.member(n, voter=n != 1) for n in range(1, 13)]
    members[1] = msgspec.structs.replace(members[1], state=MemberState.DEAD)
    store, cluster = store_with(status=statuses.status(tuple(members))), AskedCluster()
    ask(peers, cluster, store)
    hosts = [host for _, _, host in cluster.asked]
    assert len(hosts) == peers.ASKED_MAX
    assert not {"bzzz-1", "bzzz-2"} & set(hosts)


# ---- election


def test_leaderships_are_told_newest_first_with_how_long_and_why() -> None:
    store = store_with()
    ask(election, AskedCluster(), store)
    lines = election.text(store, NOW, "", ASCII)
    assert lines[0].startswith("leader bzzz-2 | term 42 | serving | token 910 | 2 of 3 make")
    assert [line.split()[0] for line in lines[3:5]] == ["42", "41"]
    assert "leads now" in lines[3]
    assert "3h12m" in lines[3]
    assert "12h47m" in lines[4]
    story = asked(store, election.VIEW).rows["42"]
    facts = dict(election.describe(story, 0))
    assert facts["bzzz-1"] == "refused: it hears the leader still"
    assert facts["ended"] == "not yet"
    assert text_of(election.story_parts(story)).startswith("term 42: the leader fell silent")


def test_what_must_be_known_of_the_present_is_said() -> None:
    quarantined = {
        "node": "bzzz-3", "offence": "equivocation", "reason": "two", "at": AT,
        "until_released": True,
    }  # fmt: skip
    cluster, store = AskedCluster(), store_with()
    cluster.answers["/v1/leader"] = asked_cluster.leader_document(
        leader=None, leader_id=None, waits_for_operator=True, quarantined=[quarantined]
    )
    ask(election, cluster, store)
    words = " ".join(
        text_of(fact.long) for fact in election.now_facts(asked(store, "election").head)
    )
    assert "no leader" in words
    assert "waits for an operator" in words
    assert "ignores bzzz-3" in words
    assert not any(story.lasts for story in asked(store, "election").rows.values())


def test_votes_of_the_answering_node_are_told_with_their_reasons() -> None:
    store = store_with()
    ask(election, AskedCluster(), store)
    head = asked(store, "election").head
    lines = [text_of(line) for line in election.decision_lines(head, 2)]
    assert "gave its vote to bzzz-2" in lines[0]
    assert lines[1].endswith("refused bzzz-3: its record is older")
    assert lines[0].startswith(" 08:47:59 ")
    assert not election.decision_lines(head, 0)


@pytest.mark.parametrize("answer", [None, [], {"term": "x"}, 7])
@pytest.mark.parametrize("path", ["/v1/leader", "/v1/audit"])
def test_an_answer_that_says_something_else_is_an_error_and_no_crash(
    path: str, answer: Any
) -> None:
    cluster = AskedCluster()
    cluster.answers[path] = answer
    view = election if path == "/v1/leader" else audit
    with pytest.raises(TransportError, match="not the document"):
        asyncio.run(view.ask(cluster.call, store_with()))  # type: ignore[attr-defined]


# ---- audit


def test_the_audit_is_told_newest_first_with_where_its_chain_ends() -> None:
    store = store_with()
    ask(audit, AskedCluster(), store)
    lines = audit.text(store, NOW, "", ASCII)
    assert lines[0].startswith("chain of bzzz-1 | signed up to 3")
    assert [line.split()[0] for line in lines[3:6]] == ["3", "2", "1"]
    assert lines[-1] == "3 of 3 entries"
    assert "key=node.log_level" in audit.text(store, NOW, "what=config.set", ASCII)[3]
    facts = dict(audit.describe(asked(store, audit.VIEW).rows["2"], 0))
    assert facts["key"] == "node.log_level"
    assert facts["trace"] == "none"


@pytest.mark.parametrize(
    ("answer", "tone", "words"),
    [
        (asked_cluster.verdict(), Tone.OK, "whole: 3 entries up to 3, confirmed by 2 voters"),
        (
            asked_cluster.verdict(ok=False, report=asked_cluster.faulty()),
            Tone.BAD,
            "NOT WHOLE: edit at entry 2: its hash is another",
        ),
        (
            asked_cluster.verdict(ok=False, report=None, why="no files"),
            Tone.BAD,
            "could not be verified: no files",
        ),
        (
            asked_cluster.verdict(
                ok=False,
                peers=[{"peer": "bzzz-3", "answered": True, "against": [{"kind": "fork"}]}],
            ),
            Tone.BAD,
            "NOT WHOLE: bzzz-3 hold something else",
        ),
    ],
)
def test_each_verdict_has_its_words(answer: Any, tone: Tone, words: str) -> None:
    assert audit.verdict_of(answer) == audit.Verdict(tone, words)


# ---- text, top line, places


@pytest.mark.parametrize("view", [view for view in VIEWS if view.ask], ids=lambda v: v.name)
def test_a_view_that_asks_can_be_had_as_text_before_and_after_its_answer(view) -> None:  # noqa: ANN001
    store = store_with()
    assert load(view.text)(store, NOW, "", ASCII)
    store.asked[view.name] = asyncio.run(load(view.ask)(AskedCluster().call, store))
    assert len(load(view.text)(store, NOW, "", ASCII)) > 3


@pytest.mark.parametrize(
    ("view", "said"),
    [
        ("election", "leaderships not known"),
        ("audit", "entries not known"),
        ("peers", "nodes not known"),
    ],
)
def test_what_was_never_answered_is_not_counted_as_none(view: str, said: str) -> None:
    store, spec = store_with(), view_named(view)
    assert spec is not None
    lines = load(spec.text)(store, NOW, "", ASCII)
    assert lines[-1] == said
    assert "0" not in "".join(lines)


def test_before_the_first_answer_no_node_is_counted() -> None:
    assert nodes.text(Store(now_ms=0), NOW, "", ASCII)[-1] == "nodes not known"


def test_what_is_known_to_be_nothing_is_counted_and_said() -> None:
    store = store_with(alerts=())
    assert alerts.text(store, NOW, "", ASCII)[-1].startswith("0 of 0 alerts: nothing is wrong")
    store.asked["election"] = election.rows_of(
        msgspec.convert(asked_cluster.leader_document(), LeaderDocument, strict=False),
        HistoryDocument(node="bzzz-1", complete=True, stale=False, leaderships=(), decisions=()),
        AT,
    )
    said = election.text(store, NOW, "", ASCII)[-1]
    assert said == "0 of 0 leaderships: nobody has led yet, as far as is known"


def test_a_filter_that_matches_nothing_does_not_say_that_nothing_is_wrong() -> None:
    said = alerts.text(store_with(), NOW, "subject=nobody", ASCII)[-1]
    assert said == "0 of 3 alerts"


def test_a_stop_of_all_work_is_never_overlooked() -> None:
    store = store_with(halt=asked_cluster.HALT)
    said = banner(store, NOW, UNICODE)
    assert said == ("✖ HALTED by mira at 12:00:00: a worker ran wild", Tone.BAD)
    local = HaltDocument(halted=True, local=True)
    assert banner(store_with(halt=local), NOW, UNICODE) == ("✖ HALTED on this node alone", Tone.BAD)
    assert banner(store_with(), NOW, UNICODE) is None
    lost = Link(phase=LinkPhase.LOST, host="bzzz-1", since_ms=0, reason="gone")
    store.apply(lost)
    both = banner(store, NOW, UNICODE)
    assert both is not None
    assert "HALTED" in both[0]
    assert "DISCONNECTED" in both[0]


def test_a_critical_alert_is_red_in_the_top_line() -> None:
    def tone(store: Store) -> Tone:
        facts = top_facts(store, NOW)
        return next(f.long[1][1] for f in facts if f.long[0][0] == "alerts ")

    assert tone(store_with()) is Tone.BAD
    assert tone(store_with(alerts=(asked_cluster.alert("a"),))) is Tone.WARN
    assert tone(store_with(alerts=())) is Tone.PLAIN


@pytest.mark.parametrize(
    ("words", "place_ms"),
    [
        ("11:00:10", 10_000),
        ("11:02", 120_000),
        ("10:59:50", -10_000),
        ("+30s", 35_000),
        ("-2m", -115_000),
        ("+1m30s", 95_000),
        ("90s", 90_000),
        ("1h", 3_600_000),
        ("0.5s", 500),
    ],
)
def test_places_are_times_or_durations(words: str, place_ms: int) -> None:
    began = "2026-11-29T11:00:00.000Z"
    assert place_of(words, position_ms=5_000, started_at=began) == place_ms


def test_a_recording_over_midnight_has_times_of_two_days() -> None:
    began = "2026-11-29T23:59:50.000Z"
    assert place_of("00:00:10", position_ms=0, started_at=began) == 20_000


@pytest.mark.parametrize("words", ["", "soon", "25:00", "11:61", "30", "+", "s", "1e9s", "-"])
def test_what_is_no_place_is_refused(words: str) -> None:
    with pytest.raises(ConfigError):
        place_of(words, position_ms=0, started_at="2026-11-29T11:00:00.000Z")
    with pytest.raises(ConfigError):
        place_of("11:00", position_ms=0, started_at="nobody knows")


def test_a_refusal_of_a_voter_is_not_that_of_all() -> None:
    cluster = AskedCluster()
    cluster.answers["/v1/leader"] = RequestTimeout("slow")
    with pytest.raises(RequestTimeout):
        asyncio.run(election.ask(cluster.call, store_with()))
