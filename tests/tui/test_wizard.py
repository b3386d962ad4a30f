"""The wizard as an operator meets it: eight steps, nothing lost, nothing changed unasked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from textual.containers import Vertical
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Input

from bzzz_core.clock import SystemClock
from bzzz_core.config.profile import ClusterProfile, ProfileHost, save_profile
from bzzz_core.config.profile_places import profile_path
from bzzz_core.config.sources import load_answers
from bzzz_core.deploy.model_search import HERE, FoundServer, ModelSearch
from bzzz_core.errors import ConfigError
from bzzz_tui.fields import entries_text
from bzzz_tui.widgets.form import Choice
from bzzz_tui.widgets.host_matrix import HostMatrix
from bzzz_tui.widgets.step_rail import StepRail, StepState
from bzzz_tui.widgets.toned import Paragraph
from screens.app import BzzzApp
from screens.dialogs import Reading
from screens.monitor.overview import Overview
from screens.setup import checks, session
from screens.setup.begin import Begin
from screens.setup.deploy_engine import DeployEngine
from screens.setup.draft import HostDraft
from screens.setup.engine import Look, LookState
from screens.setup.entry import EntryForm
from screens.setup.leaving import LeaveQuestion
from screens.setup.push_button import PushButton
from screens.setup.run_view import Stage
from screens.setup.session import Session
from screens.setup.steps import STEPS
from screens.setup.wizard import Wizard
from tests.fakes import statuses
from tests.fakes.engine import FINGERPRINT, FakeEngine, facts
from tests.tui.rest import at_rest
from tests.tui.settled import LIMIT_S
from tests.tui.test_overview import shown_lines
from tests.tui.test_shell import notices

Body = Callable[[Pilot[int], Wizard], Awaitable[None]]
NO_KEY = "no key yet of bzzz-2: T again once it stands there"
SPEC_ORDER = [
    "System Detection",
    "Network",
    "Security",
    "AI Integration",
    "Resource Allocation",
    "Service Deployment",
    "Cluster Formation",
    "Testing & Validation",
]


def drive(app: BzzzApp, body: Body, size: tuple[int, int] = (120, 40)) -> None:
    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            wizard = next(screen for screen in app.screen_stack if isinstance(screen, Wizard))
            await body(pilot, wizard)

    asyncio.run(run())


async def settle(pilot: Pilot[int], until: Callable[[], bool]) -> None:
    """Wait for a condition, not for a time."""
    async with asyncio.timeout(LIMIT_S):
        while not until():
            await pilot.pause(0.01)


async def see(pilot: Pilot[int], words: str) -> None:
    """Wait until words stand on the screen."""
    app = pilot.app
    assert isinstance(app, BzzzApp)
    await settle(pilot, lambda: words in "\n".join(shown_lines(app)))


async def to_step(pilot: Pilot[int], wizard: Wizard, number: int) -> None:
    while wizard.here < number:
        before = wizard.here
        await pilot.press("ctrl+n")
        await settle(pilot, lambda before=before: wizard.here != before)  # type: ignore[misc]


async def jump_to(pilot: Pilot[int], wizard: Wizard, number: int) -> None:
    """Go to a step past those between, where they are not meant: each takes a second to lay out."""
    if wizard.here < number:
        await wizard._go_to(number)
        await pilot.pause()


def checked(wizard: Wizard) -> bool:
    """Return whether all checks of the last step came to an end."""
    return wizard._views[8].state() not in {StepState.OPEN, StepState.RUNNING}


async def deploy(pilot: Pilot[int], wizard: Wizard) -> None:
    """Make the plan and apply it."""
    await jump_to(pilot, wizard, 6)
    await pilot.press("p")
    await settle(pilot, lambda: wizard.context.run.stage is Stage.ASKING)
    await pilot.press("a")
    await settle(pilot, lambda: wizard.context.run.stage is Stage.DONE)


def row(wizard: Wizard, key: str):  # noqa: ANN201
    return wizard.step.rows[key]


def test_the_steps_are_the_eight_of_the_specification_in_order() -> None:
    assert [spec.title for spec in STEPS] == SPEC_ORDER
    assert [spec.number for spec in STEPS] == list(range(1, 9))


def test_a_step_says_what_it_cannot_do_yet(wizard_app) -> None:  # noqa: ANN001
    app = wizard_app()

    async def body(_pilot: Pilot[int], wizard: Wizard) -> None:
        await wizard._go_to(8)
        assert "not yet" in wizard.step.query_one(".step-later", Paragraph).text

    drive(app, body)


def test_every_step_opens_at_its_top_however_late_the_focus_comes(
    wizard_app,  # noqa: ANN001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Textual scrolls to what gets the focus when it has time; the top would be out of view."""
    sought: list[Widget] = []
    monkeypatch.setattr(Wizard, "scroll_to_center", lambda _screen, to, **_how: sought.append(to))
    app = wizard_app()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        for number in range(1, 9):
            await wizard._go_to(number)
            await at_rest(pilot)
            assert wizard.focused is not None
            assert wizard.step.scroll_y == 0
        assert not sought

    drive(app, body, size=(80, 24))


