"""Takes the pictures of the documentation: the monitor on a real cluster, the wizard on a fake one.

The cluster is the demo's, with its leader frozen for the second picture. The wizard's hosts are
those of its tests, because real ones have addresses that mean nothing to a reader.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot
from textual.screen import Screen

from bzzz_core.clock import SystemClock
from bzzz_core.model import MemberState
from bzzz_tui.feed.rotation import Pace
from bzzz_tui.terminal import Terminal
from bzzz_tui.widgets.prompt import PromptInput
from bzzz_tui.widgets.step_rail import StepState
from screens.app import BzzzApp
from screens.demo import demo_monitor
from screens.setup.context import Context
from screens.setup.draft import Draft, parse_hosts
from screens.setup.opening import wizard_of
from screens.setup.run_view import Stage
from screens.setup.wizard import Wizard
from tests.fakes import statuses
from tests.fakes.engine import FakeEngine

SIZE = (120, 32)
WAIT_S = 90
ANSWER_S = 4
"""For a view that asks the cluster for something of its own."""
CHECKS_LEAST = 10
OPERATORS_HOME = "/home/operator"
VIEWS = ("nodes", "node bzzz-1", "peers", "logs", "checks", "audit", "election")


def main(directory: Path) -> None:
    """Write all pictures into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    asyncio.run(_monitor(directory))
    asyncio.run(_wizard(directory))


async def _monitor(directory: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="bzzz-pictures-") as temporary:
        state = Path(temporary) / "demo"
        app = _app(lambda app: demo_monitor(app, agents=3, state_dir=state))
        async with app.run_test(size=SIZE) as pilot:
            assert app.shell is not None
            store = app.shell.session.store
            await _until(pilot, lambda: bool(store.status and store.status.leader_serving))
            await _until(pilot, lambda: all(len(row.cpu) >= 4 for row in store.rows.values()))
            await _until(pilot, lambda: len(store.checks) > CHECKS_LEAST)
            _save(app, directory / "monitor.svg")
            await _act(app)
            for view in VIEWS:
                await _open(pilot, view)
                _save(app, directory / f"monitor-{view.partition(' ')[0]}.svg")
            assert store.status is not None
            term = store.status.term
            await _command(pilot, "overview")
            await _command(pilot, "freeze leader")
            await _until(
                pilot,
                lambda: bool(
                    store.status
                    and store.status.term > term
                    and any(m.state is MemberState.DEAD for m in store.status.members)
                    and store.alerts
                ),
            )
            _save(app, directory / "monitor-failover.svg")
            for view in ("election", "alerts"):
                await _open(pilot, view)
                _save(app, directory / f"monitor-{view}.svg")
            await _command(pilot, "heal")


async def _act(app: BzzzApp) -> None:
    """Do something that the audit tells of."""
    assert app.shell is not None
    opened = app.shell.session.opened
    assert opened is not None
    for component, level in (("fabric", "debug"), ("leadership", "debug"), ("fabric", None)):
        wish = {"component": component, "level": level}
        await opened.feed.call("PUT", "/v1/logs/level", wish)


async def _open(pilot: Pilot[int], view: str) -> None:
    """Open a view, and wait until what it asks for is there."""
    await _command(pilot, view)
    await pilot.pause(ANSWER_S)


async def _command(pilot: Pilot[int], line: str) -> None:
    """Type a line behind `:`."""
    await pilot.press("colon")
    pilot.app.screen.query_one(PromptInput).value = line
    await pilot.press("enter")
    await pilot.pause()


async def _wizard(directory: Path) -> None:
    engine = FakeEngine({f"bzzz-{n}": statuses.status(term=1) for n in (1, 2, 3)})
    with tempfile.TemporaryDirectory(prefix="bzzz-pictures-") as temporary:

        def first(app: BzzzApp) -> Wizard:
            context = Context(
                draft=Draft(hosts=parse_hosts("10.20.0.11 10.20.0.12 10.20.0.13", ())),
                engine=engine,
                clock=app.clock,
                glyphs=app.glyphs,
                session=Path(temporary) / "session.json",
            )
            return wizard_of(context, None, ask=True)

        app = _app(first)
        async with app.run_test(size=SIZE) as pilot:
            await pilot.pause()
            _save(app, directory / "setup-begin.svg")
            await pilot.press("2")
            await _until(pilot, lambda: isinstance(app.screen, Wizard))
            wizard = app.screen
            assert isinstance(wizard, Wizard)
            await _questions(pilot, wizard, directory)
            await _work(pilot, wizard, directory)


async def _questions(pilot: Pilot[int], wizard: Wizard, directory: Path) -> None:
    """Take the pictures of the steps that ask."""
    app = wizard.app
    assert isinstance(app, BzzzApp)
    await _until(pilot, lambda: bool(wizard.query("#host-entry")))
    await _step(pilot, wizard, 3)
    await pilot.press("T")
    await _until(pilot, lambda: len(wizard.context.seen) == len(wizard.context.draft.hosts))
    for number, name in enumerate(("hosts", "network", "security", "ai", "resources"), 1):
        await wizard._go_to(number)
        await _until(pilot, lambda number=number: wizard.here == number)  # type: ignore[misc]
        _save(app, directory / f"setup-{name}.svg")


async def _work(pilot: Pilot[int], wizard: Wizard, directory: Path) -> None:
    """Take the pictures of the plan, the work, the election and the checks."""
    app = wizard.app
    assert isinstance(app, BzzzApp)
    await _step(pilot, wizard, 6)
    await pilot.press("p")
    await _until(pilot, lambda: wizard.context.run.stage is Stage.ASKING)
    _save(app, directory / "setup-plan.svg")
    engine = wizard.context.engine
    assert isinstance(engine, FakeEngine)
    engine.hold.clear()
    await pilot.press("a")
    await _until(pilot, lambda: "write_config done" in str(wizard.context.run.log("bzzz-3")))
    _save(app, directory / "setup-work.svg")
    engine.hold.set()
    await _until(pilot, lambda: wizard.context.run.stage is Stage.DONE)
    await _step(pilot, wizard, 7)
    await _until(pilot, lambda: wizard.step.state() is StepState.OK)
    _save(app, directory / "setup-cluster.svg")
    await _step(pilot, wizard, 8)
    await _until(pilot, lambda: wizard.step.state() not in {StepState.OPEN, StepState.RUNNING})
    _save(app, directory / "setup-checks.svg")


async def _step(pilot: Pilot[int], wizard: Wizard, number: int) -> None:
    while wizard.here < number:
        await pilot.press("ctrl+n")
        await pilot.pause()


async def _until(pilot: Pilot[int], condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await pilot.pause(0.1)
    await pilot.pause()


def _app(first: Callable[[BzzzApp], Screen[None]]) -> BzzzApp:
    terminal = Terminal(plain=False, theme="bzzz-dark", mouse=False, ascii=False, remote=False)
    return BzzzApp(terminal=terminal, clock=SystemClock(), pace=Pace(), first=first)


def _save(app: BzzzApp, path: Path) -> None:
    """Write the screen as SVG that fetches nothing and names no home; fonts are the reader's."""
    picture = app.export_screenshot(title="bzzz-tui").replace(str(Path.home()), OPERATORS_HOME)
    path.write_text(re.sub(r"@font-face \{.*?\}\n?", "", picture, flags=re.DOTALL))
    print(path)  # noqa: T201  this is the program's output


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images"))
