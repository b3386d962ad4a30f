"""Pictures of every screen from frozen state; a change shows up as a picture to look at.

Run `pytest tests/tui/test_snapshots.py --snapshot-update` after looking, and commit the pictures.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import pytest
from textual.pilot import Pilot

from bzzz_core.api.documents import Status
from bzzz_core.clock import SystemClock
from bzzz_core.model import Gpu, MemberState
from bzzz_tui.fields import entries_text
from bzzz_tui.recording.format import load
from bzzz_tui.store import Link, LinkPhase
from bzzz_tui.widgets.host_matrix import HostMatrix
from bzzz_tui.widgets.step_rail import StepRail
from screens.app import BzzzApp
from screens.monitor.asking import AskingView
from screens.setup.deploy_engine import DeployEngine
from screens.setup.draft import HostDraft
from screens.setup.engine import LookState
from screens.setup.entry import EntryForm
from screens.setup.run_view import Stage
from screens.setup.session import Session
from screens.setup.wizard import Wizard
from screens.start import StartScreen
from tests.fakes import asked_cluster, statuses
from tests.fakes.asked_cluster import AskedCluster
from tests.fakes.engine import FakeEngine
from tests.tui.conftest import FrozenClock, HandFeed, app_with, connected, snapshot
from tests.tui.rest import at_rest
from tests.tui.test_every_action import by_command
from tests.tui.test_overview import fed
from tests.tui.test_replaying import FAILOVER
from tests.tui.test_shell import note, until
from tests.tui.test_wizard import checked, settle, to_step

SIZES = [(80, 24), (120, 40)]
Compare = Callable[..., bool]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("theme", ["bzzz-dark", "bzzz-ansi"])
def test_overview(
    snap_compare: Compare,
    overview_app,  # noqa: ANN001
    clock: FrozenClock,
    size: tuple[int, int],
    theme: str,
) -> None:
    """A healthy cluster of three."""
    app = overview_app(snapshot(statuses.status(), clock), connected(clock), theme=theme)
    assert snap_compare(app, terminal_size=size, run_before=fed)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_overview_after_the_leader_died(
    snap_compare: Compare,
    overview_app,  # noqa: ANN001
    clock: FrozenClock,
    size: tuple[int, int],
) -> None:
    """The old leader is dead, a new one leads in a higher term."""
    new = statuses.status(leader=3, term=43, since_at="2026-11-21T11:59:59.000Z")
    after = statuses.with_state(new, 2, MemberState.DEAD)
    app = overview_app(snapshot(statuses.status(), clock), snapshot(after, clock), connected(clock))
    assert snap_compare(app, terminal_size=size, run_before=fed)


def test_overview_disconnected(snap_compare: Compare, overview_app, clock: FrozenClock) -> None:  # noqa: ANN001
    """Nobody answers; the last data is kept and dimmed."""
    seen = snapshot(statuses.status(), clock)
    clock.ms += 12_000
    lost = Link(
        phase=LinkPhase.LOST,
        host="bzzz-1",
        since_ms=clock.ms,
        retry_at_ms=clock.ms + 4_000,
        reason="bzzz-3: no answer within 1000 ms",
    )
    assert snap_compare(overview_app(seen, lost), terminal_size=(80, 24), run_before=fed)


def twelve() -> Status:
    """Return a cluster of twelve with something to see in each column."""
    members = [
        msgspec.structs.replace(
            statuses.member(n, voter=n < 6, cpu=(n * 37) % 100),
            rtt_ms=0.4 + n / 10,
            models=("llama3:8b", "qwen2.5-coder:32b")[: n % 3],
            node_roles=("worker",) if n > 3 else ("coordinator", "worker"),
            languages=("python", "go"),
            gpus=(Gpu("RTX 4090"),) * (n % 3),
        )
        for n in range(1, 13)
    ]
    document = statuses.status(tuple(members), leader=3)
    document = statuses.with_state(document, 7, MemberState.DEAD)
    return statuses.with_state(document, 11, MemberState.SUSPECT)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("theme", ["bzzz-dark", "bzzz-ansi"])
def test_nodes(
    snap_compare: Compare,
    nodes_app,  # noqa: ANN001
    clock: FrozenClock,
    size: tuple[int, int],
    theme: str,
) -> None:
    """Nodes by CPU, two of them marked, one dead and one suspect."""
    app = nodes_app(snapshot(twelve(), clock), connected(clock), theme=theme)

    async def before(pilot: Pilot[int]) -> None:
        await fed(pilot)
        await by_command(pilot, "sort cpu")
        await pilot.press("space", "space", "j")
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("theme", ["bzzz-dark", "bzzz-ansi"])
def test_command_line(
    snap_compare: Compare,
    nodes_app,  # noqa: ANN001
    clock: FrozenClock,
    size: tuple[int, int],
    theme: str,
) -> None:
    """A command half written over a filtered table, with what may be meant."""
    app = nodes_app(
        snapshot(twelve(), clock), connected(clock), query="cpu>30 | state=down", theme=theme
    )

    async def before(pilot: Pilot[int]) -> None:
        await fed(pilot)
        await pilot.press(*":s")
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=before)


VIEWS = ("alerts", "checks", "peers", "node", "election", "audit")


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("theme", ["bzzz-dark", "bzzz-ansi"])
@pytest.mark.parametrize("view", VIEWS)
def test_view(  # noqa: PLR0917  parameters
    snap_compare: Compare,
    view_app,  # noqa: ANN001
    feed: HandFeed,
    view: str,
    theme: str,
    size: tuple[int, int],
) -> None:
    """Each view with something to see: alerts, voters that disagree, a chain that is not whole."""
    feed.cluster = AskedCluster()
    feed.cluster.members = {
        "bzzz-1": asked_cluster.seen(),
        "bzzz-2": asked_cluster.seen(bzzz_3=MemberState.DEAD),
    }
    answer = asked_cluster.verdict(ok=False, report=asked_cluster.faulty())
    feed.cluster.answers["/v1/audit/verify"] = answer
    app = view_app(view, query="bzzz-3" if view == "node" else "", theme=theme)

    async def before(pilot: Pilot[int]) -> None:
        await fed(pilot)
        screen = pilot.app.screen
        if isinstance(screen, AskingView):
            await until(pilot, lambda: screen.asked.at_ms is not None)
        if view == "audit":
            await pilot.press("v")
            await until(pilot, lambda: "NOT WHOLE" in note(app))
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_overview_of_a_stopped_cluster_with_alerts(
    snap_compare: Compare,
    view_app,  # noqa: ANN001
    clock: FrozenClock,
    size: tuple[int, int],
) -> None:
    """Work is stopped everywhere, and three alerts hold."""
    told = asked_cluster.told(clock.ms, halt=asked_cluster.HALT)
    app = view_app("overview", told, connected(clock))
    assert snap_compare(app, terminal_size=size, run_before=fed)


def test_replay(snap_compare: Compare, clock: FrozenClock) -> None:
    """A recorded failover, held still after the new leader was elected."""
    recording = load(FAILOVER)
    app = app_with(lambda app: app.replay(recording), clock)

    async def before(pilot: Pilot[int]) -> None:
        await fed(pilot)
        await by_command(pilot, "seek 20s")
        await pilot.press("z")
        await pilot.pause()

    assert snap_compare(app, terminal_size=(80, 24), run_before=before)


async def _palette(pilot: Pilot[int]) -> None:
    await pilot.press("ctrl+p")
    await pilot.pause()
    await pilot.press(*"so")


async def _wrong_filter(pilot: Pilot[int]) -> None:
    await pilot.press("slash", *"cpx>1")


async def _production(pilot: Pilot[int]) -> None:
    await pilot.press("X")
    await pilot.pause()
    await pilot.press(*"hon", "enter")


async def _small(pilot: Pilot[int]) -> None:
    await pilot.resize_terminal(50, 12)


BOXES: dict[str, Callable[[Pilot[int]], Awaitable[None]]] = {
    "describe": lambda pilot: pilot.press("d"),
    "json": lambda pilot: pilot.press("y"),
    "keys": lambda pilot: pilot.press("question_mark"),
    "palette": _palette,
    "wrong-filter": _wrong_filter,
    "production": _production,
    "small": _small,
}


@pytest.mark.parametrize("box", BOXES)
def test_over_the_nodes(
    snap_compare: Compare,
    nodes_app,  # noqa: ANN001
    clock: FrozenClock,
    feed: HandFeed,
    box: str,
) -> None:
    """Boxes and lines over the nodes view of a production cluster where changes are allowed."""
    feed.profile = {"context": "honeycomb", "color": "red", "production": True, "write": True}
    app = nodes_app(snapshot(twelve(), clock), connected(clock))

    async def before(pilot: Pilot[int]) -> None:
        await fed(pilot)
        await BOXES[box](pilot)
        await pilot.pause()
        await pilot.pause()

    assert snap_compare(app, terminal_size=(80, 24), run_before=before)


def test_start(snap_compare: Compare, clock: FrozenClock) -> None:
    """The start screen."""
    app = app_with(lambda a: StartScreen(a.glyphs), clock)
    assert snap_compare(app, terminal_size=(80, 24))


def _seen(wizard: Wizard, *states: LookState) -> Callable[[], bool]:
    """Return what tells whether the hosts were looked at, and this came of it."""
    context = wizard.context
    return lambda: tuple(context.look(host).state for host in context.draft.hosts) == states


async def _one(pilot: Pilot[int], wizard: Wizard) -> None:
    wizard.step.action_probe()  # type: ignore[attr-defined]
    await settle(pilot, _seen(wizard, *[LookState.KEY_UNKNOWN] * 3))


async def _known(pilot: Pilot[int], wizard: Wizard) -> None:
    """Return to the first step after every key was trusted: now it says what the hosts are."""
    await to_step(pilot, wizard, 3)
    await settle(pilot, _seen(wizard, *[LookState.KEY_UNKNOWN] * 3))
    await pilot.press("T")
    await settle(pilot, _seen(wizard, *[LookState.READY] * 3))
    wizard.query_one(StepRail).focus()
    await pilot.press("1")
    await settle(pilot, lambda: wizard.here == 1)


async def _trusted(pilot: Pilot[int], wizard: Wizard) -> None:
    await to_step(pilot, wizard, 3)
    await settle(pilot, _seen(wizard, *[LookState.KEY_UNKNOWN] * 3))
    await pilot.press("t")
    await settle(pilot, _seen(wizard, LookState.READY, *[LookState.KEY_UNKNOWN] * 2))


async def _ai(pilot: Pilot[int], wizard: Wizard) -> None:
    await to_step(pilot, wizard, 4)
    await pilot.press("right", "ctrl+n")


async def _models(pilot: Pilot[int], wizard: Wizard) -> None:
    """Models and where they would lie, on hosts that were seen; one fits nowhere."""
    await _known(pilot, wizard)
    await to_step(pilot, wizard, 4)
    models = [
        {"name": "qwen3-coder:30b", "copies": 2, "size_bytes": 18_600_000_000},
        {"name": "llama3:8b", "hosts": ["bzzz-2"]},
        {"name": "llama3.1:405b"},
    ]
    wizard.context.draft.set("ai.servers.models", entries_text(models))
    wizard.step.rows["ai.servers.models"].editor.value = entries_text(models)
    wizard.step.query_one("#ai-pages").focus()
    await pilot.press("right", "right", "right")
    wizard.step.refreshed()
    await at_rest(pilot)
    wizard.step.scroll_end(animate=False)


async def _costs(pilot: Pilot[int], wizard: Wizard) -> None:
    await to_step(pilot, wizard, 4)
    wizard.step.query_one("#ai-pages").focus()
    await pilot.press("left")


async def _entry(pilot: Pilot[int], wizard: Wizard) -> None:
    """The form of one model, with something wrong in it."""
    await to_step(pilot, wizard, 4)
    wizard.step.query_one("#ai-pages").focus()
    await pilot.press("right", "right", "right")
    wizard.step.rows["ai.servers.models"].editor.focus()
    await pilot.press("enter")
    await settle(pilot, lambda: isinstance(pilot.app.screen, EntryForm))
    await pilot.press("minus", "ctrl+n")


def _at(number: int) -> Callable[[Pilot[int], Wizard], Awaitable[None]]:
    async def go(pilot: Pilot[int], wizard: Wizard) -> None:
        await to_step(pilot, wizard, number)

    return go


async def _plan(pilot: Pilot[int], wizard: Wizard) -> None:
    await to_step(pilot, wizard, 6)
    await pilot.press("p")
    await settle(pilot, lambda: wizard.context.run.stage is Stage.ASKING)


async def _working(pilot: Pilot[int], wizard: Wizard) -> None:
    engine = wizard.context.engine
    assert isinstance(engine, FakeEngine)
    engine.hold.clear()
    engine.failing = "bzzz-3"
    await _plan(pilot, wizard)
    await pilot.press("a")
    await settle(pilot, lambda: "write_config" in str(wizard.context.run.log("bzzz-1")))


async def _all_phases(pilot: Pilot[int], wizard: Wizard) -> None:
    engine = wizard.context.engine
    assert isinstance(engine, FakeEngine)
    engine.phases = DeployEngine(SystemClock()).phases
    await _working(pilot, wizard)
    wizard.step.query_one(HostMatrix).focus()
    await pilot.press("left", "left")
    await pilot.pause()


async def _done(pilot: Pilot[int], wizard: Wizard) -> None:
    await _plan(pilot, wizard)
    await pilot.press("a")
    await settle(pilot, lambda: wizard.context.run.succeeded)


async def _formed(pilot: Pilot[int], wizard: Wizard) -> None:
    await _done(pilot, wizard)
    await to_step(pilot, wizard, 7)


async def _checked(pilot: Pilot[int], wizard: Wizard) -> None:
    await _done(pilot, wizard)
    await to_step(pilot, wizard, 8)
    await settle(pilot, lambda: checked(wizard))


async def _network(pilot: Pilot[int], wizard: Wizard) -> None:
    await _trusted(pilot, wizard)
    await wizard._go_to(2)
    await pilot.pause()


async def _waiting(pilot: Pilot[int], wizard: Wizard) -> None:
    engine = wizard.context.engine
    assert isinstance(engine, FakeEngine)
    engine.failing, engine.waits = "bzzz-3", True
    await _plan(pilot, wizard)
    await pilot.press("a")
    await settle(pilot, lambda: "upload_release done" in str(wizard.context.run.log("bzzz-2")))
    await settle(pilot, lambda: wizard.context.run.failing_now() == ["bzzz-3"])


async def _difference(pilot: Pilot[int], wizard: Wizard) -> None:
    await _plan(pilot, wizard)
    await pilot.press("d")
    await pilot.pause()


SCENES = {
    "2-network-known": _network,
    "6-plan-difference": _difference,
    "6-waiting": _waiting,
    "1-detect": _one,
    "1-detect-known": _known,
    "2-network": _at(2),
    "3-security": _trusted,
    "4-ai-refused": _ai,
    "4-ai-models": _models,
    "4-ai-entry": _entry,
    "4-ai-costs": _costs,
    "5-resources": _at(5),
    "6-plan": _plan,
    "6-working": _working,
    "6-working-phases": _all_phases,
    "7-cluster": _formed,
    "8-validate": _checked,
}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("scene", SCENES)
def test_wizard(  # noqa: PLR0917  fixtures
    snap_compare: Compare,
    wizard_app,  # noqa: ANN001
    engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    scene: str,
    size: tuple[int, int],
) -> None:
    """Each step of the wizard with something to see."""
    # The only path on the screen: the report's. A test's own directory has another name each time.
    monkeypatch.setattr("screens.setup.checks.write_report", lambda _text, _path: None)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/home/operator/.config")
    engine.nodes = {f"bzzz-{n}": statuses.status(term=1) for n in (1, 2, 3)}
    app: BzzzApp = wizard_app()

    async def before(pilot: Pilot[int]) -> None:
        await pilot.pause()
        wizard = next(screen for screen in app.screen_stack if isinstance(screen, Wizard))
        await SCENES[scene](pilot, wizard)
        await at_rest(pilot)

    assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("theme", ["bzzz-dark", "bzzz-ansi"])
def test_ways_to_begin_setup(
    snap_compare: Compare,
    wizard_app,  # noqa: ANN001
    theme: str,
    size: tuple[int, int],
) -> None:
    """Resume, express, all questions, or a file."""
    hosts = (HostDraft("bzzz-1", "10.20.0.11"), HostDraft("bzzz-2", "10.20.0.12"))
    kept = Session(step=3, reached=4, texts={}, hosts=hosts)
    assert snap_compare(wizard_app(kept=kept, theme=theme), terminal_size=size)
