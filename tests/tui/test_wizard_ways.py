"""Ways through the wizard: the short one, from a file, back again, and after the hosts changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from bzzz_core.deploy.facts.host import HostFacts, Listener
from bzzz_tui.parts import text_of
from bzzz_tui.widgets.step_rail import StepState
from screens.app import BzzzApp
from screens.dialogs import Question
from screens.setup import session
from screens.setup.begin import Begin
from screens.setup.draft import Draft, parse_hosts
from screens.setup.engine import Look, LookState
from screens.setup.opening import open_wizard
from screens.setup.run_view import Stage
from screens.setup.steering_words import voters_of
from screens.setup.steps import EVERY, EXPRESS, STEPS, next_of, route_of
from screens.setup.survives import survives_lines
from screens.setup.wizard import Wizard
from tests.fakes.engine import FakeEngine, facts
from tests.tui.conftest import FrozenClock, app_with
from tests.tui.test_shell import notices
from tests.tui.test_wizard import deploy, drive, jump_to, row, see, settle, to_step

Make = Callable[..., BzzzApp]


def test_the_short_way_visits_hosts_trust_and_ai_and_then_the_plan() -> None:
    assert EXPRESS[:4] == (1, 3, 4, 6)
    assert [next_of(n, EXPRESS) for n in (1, 2, 3, 4, 6, 8)] == [3, 3, 4, 6, 7, 8]
    assert [next_of(n) for n in (1, 8)] == [2, 8]


def test_only_the_sections_that_an_answers_file_names_are_asked() -> None:
    assert route_of(()) == EVERY
    assert route_of(("*", "ai")) == EVERY
    assert route_of(("network", "resources")) == (2, 5, 6, 7, 8)


def begun(app: BzzzApp, keys: list[str], then: Callable[[Pilot[int], Wizard], object]) -> None:
    """Open the wizard as the start screen does, press keys, and go on."""

    async def run() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            assert isinstance(app.screen, Begin)
            for key in keys:
                await pilot.press(key)
            await settle(pilot, lambda: isinstance(app.screen, Wizard))
            wizard = app.screen
            assert isinstance(wizard, Wizard)
            await settle(pilot, lambda: bool(wizard._views))
            await then(pilot, wizard)  # type: ignore[misc]

    asyncio.run(run())


def test_express_asks_only_what_has_no_safe_default(clock: FrozenClock) -> None:
    async def then(pilot: Pilot[int], wizard: Wizard) -> None:
        assert list(wizard.step.rows) == [
            "security.ssh.user",
            "security.ssh.port",
            "security.ssh.key",
            "security.ssh.password",
        ]
        wizard.query_one("#host-entry", Input).value = "10.0.0.1"
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("ctrl+n")
        await settle(pilot, lambda: wizard.here == 3)
        assert list(wizard.step.rows) == ["security.ssh.sudo_password"]
        await pilot.press("ctrl+n")
        await settle(pilot, lambda: wizard.here == 4)
        assert all(key.startswith("ai.endpoint.") for key in wizard.step.rows)
        await pilot.press("ctrl+n")
        await settle(pilot, lambda: wizard.here == 6)
        await see(pilot, "Taken without asking")
        await see(pilot, "bzzz-1; none may be lost")
        await pilot.press("escape")
        await pilot.press("A")
        await wizard._go_to(1)
        await pilot.pause()
        assert "system.clock_skew_ms_max" in wizard.step.rows

    begun(app_with(open_wizard, clock), ["1"], then)


def test_answers_are_loaded_from_a_file_or_the_fault_is_named(
    clock: FrozenClock, tmp_path: Path
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("hosts: [{name: lab, address: 10.1.1.1}]\ncluster: {name: lab}\n")
    app = app_with(open_wizard, clock)

    async def run() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            await pilot.press("3", *"none.yaml", "enter")
            await see(pilot, "none.yaml")
            field = app.screen.query_one("#begin-file", Input)
            field.value = str(path)
            await pilot.press("enter")
            await settle(pilot, lambda: isinstance(app.screen, Wizard))
            wizard = app.screen
            assert isinstance(wizard, Wizard)
            assert wizard.context.draft.get("cluster.name") == "lab"
            assert [host.name for host in wizard.context.draft.hosts] == ["lab"]

    asyncio.run(run())


def test_who_leaves_the_beginning_leaves_setup(clock: FrozenClock) -> None:
    app = app_with(open_wizard, clock)

    async def run() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            await pilot.press("escape")
            await settle(pilot, lambda: not app.is_running or app.return_code == 0)

    asyncio.run(run())


def test_answers_are_read_only_once_hosts_were_changed_until_edit(wizard_app: Make) -> None:
    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await deploy(pilot, wizard)
        await wizard._go_to(2)
        await pilot.pause()
        assert row(wizard, "network.ports.api").editor.disabled
        await wizard._go_to(1)
        assert wizard.query_one("#host-entry", Input).disabled
        await pilot.press("escape")
        await pilot.press("e")
        await wizard._go_to(2)
        await pilot.pause()
        editor = row(wizard, "network.ports.api").editor
        assert not editor.disabled
        editor.value = "9090"
        await wizard._go_to(6)
        await pilot.pause()
        assert wizard.step.state() is StepState.RECHECK
        await pilot.press("p")
        await settle(pilot, lambda: wizard.context.run.stage is Stage.ASKING)
        assert not wizard.context.editing

    drive(wizard_app(), body)


def test_steps_that_depend_on_a_changed_answer_are_marked_until_seen(wizard_app: Make) -> None:
    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await jump_to(pilot, wizard, 5)
        row(wizard, "resources.paths.data").put("/srv/bzzz")
        await wizard._go_to(1)
        row(wizard, "security.ssh.user").put("admin")
        await pilot.pause()
        assert wizard.context.recheck == {2, 3, 4, 5}
        await see(pilot, STEPS[0].title)
        await wizard._go_to(5)
        assert wizard.context.recheck == {2, 3, 4}
        assert row(wizard, "resources.paths.data").text == "/srv/bzzz", "never wiped"

    drive(wizard_app(), body)


class Taken(FakeEngine):
    """Hosts on which another program has the API's port."""

    async def look(self, spec, host) -> Look:  # type: ignore[no-untyped-def]  # noqa: ANN001
        del spec, host
        return Look(state=LookState.READY, facts=taken())


