"""The store: only what looks different changes a version, and old data stays known as old."""

from __future__ import annotations

import msgspec

from bzzz_core.model import FabricState, MemberState
from bzzz_tui import view
from bzzz_tui.monitor import top
from bzzz_tui.store import Link, LinkPhase, Snapshot, Store
from bzzz_tui.wording import UNICODE, Tone
from tests.fakes import statuses


def at(ms: int, status=None, source: str = "bzzz-1") -> Snapshot:  # noqa: ANN001
    return Snapshot(source=source, status=status or statuses.status(), received_ms=ms)


def test_the_same_answer_again_changes_no_row() -> None:
    store = Store(now_ms=0)
    store.apply(at(0))
    versions = {row.id: row.version for row in store.rows.values()}
    changes = store.apply(at(1_000))
    assert not changes.ids
    assert not changes.order
    assert versions == {row.id: row.version for row in store.rows.values()}


def test_a_change_smaller_than_what_is_shown_changes_no_row() -> None:
    store = Store(now_ms=0)
    document = statuses.status()
    store.apply(at(0, document))
    nudged = msgspec.structs.replace(document.members[0], cpu_percent=7.41, heard_ms_ago=900)
    changes = store.apply(
        at(1_000, msgspec.structs.replace(document, members=(nudged, *document.members[1:])))
    )
    assert not changes.ids


def test_only_the_row_that_changed_gets_a_new_version() -> None:
    store = Store(now_ms=0)
    document = statuses.status()
    store.apply(at(0, document))
    changes = store.apply(at(1_000, statuses.with_state(document, 3, MemberState.SUSPECT)))
    assert changes.ids == {statuses.node_id(3)}


def test_a_new_leader_changes_the_rows_of_both() -> None:
    store = Store(now_ms=0)
    store.apply(at(0, statuses.status(leader=2)))
    changes = store.apply(at(1_000, statuses.status(leader=3, term=43)))
    assert changes.ids == {statuses.node_id(2), statuses.node_id(3)}
    assert [event.text for event in store.events][-1] == "bzzz-3 leads in term 43"


def test_rows_are_in_the_natural_order_of_names() -> None:
    store = Store(now_ms=0)
    members = tuple(statuses.member(number) for number in (10, 2, 1))
    store.apply(at(0, statuses.status(members)))
    assert [store.rows[i].member.name for i in store.order] == ["bzzz-1", "bzzz-2", "bzzz-10"]


def test_a_member_that_is_gone_from_the_roster_leaves_the_rows() -> None:
    store = Store(now_ms=0)
    document = statuses.status()
    store.apply(at(0, document))
    changes = store.apply(at(1, msgspec.structs.replace(document, members=document.members[:2])))
    assert changes.order
    assert len(store.rows) == len(store.order) == 2


def test_data_outlives_the_link_and_grows_old() -> None:
    store = Store(now_ms=0)
    assert store.age_ms(5) is None
    store.apply(at(1_000))
    store.apply(Link(phase=LinkPhase.LOST, host=None, since_ms=2_000, reason="nobody is there"))
    assert store.age_ms(61_000) == 60_000
    assert len(store.rows) == 3
    assert view.verdict(store, 61_000)[1] == "stale"


def test_what_was_so_before_anybody_watched_bears_its_own_time_or_none() -> None:
    """Nobody should take the start of the monitor for the time of an election or a failure."""
    store = Store(now_ms=0)
    store.apply(at(0, statuses.with_state(statuses.status(), 3, MemberState.DEAD)))
    assert [(event.at, event.text) for event in store.events] == [
        ("", "bzzz-3 is held to be dead"),
        ("08:48:00", "bzzz-2 leads in term 42"),
    ]
    later = statuses.status(at="2026-11-21T12:00:05.000Z")
    store.apply(at(5_000, later))
    assert (store.events[-1].at, store.events[-1].text) == ("12:00:05", "bzzz-3 is alive")


