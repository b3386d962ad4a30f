"""An answer that comes while the wizard, or a step of it, is being taken away is dropped.

Widgets go from the innermost outwards, and their screen hears of it last: who paints what an answer
said finds a part of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.widget import Widget

from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.config.sections import AiEndpoint
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.model_search import ModelSearch
from bzzz_core.deploy.reach import Matrix
from bzzz_core.integrations.ai_endpoint import EndpointReport
from bzzz_tui.widgets.step_rail import StepRail
from bzzz_tui.widgets.toned import Paragraph
from bzzz_tui.widgets.top_line import TopLine
from screens.app import BzzzApp
from screens.setup.engine import Look
from screens.setup.push_button import PushButton
from screens.setup.step import StepView
from screens.setup.steps import EXPRESS
from screens.setup.wizard import Wizard
from tests.fakes import statuses
from tests.fakes.engine import FakeEngine
from tests.tui.test_wizard import deploy, drive, jump_to, settle

Make = Callable[..., BzzzApp]
Begin = Callable[[Pilot[int], Wizard], Awaitable[None]]


class LateEngine(FakeEngine):
    """Answers when it is let go."""

    def __init__(self) -> None:
        super().__init__({f"bzzz-{n}": statuses.status(term=1) for n in (1, 2, 3)})
        self.go = asyncio.Event()
        self.asked: list[str] = []
        self.ended: list[str] = []

    async def _late(self, what: str) -> None:
        self.asked.append(what)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            for _ in range(20):  # It takes its listeners off the hosts.
                await asyncio.sleep(0)
            self.ended.append(what)
            raise
        self.ended.append(what)

    async def look(self, spec: ClusterSpec, host: HostSpec) -> Look:
        await self._late("look")
        return await super().look(spec, host)

    async def sweep(self, addresses: tuple[str, ...], port: int) -> tuple[str, ...]:
        await self._late("sweep")
        return await super().sweep(addresses, port)

    async def search_models(self, spec: ClusterSpec, facts: Mapping[str, HostFacts]) -> ModelSearch:
        await self._late("search")
        return await super().search_models(spec, facts)

    async def reach(self, spec: ClusterSpec) -> Matrix:
        await self._late("reach")
        return await super().reach(spec)

    async def examine_ai(self, endpoint: AiEndpoint) -> EndpointReport:
        await self._late("ai")
        return await super().examine_ai(endpoint)

    async def pending(self, spec: ClusterSpec) -> int:
        await self._late("pending")
        return await super().pending(spec)


async def look(pilot: Pilot[int], wizard: Wizard) -> None:
    wizard.post_message(StepView.LookWanted(["bzzz-1", "bzzz-2"]))
    await pilot.pause()


async def sweep(pilot: Pilot[int], wizard: Wizard) -> None:
    del pilot
    wizard.step._start_sweep(("10.0.0.9",), 22)  # type: ignore[attr-defined]


async def reach(pilot: Pilot[int], wizard: Wizard) -> None:
    await jump_to(pilot, wizard, 2)
    press(wizard, "#reach")


async def ai(pilot: Pilot[int], wizard: Wizard) -> None:
    await jump_to(pilot, wizard, 4)
    press(wizard, "#test-ai")


async def search(pilot: Pilot[int], wizard: Wizard) -> None:
    await jump_to(pilot, wizard, 4)
    press(wizard, "#search-models")


async def pending(pilot: Pilot[int], wizard: Wizard) -> None:
    await deploy(pilot, wizard)
    await wizard._go_to(8)


def press(wizard: Wizard, button: str) -> None:
    wizard.step.query_one(button, PushButton).action_press()


@pytest.mark.parametrize("goes", [TopLine, PushButton], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    "begin", [look, sweep, reach, ai, search, pending], ids=lambda f: f.__name__
)
def test_who_leaves_is_told_nothing_any_more(
    wizard_app: Make, monkeypatch: pytest.MonkeyPatch, begin: Begin, goes: type[Widget]
) -> None:
    engine = LateEngine()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        wizard.context.engine = engine
        await begin(pilot, wizard)
        await settle(pilot, lambda: begin.__name__ in engine.asked)
        monkeypatch.setattr(goes, "on_unmount", lambda _: engine.go.set(), raising=False)

    drive(wizard_app(), body)
    assert begin.__name__ in engine.ended


def test_steps_that_are_asked_anew_take_no_answer_between(
    wizard_app: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LateEngine()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        wizard.context.engine = engine
        wizard.context.express, wizard.context.route = True, EXPRESS
        await look(pilot, wizard)
        await settle(pilot, lambda: "look" in engine.asked)
        monkeypatch.setattr(Paragraph, "on_unmount", lambda _: engine.go.set(), raising=False)
        await wizard.action_all_questions()
        await settle(pilot, lambda: "look" in engine.ended)
        assert not wizard.context.express

    drive(wizard_app(), body)


@pytest.mark.parametrize("first", ["enter", "2"])
def test_two_keys_that_go_on_at_once_open_a_step_once(wizard_app: Make, first: str) -> None:
    """What is pressed comes by the wizard, what is a key of it by the app, beside each other."""

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await wizard._go_to(2)
        await wizard._views.pop(2).remove()
        await wizard._go_to(1)
        if first == "enter":
            wizard.step.query_one("#next-detect", PushButton).focus()
        else:
            wizard.query_one(StepRail).focus()
        await pilot.pause()
        for key in (first, "ctrl+n"):
            wizard.app.post_message(Key(key, None))
        await settle(pilot, lambda: wizard.here == 2)
        await pilot.pause()
        assert len(wizard.query("#step-network")) == 1

    drive(wizard_app(), body)
