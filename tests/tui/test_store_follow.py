"""The store on an event stream: a state, then what differs; silence ages, life does not."""

from __future__ import annotations

import msgspec
import pytest

from bzzz_core.api import event_documents as events
from bzzz_core.api.documents import MemberStatus, Status
from bzzz_core.api.event_documents import AlertDocument, Documents, HaltDocument
from bzzz_core.model import MemberState, NodeId
from bzzz_tui import view
from bzzz_tui.store import Heard, Jump, Link, LinkPhase, Snapshot, Store
from bzzz_tui.wording import ago
from tests.fakes import statuses

AT = "2026-11-21T12:00:00.000Z"
EPOCH = "e1"


def raw(document: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(document))


def documents_of(status: Status, **more: dict[str, msgspec.Raw]) -> Documents:
    head = msgspec.structs.replace(status, members=())
    return {
        "status": {"self": raw(head)},
        "members": {member.node_id: raw(member) for member in status.members},
        **more,
    }


def whole(ms: int, status: Status | None = None, **more: dict[str, msgspec.Raw]) -> Heard:
    status = status or statuses.status()
    message = events.Snapshot(
        epoch=EPOCH,
        revision=1,
        at=status.at,
        node=status.node,
        node_id=status.node_id,
        version=status.version,
        documents=documents_of(status, **more),
    )
    return Heard(source="bzzz-1", message=message, received_ms=ms)


def changed(ms: int, *members: MemberStatus, at: str = AT, **more: object) -> Heard:
    documents = {"members": {member.node_id: raw(member) for member in members}}
    message = events.Delta(
        epoch=EPOCH, revision=2, previous=1, at=at, changed=documents if members else {}, **more
    )
    return Heard(source="bzzz-1", message=message, received_ms=ms)


def beat(ms: int, at: str = AT) -> Heard:
    message = events.Beat(epoch=EPOCH, revision=1, at=at)
    return Heard(source="bzzz-1", message=message, received_ms=ms)


def alert(key: str) -> AlertDocument:
    return AlertDocument(
        id=key, rule="r", severity="warning", subject="s", node="n", since_at=AT, words="w",
        next_step="n",
    )  # fmt: skip


def test_a_snapshot_and_an_answer_lead_to_the_same_picture() -> None:
    followed, asked = Store(now_ms=0), Store(now_ms=0)
    followed.apply(whole(0))
    asked.apply(Snapshot(source="bzzz-1", status=statuses.status(), received_ms=0))
    assert followed.status == asked.status
    assert followed.order == asked.order
    assert view.verdict(followed, 0) == view.verdict(asked, 0)
    assert [e.text for e in followed.events] == [e.text for e in asked.events]


def test_a_change_touches_the_rows_it_names_and_no_other() -> None:
    store = Store(now_ms=0)
    store.apply(whole(0))
    changes = store.apply(changed(1_000, statuses.member(3, cpu=99)))
    assert changes.ids == {statuses.node_id(3)}
    assert not changes.order
    assert store.status is not None
    assert store.status.members[2].cpu_percent == 99


def test_a_new_leader_changes_both_rows_though_no_member_did() -> None:
    store = Store(now_ms=0)
    store.apply(whole(0, statuses.status(leader=2)))
    head = msgspec.structs.replace(statuses.status(leader=3, term=43), members=())
    message = events.Delta(
        epoch=EPOCH, revision=2, previous=1, at=AT, changed={"status": {"self": raw(head)}}
    )
    changes = store.apply(Heard(source="bzzz-1", message=message, received_ms=1))
    assert changes.ids == {statuses.node_id(2), statuses.node_id(3)}
    assert store.events[-1].text == "bzzz-3 leads in term 43"
    assert len(store.rows) == 3


def test_members_come_and_go() -> None:
    store = Store(now_ms=0)
    store.apply(whole(0))
    changes = store.apply(changed(1, statuses.member(4), gone={"members": (statuses.node_id(1),)}))
    assert changes.order
    assert [store.rows[i].member.name for i in store.order] == ["bzzz-2", "bzzz-3", "bzzz-4"]
    assert store.events[-1].text == "bzzz-4 joined"


def test_the_silence_of_a_silent_member_grows_with_each_beat_and_life_stays_now() -> None:
    store = Store(now_ms=0)
    dead = statuses.with_state(statuses.status(), 3, MemberState.DEAD)
    store.apply(whole(0, dead))
    changes = store.apply(beat(10_000))
    assert changes.ids == {statuses.node_id(3)}
    assert store.rows[statuses.node_id(3)].heard_ms == 14_200
    assert ago(store.rows[statuses.node_id(1)].heard_ms) == "now"
    assert store.rows[statuses.node_id(1)].uptime_s == 11_531


