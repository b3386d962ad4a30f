"""Orders to a run that works: again, left out, stopped; and what each means for the quorum."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from bzzz_core.config.sources import load_answers
from bzzz_core.deploy.detached.place import make_run
from bzzz_core.deploy.events import Status, Step
from bzzz_core.deploy.facts.host import EnrolledVoter, HostFacts
from bzzz_core.deploy.steering import Cut, Order, Retry, Skip, Steering, Stop
from bzzz_core.deploy.wishes import Wishes
from bzzz_tui.wording import UNICODE
from screens.app import BzzzApp
from screens.setup.begin import Begin
from screens.setup.context import Context
from screens.setup.draft import Draft, parse_hosts
from screens.setup.engine import Look, LookState
from screens.setup.kit_dialog import KitDialog
from screens.setup.opening import wizard_of
from screens.setup.run_view import RunView, Stage
from screens.setup.services import ServicesStep
from screens.setup.steering_words import skipped_words, voters_of, why_not_skip
from screens.setup.wizard import Wizard
from tests.fakes import statuses
from tests.fakes.engine import FakeEngine, facts
from tests.tui.conftest import FrozenClock
from tests.tui.test_wizard import checked, deploy, drive, jump_to, see, settle

Make = Callable[..., BzzzApp]
NAMES = [f"n{number}" for number in range(1, 8)]


@pytest.mark.parametrize(("count", "voters"), [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (7, 5)])
def test_the_first_hosts_vote(count: int, voters: int) -> None:
    assert voters_of(NAMES[:count]) == tuple(NAMES[:voters])


def test_a_host_is_left_out_only_while_a_majority_of_voters_remains() -> None:
    three = voters_of(NAMES[:3])
    assert why_not_skip("n1", voters=three, lost=()) == ""
    assert "1 of 3 voters remain; to elect a leader takes 2" in why_not_skip(
        "n1", voters=three, lost={"n2"}
    )
    assert why_not_skip("n4", voters=three, lost={"n2"}) == "", "it does not vote"
    assert why_not_skip("n1", voters=voters_of(NAMES[:1]), lost=())


def test_it_is_said_what_may_still_be_lost() -> None:
    assert "no further voter may be lost" in skipped_words(
        "n1", voters=voters_of(NAMES[:3]), lost=()
    )
    assert "1 more may be lost" in skipped_words("n1", voters=voters_of(NAMES[:5]), lost=())
    assert "does not vote" in skipped_words("n4", voters=voters_of(NAMES[:4]), lost=())


def context_of(names: str, seen: dict[str, HostFacts], **answers: str) -> Context:
    """Return what a wizard knows once it looked at hosts."""
    draft = Draft(hosts=parse_hosts(names, ()))
    for key, text in answers.items():
        draft.set(key.replace("__", "."), text)
    context = Context(
        draft=draft,
        engine=FakeEngine(),
        clock=FrozenClock(),
        glyphs=UNICODE,
        session=Path("session.json"),
    )
    for host in draft.hosts:
        if host.name in seen:
            context.looks[host.name] = Look(state=LookState.READY, facts=seen[host.name])
            context.take_look(host)
    return context


def test_a_cluster_that_exists_keeps_its_voters_and_one_that_is_joined_has_others() -> None:
    text = "a=10.0.0.1 b=10.0.0.2 c=10.0.0.3 d=10.0.0.4"
    assert context_of(text, {}).voters == ("a", "b", "c")
    there = tuple(EnrolledVoter(name, f"id-{name}", "KEY") for name in ("b", "d", "x"))
    seen = {"d": msgspec.structs.replace(facts(), voters=there)}
    assert context_of(text, seen).voters == ("b", "d")
    assert context_of(text, seen, cluster__mode="join").voters == ("b", "d", "x")
    assert context_of(text, {}, cluster__mode="join").voters == ()


def told(wizard: Wizard) -> str:
    return " ".join(note.message for note in wizard.app._notifications)


def test_what_was_seen_of_a_host_is_of_one_login() -> None:
    context = context_of("a=10.0.0.1", {"a": facts()})
    (host,) = context.draft.hosts
    assert context.look(host).state is LookState.READY
    context.draft.set("security.ssh.user", "somebody")
    assert context.look(host).state is LookState.UNSEEN
    context.draft.set("security.ssh.user", "root")
    assert context.look(host).state is LookState.READY


async def failed(pilot: Pilot[int], wizard: Wizard, engine: FakeEngine) -> None:
    """Let a run wait for a word about bzzz-1, which failed."""
    engine.failing, engine.waits = "bzzz-1", True
    await jump_to(pilot, wizard, 6)
    await pilot.press("p")
    await settle(pilot, lambda: wizard.context.run.stage is Stage.ASKING)
    await pilot.press("a")
    await see(pilot, "bzzz-1 failed: r tries it again")


def test_a_host_that_failed_is_tried_again_within_the_run(
    wizard_app: Make, engine: FakeEngine
) -> None:
    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await failed(pilot, wizard, engine)
        await pilot.press("r")
        await settle(pilot, lambda: wizard.context.run.stage is Stage.DONE)
        assert wizard.context.run.succeeded

    drive(wizard_app(), body)


def test_a_host_that_failed_is_left_out_and_the_rest_goes_on(
    wizard_app: Make, engine: FakeEngine
) -> None:
    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await failed(pilot, wizard, engine)
        await pilot.press("s")
        await settle(pilot, lambda: wizard.context.run.stage is Stage.DONE)
        assert "start_agent done" in str(wizard.context.run.log("bzzz-2"))
        await pilot.press("R")
        await settle(pilot, lambda: engine.only_failed == [False, True])

    drive(wizard_app(), body)


def test_a_host_without_which_nobody_can_be_elected_is_not_left_out(
    wizard_app: Make, engine: FakeEngine
) -> None:
    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await failed(pilot, wizard, engine)
        await pilot.press("s")
        await settle(pilot, lambda: "elect a leader takes 1" in told(wizard))
        assert wizard.context.run.stage is Stage.WORKING
        await pilot.press("x")
        await settle(pilot, lambda: wizard.context.run.stage is Stage.DONE)

    drive(wizard_app(hosts="10.20.0.11"), body)


class KeptOrders(Steering):
    """Orders as they were given."""

    def __init__(self) -> None:
        super().__init__(hold=True)
        self.taken: list[Order] = []

    def take(self, order: Order) -> None:
        self.taken.append(order)


def test_a_host_that_was_left_out_is_tried_again_only_by_its_own_word(wizard_app: Make) -> None:
    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await wizard._go_to(6)
        step, run = wizard.step, RunView(("bzzz-1", "bzzz-2", "bzzz-3"), ("upload",))
        assert isinstance(step, ServicesStep)
        step._steering = orders = KeptOrders()
        run.stage, wizard.context.run = Stage.WORKING, run
        for name in ("bzzz-1", "bzzz-2"):
            run.apply(Step(name, "upload", Status.FAILED))
        step.refreshed()
        await pilot.pause()
        step.action_skip_host()
        step.action_retry()
        assert orders.taken == [Skip("bzzz-1"), Retry("bzzz-2")]
        await see(pilot, "bzzz-2 failed: r tries it again")
        step.action_retry_host()
        assert orders.taken[-1] == Retry("bzzz-1")
        step.refreshed()
        await see(pilot, "bzzz-1, bzzz-2 failed: r tries it again")
        run.stage = Stage.DONE

    drive(wizard_app(), body)


def test_stop_waits_for_what_was_begun(wizard_app: Make, engine: FakeEngine) -> None:
    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        engine.hold.clear()
        await jump_to(pilot, wizard, 6)
        await pilot.press("p")
        await settle(pilot, lambda: wizard.context.run.stage is Stage.ASKING)
        await pilot.press("a")
        await settle(pilot, lambda: "write_config done" in str(wizard.context.run.log("bzzz-1")))
        await pilot.press("x")
        await see(pilot, "stopping: what was begun is finished")
        assert wizard.context.run.stage is Stage.WORKING
        engine.hold.set()
        await settle(pilot, lambda: wizard.context.run.stage is Stage.DONE)

    drive(wizard_app(), body)


def test_the_operator_kit_is_exported_with_a_passphrase_that_was_typed_twice(
    wizard_app: Make, engine: FakeEngine
) -> None:
    app = wizard_app()
    engine.nodes = {f"bzzz-{n}": statuses.status(term=1) for n in (1, 2, 3)}

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await deploy(pilot, wizard)
        await wizard._go_to(8)
        await settle(pilot, lambda: checked(wizard))
        wizard.step.query_one("#kit").focus()
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(app.screen, KitDialog))
        await pilot.press(*"too short", "enter", *"too short", "enter")
        await see(pilot, "12 characters at least")
        app.screen.query_one("#kit-first", Input).value = "a long passphrase"
        app.screen.query_one("#kit-again", Input).value = "a long passphrase"
        app.screen.query_one("#kit-again", Input).focus()
        await pilot.press("enter")
        await see(pilot, "9 files in")
        assert [(name, words) for name, _, words in engine.kits] == [("bzzz", "a long passphrase")]

    drive(app, body)


async def working(pilot: Pilot[int], wizard: Wizard, engine: FakeEngine) -> None:
    """Bring a run to where it changes hosts, and keep it there."""
    engine.hold.clear()
    await jump_to(pilot, wizard, 6)
    await pilot.press("p")
    await settle(pilot, lambda: wizard.context.run.stage is Stage.ASKING)
    await pilot.press("a")
    await settle(pilot, lambda: "write_config done" in str(wizard.context.run.log("bzzz-1")))


@pytest.mark.parametrize(("key", "stopped", "words"), [("d", 0, "goes on"), ("s", 1, "stops")])
def test_who_leaves_lets_the_run_go_on_or_stop(
    wizard_app: Make, engine: FakeEngine, key: str, stopped: int, words: str
) -> None:
    app = wizard_app()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await working(pilot, wizard, engine)
        orders: list[object] = []
        assert isinstance(wizard.step, ServicesStep)
        wizard.step._steering.relay = orders.append
        await pilot.press("q", "escape", "q")
        await see(pilot, "bzzz-tui setup --attach")
        assert wizard.context.run.stage is Stage.WORKING
        await pilot.press(key)
        await settle(pilot, lambda: not app.is_running or app._exit)
        assert orders == [Stop()] * stopped
        assert words in str(app._exit_renderables)

    drive(app, body)


def test_the_second_stop_is_an_order_to_let_go(wizard_app: Make, engine: FakeEngine) -> None:
    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await working(pilot, wizard, engine)
        orders: list[object] = []
        assert isinstance(wizard.step, ServicesStep)
        wizard.step._steering.relay = orders.append
        await pilot.press("x", "x")
        assert orders == [Stop(), Cut()]
        engine.hold.set()
        await settle(pilot, lambda: wizard.context.run.stage is Stage.DONE)

    drive(wizard_app(), body)


def test_a_run_at_work_is_offered_first_and_shown_as_it_is(
    wizard_app: Make, engine: FakeEngine, tmp_path: Path
) -> None:
    app = wizard_app()
    answers = tmp_path / "answers.yaml"
    answers.write_text("cluster: {name: far}\nhosts: [{name: h1, address: 10.0.0.1}]\n")
    live = make_run(load_answers(answers), Wishes(), hold=True, base=tmp_path)
    engine.hold.clear()

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        again = wizard_of(wizard.context, None, ask=True, live=live)
        app.switch_screen(again)
        await settle(
            pilot, lambda: isinstance(app.screen, Begin) and bool(app.screen.query("#ways"))
        )
        await pilot.pause()
        await see(pilot, f"run {live.id} is changing hosts of far")
        await pilot.press("1")
        await settle(pilot, lambda: "start_agent done" in str(again.context.run.log("h1")))
        assert (again.here, again.context.run.stage) == (6, Stage.WORKING)
        assert engine.followed == [live.id]
        engine.hold.set()
        await settle(pilot, lambda: again.context.run.succeeded)
        await see(pilot, "done in 31s")

    drive(app, body)
