"""Keys of a step act from the rail too, and what is read only stays as it is."""

from __future__ import annotations

from collections.abc import Callable

from textual.pilot import Pilot

from bzzz_tui.widgets.step_rail import StepRail
from screens.app import BzzzApp
from screens.setup.entry import EntryForm
from screens.setup.network import NetworkStep
from screens.setup.run_view import Stage
from screens.setup.step import PushButton
from screens.setup.steps import STEPS
from screens.setup.wizard import Wizard
from tests.tui.test_wizard import drive, jump_to, row, settle

Make = Callable[..., BzzzApp]


def test_the_keys_of_a_step_act_from_the_rail(wizard_app: Make) -> None:
    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await jump_to(pilot, wizard, 6)
        wizard.query_one(StepRail).focus()
        await pilot.press("p")
        await settle(pilot, lambda: wizard.context.run.stage is Stage.ASKING)
        await pilot.press("a")
        await settle(pilot, lambda: wizard.context.run.succeeded)
        await wizard._go_to(2)
        step = wizard.step
        assert isinstance(step, NetworkStep)
        before = wizard.context.draft.yaml()
        step.pressed(step.query_one("#next-interface", PushButton))
        await pilot.pause()
        assert wizard.context.draft.yaml() == before, "a run was made of these answers"

    drive(wizard_app(), body)


def test_a_reference_of_an_entry_can_be_shown(wizard_app: Make) -> None:
    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await jump_to(pilot, wizard, 4)
        form = EntryForm(row(wizard, "ai.endpoints").spec, None, wizard.context.glyphs)
        wizard.app.push_screen(form)
        await settle(pilot, lambda: wizard.app.screen is form and form.is_mounted)
        editor = form.rows["api_key"].editor
        editor.focus()
        editor.value = "hunter2hunter2"
        await settle(pilot, lambda: editor.password)
        await pilot.press("ctrl+r")
        assert not editor.password

    drive(wizard_app(), body)


def test_what_the_specification_names_and_nobody_asks_yet_is_said() -> None:
    later = {spec.number: "; ".join(spec.later) for spec in STEPS}
    assert "live test" in later[3]
    assert "syslog" in later[5]
    assert "escalation" in later[5]
    assert "through a context" in later[6]
    assert "security check" in later[8]