def test_once_the_feed_is_silent_every_age_grows() -> None:
    store = Store(now_ms=0)
    store.apply(whole(0))
    row = store.rows[statuses.node_id(1)]
    words = [text for fact in view.detail(row, store.age_ms(60_000) or 0) for text, _ in fact.long]
    assert words[words.index("heard ") + 1] == "1m00s"


def test_a_beat_makes_the_data_fresh_and_moves_the_nodes_clock() -> None:
    store = Store(now_ms=0)
    store.apply(whole(0))
    store.apply(beat(9_000, at="2026-11-21T12:00:09.000Z"))
    assert store.age_ms(9_500) == 500
    assert store.status is not None
    assert store.status.at == "2026-11-21T12:00:09.000Z"


def test_what_the_node_does_not_tell_of_is_unknown_and_not_empty() -> None:
    store = Store(now_ms=0)
    store.apply(whole(0))
    assert "alerts" not in store.known
    store.apply(whole(1, alerts={}))
    assert "alerts" in store.known
    assert not store.alerts
    store.apply(Snapshot(source="bzzz-2", status=statuses.status(), received_ms=2))
    assert "alerts" not in store.known


def test_alerts_and_halt_follow_their_deltas() -> None:
    store = Store(now_ms=0)
    store.apply(whole(0, alerts={"a": raw(alert("a")), "b": raw(alert("b"))}))
    halt = HaltDocument(halted=True, by="me")
    message = events.Delta(
        epoch=EPOCH,
        revision=2,
        previous=1,
        at=AT,
        changed={"alerts": {"c": raw(alert("c"))}, "halt": {"self": raw(halt)}},
        gone={"alerts": ("a", "never-there")},
    )
    changes = store.apply(Heard(source="bzzz-1", message=message, received_ms=1))
    assert changes.collections == {"alerts", "halt"}
    assert set(store.alerts) == {"b", "c"}
    assert store.halt == halt


@pytest.mark.parametrize("hostile", [b"{}", b"[1]", b'{"name": 3}', b"null", b"[" * 5_000])
def test_a_document_that_cannot_be_read_is_passed_over_and_counted(hostile: bytes) -> None:
    store = Store(now_ms=0)
    store.apply(whole(0))
    message = events.Delta(
        epoch=EPOCH,
        revision=2,
        previous=1,
        at=AT,
        changed={name: {"x": msgspec.Raw(hostile)} for name in ("members", "alerts", "unheard-of")},
    )
    store.apply(Heard(source="bzzz-1", message=message, received_ms=1))
    assert store.passed_over == 2
    assert len(store.rows) == 3


def test_a_member_under_anothers_id_is_passed_over() -> None:
    store = Store(now_ms=0)
    store.apply(whole(0))
    message = events.Delta(
        epoch=EPOCH,
        revision=2,
        previous=1,
        at=AT,
        changed={"members": {NodeId(statuses.node_id(9)): raw(statuses.member(1, cpu=77))}},
    )
    store.apply(Heard(source="bzzz-1", message=message, received_ms=1))
    assert store.rows[statuses.node_id(1)].member.cpu_percent == 7.4
    assert store.passed_over == 1


def test_a_jump_begins_anew_and_folds_everything_at_once() -> None:
    store = Store(now_ms=0)
    store.apply(whole(50_000, statuses.status(leader=3, term=50)))
    changes = store.apply(
        Jump(
            events=(
                Link(phase=LinkPhase.CONNECTED, host="bzzz-1", since_ms=1_000),
                whole(1_000),
                beat(2_000),
            ),
            anew=True,
            now_ms=2_500,
        )
    )
    assert changes.order
    assert store.status is not None
    assert store.status.term == 42
    assert store.age_ms(2_500) == 500
    assert store.events[0].text.startswith("watching through")


def test_a_snapshot_of_ten_thousand_members_and_a_tick_are_cheap_enough() -> None:
    """Loose bounds, for a busy machine: the figures are measured by the benchmark."""
    members = tuple(statuses.member(number) for number in range(10_000))
    store = Store(now_ms=0)
    first = whole(0, statuses.status(members))
    size = sum(len(bytes(one)) for one in first.message.documents["members"].values())  # type: ignore[union-attr]
    assert size < 8_000_000
    store.apply(first)
    assert len(store.order) == 10_000
    changes = store.apply(
        changed(1_000, *(statuses.member(number, cpu=50) for number in range(0, 10_000, 10)))
    )
    assert len(changes.ids) == 1_000