def test_hosts_are_added_by_typing_and_by_pasting_several(wizard_app) -> None:  # noqa: ANN001
    app = wizard_app(hosts="")

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        entry = wizard.query_one("#host-entry", Input)
        assert entry.has_focus
        entry.value = "10.0.0.1, lab=admin@10.0.0.2:2222 [fd00::3]:22"
        await pilot.press("enter")
        await pilot.pause()
        assert wizard.context.draft.hosts == (
            HostDraft("bzzz-1", "10.0.0.1"),
            HostDraft("lab", "10.0.0.2", "2222", "admin"),
            HostDraft("bzzz-2", "fd00::3", "22"),
        )
        wizard.step.table.move(1)  # type: ignore[attr-defined]
        await see(pilot, "admin@10.0.0.2:2222")

    drive(app, body)


def test_going_on_without_hosts_is_refused_with_words(wizard_app) -> None:  # noqa: ANN001
    app = wizard_app(hosts="")

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await pilot.press("ctrl+n")
        await pilot.pause()
        assert wizard.here == 1
        await see(pilot, "add at least one host")

    drive(app, body)


def test_a_nonsense_host_is_refused_and_its_text_kept(wizard_app) -> None:  # noqa: ANN001
    """What reads like an option to a program must never become an address."""
    app = wizard_app(hosts="")

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        entry = wizard.query_one("#host-entry", Input)
        entry.value = "-oProxyCommand=x 10.0.0.1"
        await pilot.press("enter")
        await see(pilot, "-oProxyCommand")
        assert entry.value == "-oProxyCommand=x 10.0.0.1"
        assert wizard.context.draft.hosts == ()

    drive(app, body)


def test_a_wrong_value_is_explained_under_its_field_and_gets_the_focus(wizard_app) -> None:  # noqa: ANN001
    app = wizard_app()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await to_step(pilot, wizard, 2)
        row(wizard, "network.ports.fabric_client").editor.value = "99999"
        await pilot.press("ctrl+n")
        await pilot.pause()
        wrong = row(wizard, "network.ports.fabric_client")
        assert wizard.here == 2
        assert wrong.wrong == "must be at most 65535"
        assert wrong.editor.has_focus
        wrong.editor.value = "4333"
        await settle(pilot, lambda: not wrong.wrong)
        await jump_to(pilot, wizard, 3)

    drive(app, body)


def test_a_field_is_checked_when_it_is_left_not_while_typing(wizard_app) -> None:  # noqa: ANN001
    app = wizard_app()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await jump_to(pilot, wizard, 5)
        field = row(wizard, "resources.paths.data")
        field.editor.value = "relative"
        await pilot.pause()
        assert not field.wrong
        await pilot.press("tab")
        await settle(pilot, lambda: field.wrong.startswith("write a path that starts with /"))

    drive(app, body)


def test_fields_that_contradict_each_other_are_named_at_the_last_of_them(wizard_app) -> None:  # noqa: ANN001
    app = wizard_app()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await to_step(pilot, wizard, 2)
        row(wizard, "network.ports.api").editor.value = "4222"
        await pilot.press("ctrl+n")
        await pilot.pause()
        assert "differ" in row(wizard, "network.ports.websocket").wrong

    drive(app, body)


def test_going_back_loses_nothing_right_or_wrong(wizard_app) -> None:  # noqa: ANN001
    app = wizard_app()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await to_step(pilot, wizard, 2)
        row(wizard, "network.ports.api").editor.value = "not a port"
        await pilot.press("escape", "escape")
        await settle(pilot, lambda: wizard.here == 1)
        assert wizard.query_one(StepRail).has_focus
        await pilot.press("2")
        await settle(pilot, lambda: wizard.here == 2)
        assert row(wizard, "network.ports.api").text == "not a port"

    drive(app, body)


