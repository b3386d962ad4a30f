"""The plan of step 6 and the answers it was made of: neither outlives a change of the other."""

from __future__ import annotations

from collections.abc import Callable

from textual.pilot import Pilot

from bzzz_tui.widgets.form import Form
from screens.app import BzzzApp
from screens.setup.run_view import Stage
from screens.setup.steps import EXPRESS
from screens.setup.wizard import Wizard
from tests.fakes.engine import FakeEngine
from tests.tui.test_wizard import drive, jump_to, row, see, settle

Make = Callable[..., BzzzApp]


async def planned(pilot: Pilot[int], wizard: Wizard) -> None:
    """Make a plan, and leave it waiting for the word."""
    await jump_to(pilot, wizard, 6)
    await pilot.press("p")
    await settle(pilot, lambda: wizard.context.run.stage is Stage.ASKING)


def test_a_plan_of_other_answers_is_not_applied(wizard_app: Make, engine: FakeEngine) -> None:
    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await planned(pilot, wizard)
        await wizard._go_to(7)
        row(wizard, "cluster.name").put("other")
        await pilot.pause()
        await wizard._go_to(6)
        await see(pilot, "the answers changed since this plan was made: p makes a new one")
        await see(pilot, "Make a new plan")
        await pilot.press("a")
        await settle(pilot, lambda: wizard.context.run.stage is Stage.DONE)
        assert not wizard.context.run.confirmed
        assert wizard.context.run.summary is None
        await see(pilot, "the answers changed since this plan was made: p makes a new one")
        await pilot.press("p")
        await settle(pilot, lambda: wizard.context.run.stage is Stage.ASKING)
        await pilot.press("a")
        await settle(pilot, lambda: wizard.context.run.succeeded)
        assert [spec.cluster.name for spec in engine.applied] == ["bzzz", "other"]

    drive(wizard_app(), body)


def test_the_answers_of_step_6_can_be_mended_after_a_plan(wizard_app: Make) -> None:
    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await planned(pilot, wizard)
        form = wizard.step.query(Form).first()
        assert not form.display
        await pilot.press("x")
        await settle(pilot, lambda: wizard.context.run.stage is Stage.DONE)
        await settle(pilot, lambda: form.display)
        assert not row(wizard, "services.bundle").editor.disabled
        await pilot.press("p")
        await settle(pilot, lambda: wizard.context.run.stage is Stage.ASKING)
        await pilot.press("a")
        await settle(pilot, lambda: wizard.context.run.succeeded)
        assert not form.display, "they may only be read"
        await pilot.press("escape", "e")
        await settle(pilot, lambda: form.display)

    drive(wizard_app(), body)


def test_all_questions_ask_those_of_the_later_steps_too(wizard_app: Make) -> None:
    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        wizard.context.express, wizard.context.route = True, EXPRESS
        await wizard._go_to(6)
        assert not wizard.step.query(Form)
        await planned(pilot, wizard)
        await wizard.action_all_questions()
        assert wizard.context.express, "the run that waits is not lost"
        await pilot.press("x")
        await settle(pilot, lambda: wizard.context.run.stage is Stage.DONE)
        await wizard.action_all_questions()
        await pilot.pause()
        assert wizard.step.query(Form)

    drive(wizard_app(), body)
