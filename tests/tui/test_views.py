"""The views as an operator meets them: what they ask, what they show of the answers, the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot

from bzzz_core.errors import PermissionDenied, RequestTimeout
from bzzz_core.model import MemberState
from bzzz_tui.monitor.asked import Asked
from bzzz_tui.monitor.views import VIEWS
from bzzz_tui.widgets.bars import HintBar
from bzzz_tui.widgets.prompt import PromptInput
from bzzz_tui.widgets.toned import Lines
from bzzz_tui.widgets.top_line import Banner
from screens.app import BzzzApp
from screens.dialogs import Reading
from screens.monitor.asking import AskingView
from screens.monitor.peers import PeersView
from tests.fakes import asked_cluster, statuses
from tests.fakes.asked_cluster import AskedCluster
from tests.tui.conftest import FrozenClock, HandFeed, connected, snapshot
from tests.tui.test_every_action import by_command
from tests.tui.test_overview import shown_lines
from tests.tui.test_shell import drive, note, until

Make = Callable[..., BzzzApp]
ASKING = ("peers", "election", "audit", "node")


def text(app: BzzzApp) -> str:
    return "\n".join(shown_lines(app))


def cluster_of(feed: HandFeed) -> AskedCluster:
    feed.cluster = feed.cluster or AskedCluster()
    return feed.cluster


async def answered(pilot: Pilot[int]) -> None:
    view = pilot.app.screen
    assert isinstance(view, AskingView)
    await until(pilot, lambda: view.asked.at_ms is not None)
    await pilot.pause()


# ---- the way


@pytest.mark.parametrize("view", [view.name for view in VIEWS if view.place and not view.drilled])
def test_how_to_learn_the_keys_and_how_to_leave_is_seen_in_80_columns(
    view_app: Make, view: str
) -> None:
    app = view_app(view)

    async def body(pilot: Pilot[int]) -> None:
        await pilot.pause()
        hints = shown_lines(app)[-1]
        assert "? keys" in hints
        assert "q quit" in hints

    drive(app, body, size=(80, 24))


def test_enter_opens_a_node_and_escape_goes_back_to_where_it_was_opened(view_app: Make) -> None:
    app = view_app("overview")

    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("3")
        await pilot.pause()
        await pilot.press("j", "enter")
        await pilot.pause()
        assert "overview → peers → bzzz-2" in shown_lines(app)[1]
        await pilot.press("n")
        await pilot.pause()
        assert "overview → peers → bzzz-3" in shown_lines(app)[1]
        await pilot.press("n", "N", "N", "N")
        await pilot.pause()
        assert "→ bzzz-1" in shown_lines(app)[1] or "→ bzzz-3" in shown_lines(app)[1]
        await pilot.press("escape")
        await pilot.pause()
        assert "overview → peers " in shown_lines(app)[1]
        await pilot.press("escape")
        await pilot.pause()
        assert app.shell is not None
        assert app.shell.way() == ["overview"]

    drive(app, body)


def test_a_node_is_named_on_the_command_line_which_knows_the_names(view_app: Make) -> None:
    app = view_app("overview")

    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("colon")
        field = app.screen.query_one(PromptInput)
        field.value = "node bzzz-"
        await pilot.press("tab", "tab")
        assert field.value == "node bzzz-2"
        await pilot.press("enter")
        await pilot.pause()
        assert "overview → bzzz-2" in shown_lines(app)[1]
        await by_command(pilot, "node nobody")
        assert "nobody is not among the nodes" in text(app)
        for key in ("u", "s", "F", "n", "j", "G"):
            await pilot.press(key)
            await pilot.pause()
            assert app.is_running, key

    drive(app, body)


@pytest.mark.parametrize("view", ["alerts", "checks", "election", "audit"])
def test_enter_shows_everything_of_a_row(view_app: Make, view: str) -> None:
    app = view_app(view)

    async def body(pilot: Pilot[int]) -> None:
        if view in ASKING:
            await answered(pilot)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, Reading)
        await pilot.press("escape")
        await pilot.pause()
        assert view == app.screen.VIEW  # type: ignore[attr-defined]

    drive(app, body, size=(80, 24))


# ---- asking


@pytest.mark.parametrize("view", ASKING)
def test_a_view_asks_when_it_comes_again_by_key_and_not_while_it_is_hidden(
    view_app: Make, feed: HandFeed, view: str
) -> None:
    app = view_app("overview")

    async def body(pilot: Pilot[int]) -> None:
        asked = cluster_of(feed).asked
        assert not asked, "the overview asks nothing of its own"
        await by_command(pilot, view)
        await answered(pilot)
        first = len(asked)
        assert first
        await pilot.press("r")
        await until(pilot, lambda: len(asked) >= 2 * first)
        hidden = app.screen
        assert isinstance(hidden, AskingView)
        await pilot.press("1")
        await pilot.pause()
        count = len(asked)
        assert hidden._asking is None, "nothing is left that could ask"
        await pilot.pause(0.05)
        assert len(asked) == count
        await by_command(pilot, view)
        await answered(pilot)
        await until(pilot, lambda: len(asked) > count)

    drive(app, body)


@pytest.mark.parametrize("view", ASKING)
def test_a_view_that_is_held_still_neither_asks_nor_paints(
    view_app: Make, feed: HandFeed, view: str
) -> None:
    app = view_app(view)

    async def body(pilot: Pilot[int]) -> None:
        await answered(pilot)
        await pilot.press("z")
        count, body_of = len(cluster_of(feed).asked), shown_lines(app)[2:-2]
        dead = statuses.with_state(statuses.status(), 3, MemberState.DEAD)
        feed.emit(asked_cluster.told(1_000_000, status=dead))
        await pilot.press("r")
        await pilot.pause(0.05)
        assert len(cluster_of(feed).asked) == count
        assert shown_lines(app)[2:-2] == body_of
        await pilot.press("z")
        await pilot.pause()
        if view == "peers":
            assert "dead" in text(app)

    drive(app, body)


@pytest.mark.parametrize("view", ["election", "audit"])
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (PermissionDenied("a viewer may not ask for this"), "a viewer may not ask for this"),
        ({"nonsense": 1}, "not the document it was asked for"),
    ],
)
def test_what_is_refused_or_malformed_is_said_and_what_was_known_stays(
    view_app: Make, feed: HandFeed, view: str, answer: Any, words: str
) -> None:
    app = view_app(view)

    async def body(pilot: Pilot[int]) -> None:
        await answered(pilot)
        known = "bzzz-3" if view == "election" else "node.leave"
        path = "/v1/leader" if view == "election" else "/v1/audit"
        assert known in text(app)
        cluster_of(feed).answers[path] = answer
        await pilot.press("r")
        await until(pilot, lambda: words[:20] in text(app))
        assert known in text(app)
        cluster_of(feed).answers |= AskedCluster().answers
        await pilot.press("r")
        await until(pilot, lambda: words[:20] not in text(app))

    drive(app, body, size=(120, 40))


@pytest.mark.parametrize("view", ASKING)
def test_while_an_answer_is_slow_the_view_works_and_can_be_left(
    view_app: Make, feed: HandFeed, view: str
) -> None:
    cluster_of(feed).hold = asyncio.Event()
    app = view_app("overview")

    async def body(pilot: Pilot[int]) -> None:
        await by_command(pilot, view)
        await until(pilot, lambda: bool(cluster_of(feed).asked))
        assert "asking" in text(app)
        await pilot.press("j", "d", "escape", "question_mark", "escape")
        await pilot.pause()
        await by_command(pilot, "overview")
        assert app.screen.VIEW == "overview"  # type: ignore[attr-defined]
        cluster_of(feed).hold.set()  # type: ignore[union-attr]
        await pilot.pause(0.05)
        assert app.is_running

    drive(app, body)


@pytest.mark.parametrize(
    ("view", "plural", "count"), [("election", "leaderships", 2), ("audit", "entries", 3)]
)
def test_rows_are_counted_once_it_is_known_how_many_there_are(
    view_app: Make, feed: HandFeed, view: str, plural: str, count: int
) -> None:
    cluster_of(feed).hold = asyncio.Event()
    app = view_app(view)

    async def body(pilot: Pilot[int]) -> None:
        assert f"{plural} not known" in shown_lines(app)[1]
        assert "0" not in shown_lines(app)[1]
        cluster_of(feed).hold.set()  # type: ignore[union-attr]
        await answered(pilot)
        assert f"{count} {plural}" in shown_lines(app)[1]

    drive(app, body)


def test_a_question_that_was_never_answered_leaves_the_number_unknown(
    view_app: Make, feed: HandFeed
) -> None:
    cluster_of(feed).answers["/v1/leader"] = PermissionDenied("a viewer may not ask")
    app = view_app("election")

    async def body(pilot: Pilot[int]) -> None:
        await until(pilot, lambda: "a viewer may not ask" in shown_lines(app)[1])
        assert "leaderships not known" in shown_lines(app)[1]

    drive(app, body)


def test_nodes_are_there_before_any_voter_has_answered(view_app: Make, feed: HandFeed) -> None:
    cluster_of(feed).hold = asyncio.Event()
    app = view_app("peers")

    async def body(pilot: Pilot[int]) -> None:
        del pilot
        assert "bzzz-3" in text(app)
        assert "n/a" in text(app)

    drive(app, body)


def test_voters_that_disagree_or_are_silent_are_seen(view_app: Make, feed: HandFeed) -> None:
    cluster_of(feed).members = {
        "bzzz-1": asked_cluster.seen(),
        "bzzz-2": asked_cluster.seen(bzzz_3=MemberState.DEAD),
        "bzzz-3": None,
    }
    app = view_app("peers")

    async def body(pilot: Pilot[int]) -> None:
        await answered(pilot)
        line = next(line for line in shown_lines(app) if line.startswith(" bzzz-3 "))
        assert "1 of 2 !" in line
        assert "cannot ask bzzz-3" in shown_lines(app)[1]
        five = statuses.status(tuple(statuses.member(n) for n in range(1, 6)))
        feed.emit(asked_cluster.told(1_000_000, status=five))
        await pilot.pause()
        assert "bzzz-5" in text(app), "a new node is there at once, though nobody was asked of it"

    drive(app, body)


def test_the_health_of_a_node_is_its_own_and_why_it_is_not_known_is_said(
    view_app: Make, feed: HandFeed
) -> None:
    app = view_app("node", query="bzzz-2")

    async def body(pilot: Pilot[int]) -> None:
        await answered(pilot)
        assert cluster_of(feed).asked[-1] == ("GET", "/health/checks", "bzzz-2")
        assert "1 % of /var/lib/bzzz is left" in text(app)
        cluster_of(feed).answers["/health/checks"] = RequestTimeout("bzzz-3: no answer")
        await pilot.press("n")
        await pilot.pause()
        await until(pilot, lambda: "not known: bzzz-3: no answer" in text(app))
        cluster_of(feed).answers["/health/checks"] = {"checks": [{"name": 1}]}
        await pilot.press("r")
        await until(pilot, lambda: "not what was asked for" in text(app))

    drive(app, body, size=(120, 50))


# ---- verifying


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (asked_cluster.verdict(), "whole: 3 entries up to 3, confirmed by 2 voters"),
        (asked_cluster.verdict(ok=False, report=asked_cluster.faulty()), "NOT WHOLE: edit"),
        (asked_cluster.verdict(ok=False, report=None, why="no files"), "could not be verified"),
        (PermissionDenied("a viewer may not"), "a viewer may not"),
        ({"ok": "perhaps"}, "not the document"),
    ],
)
def test_verifying_says_what_came_of_it(
    view_app: Make, feed: HandFeed, answer: Any, words: str
) -> None:
    cluster_of(feed).answers["/v1/audit/verify"] = answer
    app = view_app("audit")

    async def body(pilot: Pilot[int]) -> None:
        await answered(pilot)
        await pilot.press("v")
        await until(pilot, lambda: words in note(app))
        said = "whole" in words.lower()
        assert (words in shown_lines(app)[2]) == (said or "could not" in words)

    drive(app, body)


def test_a_verdict_that_comes_late_is_told_in_the_view_that_is_open(
    view_app: Make, feed: HandFeed
) -> None:
    app = view_app("overview")

    async def body(pilot: Pilot[int]) -> None:
        await by_command(pilot, "audit")
        await answered(pilot)
        cluster_of(feed).hold = asyncio.Event()
        await pilot.press("v")
        await until(pilot, lambda: "/v1/audit/verify" in cluster_of(feed).paths())
        await pilot.press("1")
        await pilot.pause()
        cluster_of(feed).hold.set()  # type: ignore[union-attr]
        await until(pilot, lambda: "audit: whole" in note(app))
        assert app.screen.VIEW == "overview"  # type: ignore[attr-defined]

    drive(app, body)


def test_a_verdict_that_comes_after_the_cluster_was_left_is_told_nobody(
    view_app: Make, feed: HandFeed
) -> None:
    app = view_app("audit")

    async def body(pilot: Pilot[int]) -> None:
        await answered(pilot)
        shell, cluster = app.shell, cluster_of(feed)
        assert shell is not None
        cluster.hold = asyncio.Event()
        await pilot.press("v")
        await until(pilot, lambda: "/v1/audit/verify" in cluster.paths())
        shell.close()
        cluster.hold.set()
        await pilot.pause()
        shell.say("whoever is late")

    drive(app, body)


def test_what_is_said_while_a_view_opens_stands_there_then(view_app: Make) -> None:
    app = view_app("overview")

    async def body(pilot: Pilot[int]) -> None:
        assert app.shell is not None
        app.shell.show("nodes")
        app.shell.say("an answer of the view before")
        await pilot.pause()
        await until(pilot, lambda: "an answer of the view before" in note(app))

    drive(app, body)


# ---- alerts, checks, halt


def test_the_advice_goes_with_the_cursor(view_app: Make) -> None:
    app = view_app("alerts")

    async def body(pilot: Pilot[int]) -> None:
        assert "what does not fit is refused at once" in " ".join(text(app).split())
        assert "next: look at bzzz-3" in text(app)
        await pilot.press("j")
        await pilot.pause()
        assert "next: look at bzzz-2" in text(app)

    drive(app, body, size=(80, 24))


def test_alerts_come_and_go_while_one_looks(
    view_app: Make, feed: HandFeed, clock: FrozenClock
) -> None:
    app = view_app("alerts", asked_cluster.told(clock.ms, alerts=()), connected(clock))

    async def body(pilot: Pilot[int]) -> None:
        assert "nothing is wrong" in text(app)
        feed.emit(asked_cluster.told(clock.ms))
        await pilot.pause()
        assert "disk_full" in text(app)
        feed.emit(asked_cluster.told(clock.ms, alerts=()))
        await pilot.pause()
        assert "nothing is wrong" in text(app)
        assert "next:" not in text(app)

    drive(app, body)


@pytest.mark.parametrize("view", ["alerts", "checks"])
def test_an_agent_that_tells_of_none_is_not_held_to_be_well(
    view_app: Make, clock: FrozenClock, view: str
) -> None:
    app = view_app(view, snapshot(statuses.status(), clock), connected(clock))

    async def body(pilot: Pilot[int]) -> None:
        del pilot
        assert "does not tell of" in text(app)
        assert "not known" in text(app)
        assert "nothing is wrong" not in text(app)

    drive(app, body)


def test_the_overview_counts_alerts_and_shows_the_newest_where_there_is_room(
    view_app: Make, feed: HandFeed, clock: FrozenClock
) -> None:
    app = view_app("overview")

    async def body(pilot: Pilot[int]) -> None:
        assert "✖ 1 critical  ▲ 1 warning  · 1 info  0 shows them" in shown_lines(app)[1]
        assert not app.screen.query_one("#alerts", Lines).lines
        await pilot.resize_terminal(120, 40)
        await pilot.pause()
        shown = app.screen.query_one("#alerts", Lines).lines
        assert [line[2][0].strip() for line in shown] == ["bzzz-2", "bzzz-3", "bzzz-1"]
        assert "newest alerts, 0 shows all" in text(app)
        feed.emit(asked_cluster.told(clock.ms, alerts=()))
        await pilot.pause()
        assert "newest alerts" not in text(app)
        assert "no alerts" in shown_lines(app)[1]
        await pilot.press("0")
        await pilot.pause()
        assert app.screen.VIEW == "alerts"  # type: ignore[attr-defined]

    drive(app, body, size=(80, 24))


@pytest.mark.parametrize("view", ["overview", "alerts", "audit"])
def test_a_stop_of_all_work_is_seen_in_every_view(
    view_app: Make, feed: HandFeed, clock: FrozenClock, view: str
) -> None:
    app = view_app(view, asked_cluster.told(clock.ms, halt=asked_cluster.HALT), connected(clock))

    async def body(pilot: Pilot[int]) -> None:
        assert app.screen.query_one(Banner).display
        assert "HALTED by mira at 12:00:00: a worker ran wild" in shown_lines(app)[1]
        feed.emit(asked_cluster.told(clock.ms))
        await pilot.pause()
        assert not app.screen.query_one(Banner).display

    drive(app, body, size=(80, 24))


def test_an_odd_version_is_seen_in_peers(view_app: Make, clock: FrozenClock) -> None:
    old = msgspec.structs.replace(statuses.member(2), version="0.0.9")
    status = statuses.status((statuses.member(1), old, statuses.member(3)))
    app = view_app("peers", asked_cluster.told(clock.ms, status=status), connected(clock))

    async def body(pilot: Pilot[int]) -> None:
        del pilot
        view = app.screen
        row = view.SPEC.rows(view.session.store)[statuses.node_id(2)]  # type: ignore[attr-defined]
        assert row.odd_version
        assert "0.0.9" in text(app)

    drive(app, body)


def test_an_answer_that_comes_while_its_view_is_taken_away_paints_nothing(
    view_app: Make, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    going, asked, answered = asyncio.Event(), [], []

    async def ask(view: PeersView) -> Asked:
        asked.append(view)
        await going.wait()
        answered.append(view)
        return view.asked

    monkeypatch.setattr(PeersView, "ask", ask)
    monkeypatch.setattr(HintBar, "on_unmount", lambda _: going.set(), raising=False)
    app = view_app("peers", asked_cluster.told(clock.ms), connected(clock))

    async def body(pilot: Pilot[int]) -> None:
        await until(pilot, lambda: bool(asked))

    drive(app, body)
    assert answered, "the answer came while the lines around the view went one by one"