def test_numbers_jump_only_to_steps_that_were_reached(wizard_app) -> None:  # noqa: ANN001
    app = wizard_app()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await jump_to(pilot, wizard, 3)
        await pilot.press("escape")
        wizard.query_one(StepRail).focus()
        await pilot.press("1")
        await settle(pilot, lambda: wizard.here == 1)
        await pilot.press("7")
        await pilot.pause()
        assert wizard.here == 1
        await pilot.press("3")
        await settle(pilot, lambda: wizard.here == 3)

    drive(app, body)


def test_an_unknown_host_key_waits_for_explicit_trust(wizard_app, engine: FakeEngine) -> None:  # noqa: ANN001
    app = wizard_app()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await jump_to(pilot, wizard, 3)

        def states() -> set[LookState]:
            return {wizard.context.look(host).state for host in wizard.context.draft.hosts}

        await settle(pilot, lambda: states() == {LookState.KEY_UNKNOWN})
        assert any(FINGERPRINT in line for line in shown_lines(app))
        assert all(not host.host_key_sha256 for host in wizard.context.draft.hosts)
        await pilot.press("t")
        await settle(pilot, lambda: LookState.READY in states())
        trusted = [host.name for host in wizard.context.draft.hosts if host.host_key_sha256]
        assert trusted == ["bzzz-1"], "one host at a time"
        await pilot.press("T")
        await settle(pilot, lambda: states() == {LookState.READY})
        assert engine.looked.count("bzzz-1") == 2

    drive(app, body)


def test_the_first_step_shows_what_the_host_under_the_cursor_is(wizard_app) -> None:  # noqa: ANN001
    app = wizard_app()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        facts = wizard.query_one("#host-facts", Paragraph)
        assert facts.text == "", "nothing was seen yet"
        wizard.context.draft.hosts = tuple(
            msgspec.structs.replace(host, host_key_sha256=FINGERPRINT)
            for host in wizard.context.draft.hosts
        )
        wizard.step.action_probe()  # type: ignore[attr-defined]
        await settle(pilot, lambda: "NVIDIA L4" in facts.text)
        assert "10.20.0.11/24" in facts.text

    drive(app, body)


def test_a_key_that_may_be_trusted_in_the_first_step_is_shown_there(wizard_app) -> None:  # noqa: ANN001
    app = wizard_app()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        wizard.step.action_probe()  # type: ignore[attr-defined]
        words = wizard.step.query_one(".host-words", Paragraph)
        await settle(pilot, lambda: FINGERPRINT in words.text)
        assert any(FINGERPRINT in line for line in shown_lines(app))

    drive(app, body, size=(80, 24))


def test_a_fingerprint_can_be_read_whole_at_80_columns(wizard_app) -> None:  # noqa: ANN001
    app = wizard_app()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await jump_to(pilot, wizard, 3)
        await settle(pilot, lambda: any(FINGERPRINT in line for line in shown_lines(app)))

    drive(app, body, size=(80, 24))


def test_what_was_seen_of_a_host_is_forgotten_when_its_answers_change(wizard_app) -> None:  # noqa: ANN001
    app = wizard_app()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        wizard.step.action_probe()  # type: ignore[attr-defined]
        context = wizard.context
        await settle(
            pilot, lambda: context.look(context.draft.hosts[0]).state is LookState.KEY_UNKNOWN
        )
        entry = wizard.query_one("#host-entry", Input)
        entry.value = "bzzz-1=10.9.9.9"
        entry.focus()
        await pilot.press("enter")
        await pilot.pause()
        assert context.draft.hosts[0].address == "10.9.9.9"
        assert context.look(context.draft.hosts[0]).state is LookState.UNSEEN

    drive(app, body)


def test_a_secret_typed_for_a_reference_is_masked_refused_and_never_written(
    wizard_app,  # noqa: ANN001
    tmp_path: Path,
) -> None:
    app = wizard_app()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        field = row(wizard, "security.ssh.password")
        field.focus_editor()
        await pilot.press(*"hunter2!")
        assert field.editor.password
        assert not any("hunter2!" in line for line in shown_lines(app))
        await pilot.press("tab")
        await settle(pilot, lambda: "reference" in field.wrong)
        assert "hunter2!" not in wizard.context.draft.yaml()
        await pilot.press("escape", "q")
        await pilot.pause()

    drive(app, body)
    assert "hunter2!" not in (tmp_path / "session.json").read_text()


