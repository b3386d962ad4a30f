"""What was proved of other answers or another run is not shown, and no check runs for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from textual.pilot import Pilot
from textual.widgets import Input

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.sections import AiEndpoint
from bzzz_core.integrations.ai_endpoint import EndpointReport
from bzzz_tui.widgets.step_rail import StepState
from bzzz_tui.widgets.toned import Lines
from screens.app import BzzzApp
from screens.setup.checks import CHECKS, Verdict
from screens.setup.cluster import ClusterStep
from screens.setup.engine import Look, LookState
from screens.setup.run_view import Stage
from screens.setup.steps import STEPS
from screens.setup.unseen import unseen_state
from screens.setup.validate import ValidateStep
from screens.setup.wizard import Wizard
from tests.fakes import statuses
from tests.fakes.engine import FakeEngine, facts
from tests.tui.test_wizard import deploy, drive, jump_to, row, see, settle, to_step
from tests.tui.test_wizard_orders import context_of

Make = Callable[..., BzzzApp]


class SlowEngine(FakeEngine):
    """Answers about AI and about what is pending wait until they are let go."""

    def __init__(self) -> None:
        super().__init__({f"bzzz-{n}": statuses.status(term=1) for n in (1, 2, 3)})
        self.go = asyncio.Event()
        self.asked = 0

    async def examine_ai(self, endpoint: AiEndpoint) -> EndpointReport:
        self.asked += 1
        await self.go.wait()
        return await super().examine_ai(endpoint)

    async def pending(self, spec: ClusterSpec) -> int:
        await self.go.wait()
        return await super().pending(spec)


def test_an_endpoint_that_is_edited_while_it_is_asked_has_no_answer(wizard_app: Make) -> None:
    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        wizard.context.engine = engine = SlowEngine()
        await jump_to(pilot, wizard, 4)
        row(wizard, "ai.endpoint.base_url").put("http://10.0.0.9:11434")
        await pilot.pause()
        wizard.step.query_one("#test-ai").focus()
        await pilot.press("enter")
        await settle(pilot, lambda: engine.asked == 1)
        row(wizard, "ai.endpoint.base_url").put("http://10.0.0.8:11434")
        await pilot.pause()
        engine.go.set()
        await pilot.pause(0.1)
        assert not wizard.context.ai

    drive(wizard_app(), body)


def test_a_proof_of_who_reaches_whom_goes_with_the_hosts_and_ports(wizard_app: Make) -> None:
    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await to_step(pilot, wizard, 2)
        reached = wizard.step.query_one("#reached", Lines)
        wizard.step.query_one("#reach").focus()
        await pilot.press("enter")
        await see(pilot, "every host reaches every other")
        row(wizard, "network.ports.fabric_client").put("4333")
        await settle(pilot, lambda: not reached.lines)
        await pilot.press("enter")
        await see(pilot, "every host reaches every other")
        await wizard._go_to(1)
        wizard.query_one("#host-entry", Input).value = "10.20.0.14"
        await pilot.press("enter")
        await wizard._go_to(2)
        assert not reached.lines

    drive(wizard_app(), body)


def test_checks_are_of_one_run_and_one_that_is_cut_off_waits_again(wizard_app: Make) -> None:
    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        wizard.context.engine = engine = SlowEngine()
        await deploy(pilot, wizard)
        await wizard._go_to(8)
        step = wizard.step
        assert isinstance(step, ValidateStep)
        outcomes = step._rows.outcomes
        await settle(pilot, lambda: outcomes["unchanged"].verdict is Verdict.RUNNING)
        step._start([check for check in CHECKS if check.key == "leader"])
        await see(pilot, "not run; report")
        assert outcomes["unchanged"].verdict is Verdict.WAITING
        engine.go.set()
        step.action_check_all()
        await settle(pilot, lambda: step.state() is StepState.WARN)
        await wizard._go_to(6)
        await pilot.press("p")
        await settle(pilot, lambda: wizard.context.run.stage is Stage.ASKING)
        assert step.state() is StepState.OPEN
        await wizard._go_to(8)
        assert {outcome.verdict for outcome in outcomes.values()} == {Verdict.WAITING}

    drive(wizard_app(), body)


def test_the_first_election_is_watched_while_the_run_works(
    wizard_app: Make, engine: FakeEngine
) -> None:
    engine.hold.clear()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await jump_to(pilot, wizard, 6)
        await pilot.press("p")
        await settle(pilot, lambda: wizard.context.run.stage is Stage.ASKING)
        await wizard._go_to(7)
        step = wizard.step
        assert isinstance(step, ClusterStep)
        await see(pilot, "after step 6 each node's own view")
        wizard._views[6].action_apply()  # type: ignore[attr-defined]
        await see(pilot, "asking the nodes")
        engine.nodes = {f"bzzz-{n}": statuses.status(term=1) for n in (1, 2, 3)}
        await see(pilot, "all name bzzz-2 in term 1")
        assert step.state() is StepState.RUNNING
        engine.hold.set()
        await settle(pilot, lambda: step.state() is StepState.OK)
        await wizard._go_to(1)

    drive(wizard_app(), body)
    assert engine.closed, "whoever leaves lets go of the nodes"


def test_a_step_that_was_not_opened_is_done_only_if_its_hosts_are_fit() -> None:
    context = context_of("a=10.0.0.1", {"a": facts()})

    def first() -> StepState:
        return unseen_state(STEPS[0], (), context, reached=6)

    assert first() is StepState.OK
    context.looks["a"] = Look(state=LookState.FAILED)
    assert first() is StepState.BAD
    context.looked_at.clear()
    assert first() is StepState.OPEN
    assert unseen_state(STEPS[1], (), context, reached=6) is StepState.OK
    assert unseen_state(STEPS[1], {"network.subnet"}, context, reached=6) is StepState.BAD
    context.ai["main"] = EndpointReport(works=False, words="refused")
    assert unseen_state(STEPS[3], (), context, reached=6) is StepState.WARN