def test_a_leadership_that_began_on_another_day_says_which() -> None:
    store = Store(now_ms=0)
    store.apply(at(0, statuses.status(at="2026-11-22T12:00:00.000Z")))
    assert store.events[0].at == "11-21"


def test_nobody_leads_since_a_time_that_is_not_known() -> None:
    store = Store(now_ms=0)
    store.apply(at(0, statuses.status(leader=None)))
    assert [(event.at, event.text) for event in store.events] == [("", "no leader (last term 42)")]
    store.apply(at(1_000, statuses.status(leader=None, term=43, at="2026-11-21T12:00:01Z")))
    assert store.events[-1].at == "12:00:01"


def test_a_leadership_that_was_found_after_a_gap_bears_the_time_it_began() -> None:
    store = Store(now_ms=0)
    store.apply(at(0))
    half_past, began = "2026-11-21T12:30:00.000Z", "2026-11-21T12:01:07.000Z"
    after = statuses.status(leader=3, term=43, at=half_past, since_at=began)
    store.apply(at(1_800_000, after))
    assert (store.events[-1].at, store.events[-1].text) == ("12:01:07", "bzzz-3 leads in term 43")


def test_the_quorum_counts_dead_voters_but_not_edges() -> None:
    store = Store(now_ms=0)
    members = (
        statuses.member(1),
        statuses.member(2, MemberState.DEAD),
        statuses.member(3, MemberState.SUSPECT),
        statuses.member(4, voter=False),
    )
    store.apply(at(0, statuses.status(members, leader=1)))
    assert store.voters() == (1, 3)
    assert not store.has_quorum()


def test_a_lost_fabric_is_a_lost_quorum() -> None:
    store = Store(now_ms=0)
    store.apply(at(0, statuses.status(fabric=FabricState.LOST)))
    assert not store.has_quorum()


def test_verdicts_name_the_worst_first() -> None:
    def words(status) -> tuple[Tone, str, str]:  # noqa: ANN001
        store = Store(now_ms=0)
        store.apply(at(0, status))
        return view.verdict(store, 0)

    healthy = statuses.status()
    assert words(healthy) == (Tone.OK, "healthy", "all 3 nodes alive")
    suspect = statuses.with_state(healthy, 2, MemberState.SUSPECT)
    assert words(suspect) == (Tone.WARN, "degraded", "bzzz-2 suspect")
    dead = statuses.with_state(suspect, 3, MemberState.DEAD)
    assert words(dead)[1] == "no quorum"
    assert words(statuses.status(leader=None))[1] == "no leader"
    assert words(statuses.status(serving=False))[1] == "taking over"
    assert view.verdict(Store(now_ms=0), 0)[1] == "unknown"


def test_the_banner_counts_down_to_the_next_attempt() -> None:
    store = Store(now_ms=0)
    store.apply(at(0))
    link = Link(
        phase=LinkPhase.LOST, host="bzzz-2", since_ms=0, retry_at_ms=9_000, reason="refused"
    )
    store.apply(link)
    told = top.banner(store, 4_500, UNICODE)
    assert told is not None
    assert "DISCONNECTED" in told[0]
    assert "data is 4s old" in told[0]
    assert "next attempt in 5s" in told[0]


def test_hostile_names_reach_no_line_of_the_overview() -> None:
    store = Store(now_ms=0)
    evil = msgspec.structs.replace(
        statuses.member(1), name="\x1b[2J", address="\r\n", version="\x9b"
    )
    document = statuses.status((evil, statuses.member(2), statuses.member(3)))
    store.apply(at(0, msgspec.structs.replace(document, leader="\x1b]0;x\x07", at="\x1b" * 20)))
    lines = [fact.long for fact in top.top_facts(store, 0)]
    lines += view.summary(store, 0, 120, UNICODE)
    row = store.rows[statuses.node_id(1)]
    lines += [fact.long for fact in view.detail(row, 0)]
    assert all(text.isprintable() for line in lines for text, _ in line)
    assert all(event.text.isprintable() and event.at.isprintable() for event in store.events)