def test_a_reference_is_shown_because_it_is_none_of_the_secret(wizard_app) -> None:  # noqa: ANN001
    app = wizard_app()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        field = row(wizard, "security.ssh.password")
        field.focus_editor()
        await pilot.press(*"env:LAB_PASSWORD")
        assert not field.editor.password

    drive(app, body)


def test_answers_survive_a_crash_and_are_offered_again(wizard_app, tmp_path: Path) -> None:  # noqa: ANN001
    path = tmp_path / "session.json"
    first = wizard_app()

    async def leave_without_a_word(pilot: Pilot[int], wizard: Wizard) -> None:
        await to_step(pilot, wizard, 2)
        row(wizard, "network.ports.api").editor.value = "9090"
        await settle(pilot, lambda: path.exists() and "9090" in path.read_text())

    drive(first, leave_without_a_word)
    assert path.stat().st_mode & 0o777 == 0o600
    again = wizard_app(hosts="", kept=session.load(path))

    async def resume(pilot: Pilot[int], wizard: Wizard) -> None:
        assert isinstance(again.screen, Begin)
        await pilot.press("enter")
        await settle(pilot, lambda: wizard.here == 2)
        assert row(wizard, "network.ports.api").text == "9090"
        assert len(wizard.context.draft.hosts) == 3

    drive(again, resume)


def test_declining_starts_anew(wizard_app) -> None:  # noqa: ANN001
    kept = Session(step=4, reached=5, texts={}, hosts=(HostDraft("old", "10.0.0.9"),))
    app = wizard_app(hosts="", kept=kept)

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await pilot.press("3")
        await settle(pilot, lambda: bool(wizard._views))
        assert wizard.here == 1
        assert not wizard.context.draft.hosts

    drive(app, body)


