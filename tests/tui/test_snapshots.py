"""Pictures of every screen from frozen state; a change shows up as a picture to look at.

Run `pytest tests/tui/test_snapshots.py --snapshot-update` after looking, and commit the pictures.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from textual.pilot import Pilot

from bzzz_core.model import MemberState
from bzzz_tui.store import Link, LinkPhase
from screens.app import BzzzApp
from screens.setup.run_view import Stage
from screens.setup.wizard import Wizard
from screens.start import StartScreen
from tests.fakes import statuses
from tests.fakes.engine import FakeEngine
from tests.tui.conftest import FrozenClock, app_with, connected, snapshot
from tests.tui.test_overview import fed
from tests.tui.test_wizard import settle, to_step

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
    after = statuses.with_state(statuses.status(leader=3, term=43), 2, MemberState.DEAD)
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


def test_start(snap_compare: Compare, clock: FrozenClock) -> None:
    """The start screen."""
    app = app_with(lambda a: StartScreen(a.glyphs), clock)
    assert snap_compare(app, terminal_size=(80, 24))


async def _one(pilot: Pilot[int], wizard: Wizard) -> None:
    wizard.step.action_probe()  # type: ignore[attr-defined]
    await settle(pilot, lambda: len(wizard.context.looks) == 3)


async def _trusted(pilot: Pilot[int], wizard: Wizard) -> None:
    await to_step(pilot, wizard, 3)
    await settle(pilot, lambda: len(wizard.context.looks) == 3)
    await pilot.press("t")
    await settle(pilot, lambda: bool(wizard.context.draft.hosts[0].host_key_sha256))


async def _ai(pilot: Pilot[int], wizard: Wizard) -> None:
    await to_step(pilot, wizard, 4)
    await pilot.press("right", "ctrl+n")


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
    await settle(pilot, lambda: wizard.context.checked is not None)


SCENES = {
    "1-detect": _one,
    "2-network": _at(2),
    "3-security": _trusted,
    "4-ai-refused": _ai,
    "5-resources": _at(5),
    "6-plan": _plan,
    "6-working": _working,
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
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=before)