def taken() -> HostFacts:
    listener = Listener("::", 8080, process="nginx")
    return msgspec.structs.replace(facts(), listeners=(listener,))


def test_a_port_that_is_taken_is_replaced_unless_somebody_answered(wizard_app: Make) -> None:
    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        context = wizard.context
        context.engine = Taken()
        await pilot.press("escape")
        wizard.step.query_one("#look").focus()
        await pilot.press("enter")
        await settle(pilot, lambda: len(context.seen) == 3)
        await to_step(pilot, wizard, 2)
        assert row(wizard, "network.ports.api").text == "8082"
        assert "nginx" in context.detected["network.ports.api"].words
        row(wizard, "network.ports.api").put("9000")
        await pilot.pause()
        await jump_to(pilot, wizard, 3)
        assert context.draft.get("network.ports.api") == "9000"

    drive(wizard_app(), body)


def test_another_target_means_manifests_and_no_host_is_changed(
    wizard_app: Make, engine: FakeEngine
) -> None:
    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await jump_to(pilot, wizard, 6)
        row(wizard, "services.target").put("compose")
        await pilot.pause()
        await see(pilot, "Write the manifests")
        await pilot.press("p")
        await see(pilot, "2 files in /manifests/compose")
        assert wizard.context.run.stage is Stage.IDLE
        assert not engine.applied

    drive(wizard_app(), body)


def test_manifests_are_an_end_of_setup_and_replace_nothing_unasked(
    wizard_app: Make, engine: FakeEngine
) -> None:
    engine.in_the_way = ("compose.yaml",)

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await jump_to(pilot, wizard, 6)
        row(wizard, "services.target").put("compose")
        await pilot.pause()
        await pilot.press("p")
        await settle(pilot, lambda: isinstance(wizard.app.screen, Question))
        await pilot.press("n")
        await see(pilot, "nothing was written")
        await pilot.press("ctrl+n")
        await pilot.pause()
        assert wizard.here == 6
        assert wizard.step.state() is StepState.OPEN
        await pilot.press("p")
        await settle(pilot, lambda: isinstance(wizard.app.screen, Question))
        await pilot.press("y")
        await see(pilot, "2 files in /manifests/compose")
        assert wizard.step.state() is StepState.OK
        await pilot.press("ctrl+n")
        await settle(pilot, lambda: wizard.app.return_code == 0)

    drive(wizard_app(), body)


def said(addresses: str, **answers: str) -> str:
    draft = Draft(hosts=parse_hosts(addresses, ()))
    for key, text in answers.items():
        draft.set(key.replace("__", "."), text)
    voters = voters_of([host.name for host in draft.hosts])
    return "\n".join(text_of(line) for line in survives_lines(draft, voters))


def test_it_is_said_what_a_cluster_survives() -> None:
    assert "the loss of 1 of its 3 voters" in said("a=1.1.1.1 b=1.1.1.2 c=1.1.1.3")
    assert "two hosts have one voter" in said("a=1.1.1.1 b=1.1.1.2")
    assert "no loss of its one voter" in said("a=1.1.1.1")
    assert "replaced after about 1.1 to 1.4 s" in said("a=1.1.1.1 b=1.1.1.2 c=1.1.1.3")
    manual = said("a=1.1.1.1 b=1.1.1.2 c=1.1.1.3", cluster__failover="manual")
    assert "when you say so" in manual
    assert "reads are refused" in said("a=1.1.1.1", cluster__without_quorum="stop")
    joined = said("a=1.1.1.1 b=1.1.1.2 c=1.1.1.3", cluster__mode="join")
    assert "these hosts get no vote" in joined
    assert "its 3 voters" not in joined


@pytest.mark.parametrize("flag", [True, False])
def test_another_way_to_begin_keeps_the_earlier_answers_under_another_name(
    clock: FrozenClock, *, flag: bool
) -> None:
    path = session.session_path()
    session.save(Draft(hosts=parse_hosts("old=10.0.0.9", ())), step=1, reached=1, path=path)
    earlier = path.read_bytes()
    app = app_with(lambda app: open_wizard(app, express=flag), clock)
    told = notices(app)

    async def run() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            if not flag:
                await pilot.press("2")
            await settle(pilot, lambda: isinstance(app.screen, Wizard) and app.screen.here == 1)
            await settle(pilot, lambda: bool(app.screen._views))  # type: ignore[attr-defined]
            (kept,) = path.parent.glob("setup-session.*.json")
            assert kept.read_bytes() == earlier
            assert any("earlier setup are kept" in words for words in told)

    asyncio.run(run())