@pytest.mark.parametrize("text", ["", "{", '{"step": 9}', '{"step": 1, "version": 2}', "[]"])
def test_a_damaged_session_is_no_obstacle(text: str, tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    path.write_text(text)
    assert session.load(path) is None


def test_the_plan_is_shown_before_anything_is_changed(wizard_app, engine: FakeEngine) -> None:  # noqa: ANN001
    app = wizard_app()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await jump_to(pilot, wizard, 6)
        assert not engine.applied
        await pilot.press("p")
        await settle(pilot, lambda: wizard.context.run.stage is Stage.ASKING)
        await see(pilot, "16 changes")
        text = "\n".join(shown_lines(app))
        assert wizard.context.plan is not None
        assert wizard.context.plan.hash[:16] in text
        assert "nothing is changed until step 6" in text
        assert wizard.context.run.summary is None

    drive(app, body)


def test_applying_shows_hosts_by_phases_and_ends_well(wizard_app, engine: FakeEngine) -> None:  # noqa: ANN001
    app = wizard_app()
    engine.hold.clear()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await jump_to(pilot, wizard, 6)
        await pilot.press("p")
        await settle(pilot, lambda: wizard.context.run.stage is Stage.ASKING)
        await pilot.press("a")
        await see(pilot, "write_config done")
        assert "hosts are being changed" in shown_lines(app)[0]
        engine.hold.set()
        await settle(pilot, lambda: wizard.context.run.stage is Stage.DONE)
        assert wizard.context.run.succeeded
        await see(pilot, "done in 0s")
        assert wizard.step.state() is StepState.OK

    drive(app, body)


def test_every_column_of_the_work_can_be_named_at_80_columns_by_keyboard(
    wizard_app,  # noqa: ANN001
    engine: FakeEngine,
) -> None:
    """Numbers alone say nothing: the operator would have to count the phases of the manual."""
    app = wizard_app()
    engine.hold.clear()
    engine.phases = DeployEngine(SystemClock()).phases
    count = len(engine.phases)

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await jump_to(pilot, wizard, 6)
        await pilot.press("p")
        await settle(pilot, lambda: wizard.context.run.stage is Stage.ASKING)
        await pilot.press("a")
        at = engine.phases.index("write_config")
        await see(pilot, f"phase {at + 1} of {count}: write_config done")
        matrix = wizard.step.query_one(HostMatrix)
        while app.focused is not matrix:
            await pilot.press("tab")
        await pilot.press("left")
        await see(pilot, f"phase {at} of {count}: {engine.phases[at - 1]} waiting")
        engine.hold.set()
        await settle(pilot, lambda: wizard.context.run.stage is Stage.DONE)
        wizard.step.query_one(HostMatrix).focus()
        await see(pilot, f"phase {at} of {count}: {engine.phases[at - 1]} waiting")
        await pilot.press("end")
        last = engine.phases.index("start_agent")
        await see(pilot, f"phase {last + 1} of {count}: start_agent done")
        for n in range(last + 2, count + 1):
            await pilot.press("right")
            await see(pilot, f"phase {n} of {count}: {engine.phases[n - 1]}")

    drive(app, body, size=(80, 24))


def test_trusting_all_names_a_host_that_has_not_shown_its_key(wizard_app) -> None:  # noqa: ANN001
    app = wizard_app()
    told = notices(app)

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await jump_to(pilot, wizard, 3)
        hosts = wizard.context.draft.hosts
        await settle(pilot, lambda: all(wizard.context.look(host).fingerprint for host in hosts))
        wizard.context.looks["bzzz-2"] = Look(state=LookState.LOOKING)
        await pilot.press("T")
        assert told == [NO_KEY]
        trusted = [host.name for host in wizard.context.draft.hosts if host.host_key_sha256]
        assert trusted == ["bzzz-1", "bzzz-3"]
        for name in ("bzzz-1", "bzzz-3"):  # as they are while they are looked at once more
            wizard.context.looks[name] = Look(state=LookState.LOOKING)
        told.clear()
        await pilot.press("T")
        assert told == [NO_KEY], "of those that are trusted nothing is awaited"

    drive(app, body)


def test_a_failed_host_is_named_and_can_be_tried_again(wizard_app, engine: FakeEngine) -> None:  # noqa: ANN001
    app = wizard_app()
    engine.failing = "bzzz-3"

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await deploy(pilot, wizard)
        await see(pilot, "failed after 0s: bzzz-3")
        await see(pilot, "no space on /opt")
        await pilot.press("ctrl+n")
        await pilot.pause()
        assert wizard.here == 6, "a cluster that is not there cannot be watched"
        engine.failing = None
        await pilot.press("R")
        await settle(pilot, lambda: wizard.context.run.stage is Stage.ASKING)
        await pilot.press("a")
        await settle(pilot, lambda: wizard.context.run.succeeded)

    drive(app, body)


def test_leaving_while_hosts_are_changed_asks(wizard_app, engine: FakeEngine) -> None:  # noqa: ANN001
    app = wizard_app()
    engine.hold.clear()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await jump_to(pilot, wizard, 6)
        await pilot.press("p")
        await settle(pilot, lambda: wizard.context.run.stage is Stage.ASKING)
        await pilot.press("a", "q")
        await pilot.pause()
        assert isinstance(app.screen, LeaveQuestion)
        await pilot.press("n")
        assert isinstance(app.screen, Wizard)
        engine.hold.set()

    drive(app, body)


def test_an_answer_changed_after_the_work_marks_it_for_re_check(wizard_app) -> None:  # noqa: ANN001
    app = wizard_app()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await deploy(pilot, wizard)
        assert wizard.step.state() is StepState.OK
        await pilot.press("escape", "escape")
        await settle(pilot, lambda: wizard.here == 5)
        row(wizard, "resources.store_bytes_max").editor.value = "2000000000"
        await pilot.pause()
        assert wizard._views[6].state() is StepState.RECHECK

    drive(app, body)


def test_formation_shows_each_nodes_own_view(wizard_app, engine: FakeEngine) -> None:  # noqa: ANN001
    document = statuses.status(term=1)
    other = msgspec.structs.replace(document, leader="bzzz-3")
    engine.nodes = {"bzzz-1": document, "bzzz-2": other, "bzzz-3": "no answer within 8 s"}
    app = wizard_app()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await deploy(pilot, wizard)
        await to_step(pilot, wizard, 7)
        await see(pilot, "do not agree yet")
        assert "no answer within 8 s" in "\n".join(shown_lines(app))
        engine.nodes = dict.fromkeys(("bzzz-1", "bzzz-2", "bzzz-3"), document)
        wizard.step.hidden()
        wizard.step.shown()
        await see(pilot, "all name bzzz-2 in term 1")

    drive(app, body)


def test_the_checks_pass_are_reported_and_lead_into_the_monitor(
    wizard_app,  # noqa: ANN001
    engine: FakeEngine,
) -> None:
    engine.nodes = {f"bzzz-{n}": statuses.status(term=1) for n in (1, 2, 3)}
    app = wizard_app()
    hosts = (ProfileHost(name="bzzz-1", address="x", api_port=1, api_url="http://127.0.0.1:1"),)
    reference = "env:NONE"
    profile = ClusterProfile(
        name="bzzz", cluster_id="c", ca_sha256="0" * 64, api_token=reference, hosts=hosts
    )
    save_profile(profile_path("bzzz"), profile)

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await deploy(pilot, wizard)
        await to_step(pilot, wizard, 8)
        await settle(pilot, lambda: checked(wizard))
        assert wizard.step.state() is not StepState.BAD
        report = profile_path("bzzz").with_name("validation.txt")
        assert report.stat().st_mode & 0o777 == 0o600
        assert "pass           One leader, one term" in report.read_text()
        assert "not available  Storage write and read" in report.read_text()
        await pilot.press("ctrl+n")
        await settle(pilot, lambda: isinstance(app.screen, Overview))
        assert not wizard.context.session.exists(), "nothing is left to resume"

    drive(app, body)


def test_a_report_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "validation.txt").mkdir()
    with pytest.raises(ConfigError, match="the report cannot be written"):
        checks.write_report("text", tmp_path / "validation.txt")


