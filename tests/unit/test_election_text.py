"""Leadership in words: what an operator reads after a bad night, 80 columns wide."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from bzzz_core.api.leadership_text import render_history, render_leader

NOW = datetime(2026, 11, 21, 9, 20, tzinfo=UTC)
HERE = timezone(timedelta(hours=1))


def story(term: int, leader: str, **more: Any) -> dict[str, Any]:
    return {
        "term": term,
        "leader": leader,
        "began_at": f"2026-11-21T09:1{term}:03.123Z",
        "cause": "the leader fell silent",
        "predecessor": "bzzz-1",
        "took_ms": 312,
        "candidates": [{"name": leader, "score": 50.4}],
        "ballots": [
            {"voter": "bzzz-1", "given": True, "reason": ""},
            {"voter": "bzzz-2", "given": True, "reason": ""},
            {"voter": "bzzz-3", "given": False, "reason": "voted in this term or a later one"},
        ],
        **more,
    }


def history(document: dict[str, Any], *, votes: bool = False, limit: int = 10) -> str:
    text = render_history(document, now=NOW, limit=limit, votes=votes, zone=HERE)
    assert all(len(line) <= 80 for line in text.splitlines())
    return text


def test_a_history_reads_like_a_story() -> None:
    """Names, local time, reasons in words; the newest at the end."""
    ended = {"ended_at": "2026-11-21T09:15:02.2Z", "end": "fell silent"}
    over_midnight = {"ended_at": "2026-11-22T23:30:00Z", "end": ""}
    document = {
        "leaderships": [
            story(1, "bzzz-1", predecessor=None, cause="first election", took_ms=1_312, **ended),
            story(2, "bzzz-2", ballots=[], **over_midnight),
            story(4, "bzzz-2"),
        ]
    }
    assert history(document) == (
        "Term 1   bzzz-1, Nov 21 10:11:03 to 10:15:02 (3 min 59 s)\n"
        "         end      fell silent\n"
        "         why      first election; elected in 1.3 s\n"
        "         stood    bzzz-1 (score 50)\n"
        "         votes    bzzz-1, bzzz-2\n"
        "         refused  bzzz-3: voted in this term or a later one\n"
        "Term 2   bzzz-2, Nov 21 10:12:03 to Nov 23 00:30:00 (1 d 14 h)\n"
        "         end      unknown\n"
        "         why      the leader fell silent (bzzz-1); elected in 312 ms\n"
        "         stood    bzzz-2 (score 50)\n"
        "         votes    nobody\n"
        "Term 4   bzzz-2, since Nov 21 10:14:03 (5 min 56 s)\n"
        "         why      the leader fell silent (bzzz-1); elected in 312 ms\n"
        "         stood    bzzz-2 (score 50)\n"
        "         votes    bzzz-1, bzzz-2\n"
        "         refused  bzzz-3: voted in this term or a later one"
    )
    assert history(document, limit=1).startswith("Term 4")


def test_hearsay_says_only_what_is_known() -> None:
    document = {"leaderships": [story(3, "bzzz-2", cause="", began_at="nonsense")]}
    assert history(document) == "Term 3   bzzz-2"


def test_votes_are_shown_with_their_reasons() -> None:
    decisions = [
        {"at": "2026-11-21T09:11:02Z", "term": 3, "candidate": "bzzz-2", "given": True},
        {"at": "", "term": 4, "candidate": "bzzz-1", "given": False, "reason": "leads itself"},
    ]
    text = history({"node": "bzzz-3", "decisions": decisions}, votes=True)
    assert text == (
        "Nobody has led yet.\n\n"
        "What bzzz-3 answered and asked:\n"
        "  Nov 21 10:11:02  term 3  voted for bzzz-2\n"
        "  an unknown time  term 4  no vote for bzzz-1: leads itself"
    )


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"stale": True, "complete": False}, "may be out of date"),
        ({"complete": False}, "this is what the node has seen"),
    ],
)
def test_doubts_are_said(flags: dict[str, bool], words: str) -> None:
    """A reader must know what this is not."""
    assert words in history(flags)


LEADER = {
    "node": "bzzz-1",
    "role": "follower",
    "leader": "bzzz-3",
    "term": 5,
    "token": 33,
    "serving": True,
    "since_at": "2026-11-21T06:15:03Z",
    "cause": "handed over",
    "voters": ["bzzz-1", "bzzz-2", "bzzz-3"],
    "voters_number": 2,
    "majority": 2,
    "failover": "automatic",
    "without_quorum": "read-only",
}


def leader(**more: Any) -> str:
    return render_leader(LEADER | more, now=NOW, zone=HERE)


def test_the_leader_is_shown_with_the_voters() -> None:
    assert leader() == (
        "Leader    bzzz-3, serves, for 3 h 4 min\n"
        "Term      5, fencing token 33\n"
        "Because   handed over\n"
        "Voters    bzzz-1, bzzz-2, bzzz-3 (set 2; 2 make a majority)\n"
        "This node bzzz-1, follower\n"
        "Failover  automatic; without quorum: read-only"
    )
    assert "does not serve yet\n" in leader(serving=False, since_at=None, cause="")
    assert ", for 10 s" in leader(since_at="2026-11-21T09:19:50Z")


def test_the_want_of_a_leader_says_what_to_do() -> None:
    text = leader(leader=None, waits_for_operator=True, stale=True, failover="manual")
    assert "Leader    none (last term 5)" in text
    assert "run `bzzz-agent leader elect` on a voter" in text
    assert "may be out of date" in text
    assert "leader elect" not in leader(leader=None)


def test_whose_votes_are_ignored_is_shown() -> None:
    notes = [
        {"node": "bzzz-2", "until_released": True, "at": "2026-11-21T09:15:03Z", "reason": "lies"},
        {"node": "bzzz-3", "until_released": False, "at": "2026-11-21T09:15:03Z", "reason": "x"},
    ]
    text = leader(quarantined=notes)
    assert "Ignored   bzzz-2 until released, since Nov 21 10:15:03: lies" in text
    assert "Ignored   bzzz-3 for some minutes, since Nov 21 10:15:03: x" in text