def test_a_failed_check_says_what_was_found(wizard_app, engine: FakeEngine) -> None:  # noqa: ANN001
    engine.nodes = {"bzzz-1": statuses.status(), "bzzz-2": "refused"}
    app = wizard_app()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await deploy(pilot, wizard)
        await to_step(pilot, wizard, 8)
        await settle(pilot, lambda: checked(wizard))
        assert wizard.step.state() is StepState.BAD
        await see(pilot, "1 of 2 nodes do not answer: bzzz-2: refused")

    drive(app, body)


def test_the_ai_endpoint_is_asked_on_request(wizard_app) -> None:  # noqa: ANN001
    app = wizard_app()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await jump_to(pilot, wizard, 4)
        provider = row(wizard, "ai.endpoint.provider").editor
        assert isinstance(provider, Choice)
        await pilot.press("right")
        assert provider.value == "ollama"
        await pilot.press("ctrl+n")
        await pilot.pause()
        assert "needs base_url" in row(wizard, "ai.endpoint.project").wrong
        row(wizard, "ai.endpoint.base_url").editor.value = "http://127.0.0.1:11434"
        await pilot.pause()
        wizard.step.query_one("#test-ai").action_press()  # type: ignore[attr-defined]
        await see(pilot, "qwen3-coder:30b")

    drive(app, body)


def test_a_model_server_of_the_network_is_found_and_taken(
    wizard_app: Callable[..., BzzzApp], engine: FakeEngine
) -> None:
    server = FoundServer(
        address="10.20.0.77", port=11434, version="0.9.1", models=("llama3:8b",), seen_from=(HERE,)
    )
    engine.models_found = ModelSearch(addresses=254, servers=(server,), failures=("bzzz-2: gone",))

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await jump_to(pilot, wizard, 4)
        await to_page(pilot, wizard, 2)
        wizard.step.query_one("#search-models", PushButton).focus()
        await pilot.press("enter")
        await see(pilot, "254 addresses, 1 model servers")
        await see(pilot, "bzzz-2: gone")
        await see(pilot, "http://10.20.0.77:11434  0.9.1  llama3:8b  (reached from this machine)")
        wizard.step.query_one("#ai-found-servers", Vertical).query_one(PushButton).focus()
        await pilot.press("enter")
        await see(pilot, "is the endpoint now")
        draft = wizard.context.draft
        assert draft.get("ai.endpoint.provider") == "ollama"
        assert draft.get("ai.endpoint.base_url") == "http://10.20.0.77:11434"

    drive(wizard_app(), body)


async def to_page(pilot: Pilot[int], wizard: Wizard, turns: int) -> None:
    """Turn the pages of step 4 by keyboard."""
    wizard.step.query_one("#ai-pages").focus()
    for _ in range(turns):
        await pilot.press("right")


def test_models_and_their_places_are_shown_for_the_hosts_that_were_seen(
    wizard_app,  # noqa: ANN001
) -> None:
    app = wizard_app()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        context = wizard.context
        for host in context.draft.hosts:
            context.looks[host.name] = Look(state=LookState.READY, facts=facts())
            context.take_look(host)
        await jump_to(pilot, wizard, 4)
        wizard.step.scroll_end(animate=False)
        await see(pilot, "Model servers found")
        await to_page(pilot, wizard, 3)
        models = [{"name": "llama3:8b"}, {"name": "huge:405b"}]
        context.draft.set("ai.servers.models", entries_text(models))
        wizard.step.refreshed()
        wizard.step.scroll_end(animate=False)
        await see(pilot, "about 6.0 GB")
        await see(pilot, "huge:405b: needs 301.3 GB (estimated by its name)")

    drive(app, body)


def test_limits_of_spending_have_a_page_of_their_own(wizard_app) -> None:  # noqa: ANN001
    app = wizard_app()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await jump_to(pilot, wizard, 4)
        await to_page(pilot, wizard, 4)
        await see(pilot, "US cents")
        assert not row(wizard, "ai.endpoint.model").parent.display
        await to_page(pilot, wizard, 1)  # round to the first page again
        assert row(wizard, "ai.endpoint.model").parent.display
        row(wizard, "ai.costs.task_cents").editor.value = "999999"
        await pilot.press("ctrl+n")
        await see(pilot, "task_cents (999999) is more than daily_cents (2000)")

    drive(app, body)


def test_a_list_of_endpoints_is_filled_by_keyboard_alone(wizard_app) -> None:  # noqa: ANN001
    app = wizard_app()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await jump_to(pilot, wizard, 4)
        await to_page(pilot, wizard, 1)
        endpoints = row(wizard, "ai.endpoints").editor
        endpoints.focus()
        await pilot.press("enter")
        form = app.screen
        assert isinstance(form, EntryForm)
        await pilot.press(*"Cheap", "ctrl+n")
        assert "lower-case" in form.rows["name"].wrong
        form.rows["name"].editor.value = "cheap"
        form.rows["api_key"].editor.value = "sk-pasted-secret"
        await pilot.press("ctrl+n")
        assert "write a reference" in form.rows["api_key"].wrong
        form.rows["api_key"].editor.value = "env:CHEAP_KEY"
        await pilot.press("ctrl+n")
        await settle(pilot, lambda: not isinstance(app.screen, EntryForm))
        spec = wizard.context.draft.section("ai")
        assert [(one.name, one.api_key) for one in spec.endpoints] == [("cheap", "env:CHEAP_KEY")]
        await see(pilot, "cheap  api_key=env:CHEAP_KEY")
        row(wizard, "ai.asking.fallback").editor.value = "cheap, other"
        await pilot.press("ctrl+n")
        await see(pilot, "no endpoint is called other")
        row(wizard, "ai.asking.fallback").editor.value = "cheap"
        endpoints.focus()
        await pilot.press("up", "delete")
        assert wizard.context.draft.get("ai.endpoints") == ""

    drive(app, body)


def test_the_yaml_shown_is_an_answers_file_that_loads(wizard_app, tmp_path: Path) -> None:  # noqa: ANN001
    app = wizard_app()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await to_step(pilot, wizard, 2)
        row(wizard, "network.ports.api").editor.value = "9090"
        await pilot.press("escape", "y")
        assert isinstance(app.screen, Reading)
        path = tmp_path / "answers.yaml"
        path.write_text(wizard.context.draft.yaml())
        spec = load_answers(path)
        assert spec.network.ports.api == 9090
        assert spec == wizard.context.draft.spec()

    drive(app, body)


def test_no_size_crashes_the_wizard(wizard_app) -> None:  # noqa: ANN001
    app = wizard_app()
    sizes = [(20, 5), (200, 60), (39, 10), (99, 19), (100, 20)]

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        for number in (1, 3, 6):
            await to_step(pilot, wizard, number)
            for width, height in sizes:
                await pilot.resize_terminal(width, height)
                await pilot.pause()
                assert shown_lines(app)

    drive(app, body)
