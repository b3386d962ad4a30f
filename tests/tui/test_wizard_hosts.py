"""Where hosts come from, how each stands, and the network they share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from bzzz_core.deploy import sweep
from bzzz_core.deploy.events import Finding
from bzzz_core.deploy.existing import Existing, Verdict
from bzzz_tui.widgets.toned import Lines
from bzzz_tui.wording import ASCII
from screens.app import BzzzApp
from screens.dialogs import Question
from screens.setup.chips import chips, existing_part
from screens.setup.draft import HostDraft
from screens.setup.engine import Look, LookState
from screens.setup.wizard import Wizard
from tests.fakes.engine import FakeEngine, facts
from tests.tui.test_wizard import drive, jump_to, row, see, settle, to_step

Make = Callable[..., BzzzApp]


async def enter(pilot: Pilot[int], wizard: Wizard, text: str) -> None:
    wizard.query_one("#host-entry", Input).value = text
    await pilot.press("enter")
    await pilot.pause()


def addresses(wizard: Wizard) -> list[str]:
    return [host.address for host in wizard.context.draft.hosts]


def test_a_small_network_is_looked_through_and_what_answers_is_listed(
    wizard_app: Make, engine: FakeEngine
) -> None:
    engine.answering = ("127.0.0.2", "127.0.0.5")

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await enter(pilot, wizard, "127.0.0.0/29")
        await settle(pilot, lambda: len(wizard.context.draft.hosts) == 2)
        assert addresses(wizard) == ["127.0.0.2", "127.0.0.5"]
        await see(pilot, "2 of 6 addresses answer")
        await enter(pilot, wizard, "127.0.0.0/29")
        await see(pilot, "every one is listed")

    drive(wizard_app(hosts=""), body)


def test_a_larger_network_is_looked_through_after_a_question(
    wizard_app: Make, engine: FakeEngine
) -> None:
    engine.answering = ("10.0.0.9",)
    app = wizard_app(hosts="")

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await enter(pilot, wizard, "10.0.0.0/24")
        assert isinstance(app.screen, Question)
        await pilot.press("n")
        await pilot.pause()
        assert addresses(wizard) == []
        await enter(pilot, wizard, "10.0.0.0/24")
        await pilot.press("y")
        await settle(pilot, lambda: addresses(wizard) == ["10.0.0.9"])
        await enter(pilot, wizard, "10.0.0.0/8")
        await see(pilot, "at most 1022")

    drive(app, body)


def test_an_inventory_is_read_and_one_that_cannot_be_is_said(
    wizard_app: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a long path breaks the line that the test looks for
    path = tmp_path / "hosts.ini"
    path.write_text("[gpu]\nn1.lab ansible_user=ops\nn2.lab ansible_host=10.0.0.2\n")

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await enter(pilot, wizard, "@none")
        await see(pilot, "No such file")
        await enter(pilot, wizard, f"@{path}")
        assert [(h.name, h.address, h.user) for h in wizard.context.draft.hosts] == [
            ("n1", "n1.lab", "ops"),
            ("n2", "10.0.0.2", ""),
        ]

    drive(wizard_app(hosts=""), body)


def test_each_part_of_a_host_has_a_chip() -> None:
    finding = Finding("error", "disk", "bzzz-1", "3 MB free")
    look = Look(state=LookState.FAILED, facts=facts(), findings=(finding,))
    words = {text.strip() for text, _ in chips(look, ASCII)}
    assert {"+ ssh", "+ sudo", "x disk", "- ports"} <= words
    unreached = Look(state=LookState.FAILED, words="refused")
    assert chips(unreached, ASCII)[0][0].startswith("x ssh")
    assert chips(Look(), ASCII) == []


def test_the_chips_fit_beside_each_other_in_80_columns() -> None:
    look = Look(state=LookState.READY, facts=facts())
    assert sum(len(text) for text, _ in chips(look, ASCII)) <= 78


def test_a_bzzz_that_is_there_is_said_with_what_becomes_of_it() -> None:
    words, _ = existing_part(Existing(Verdict.UPGRADE, "release 0.0.9 becomes 0.1.0"), ASCII)
    assert words == "! upgrade: release 0.0.9 becomes 0.1.0"


async def trust(pilot: Pilot[int], wizard: Wizard) -> None:
    await jump_to(pilot, wizard, 3)
    await pilot.press("T")
    await settle(
        pilot, lambda: all(wizard.context.look(h).facts for h in wizard.context.draft.hosts)
    )
    await wizard._go_to(2)
    await pilot.pause()


def test_the_network_that_was_found_is_shown_and_a_wrong_wish_is_refused(wizard_app: Make) -> None:
    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await trust(pilot, wizard)
        found = wizard.step.query_one("#addresses", Lines)
        text = "\n".join("".join(part for part, _ in line) for line in found.lines)
        assert "subnet of the hosts 10.20.0.0/24" in text
        assert "eno1 up 10 Gbit/s 10.20.0.11/24" in text
        row(wizard, "network.subnet").put("192.0.2.0/24")
        await see(pilot, "10.20.0.11 is not in network.subnet 192.0.2.0/24")

    drive(wizard_app(hosts="10.20.0.11"), body)


def test_a_button_walks_through_the_usable_interfaces(wizard_app: Make) -> None:
    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await trust(pilot, wizard)
        wizard.step.query_one("#next-interface").focus()
        await pilot.press("enter")
        await pilot.pause()
        assert wizard.context.draft.get("network.interface") == "eno1"
        await pilot.press("enter")
        await pilot.pause()
        assert wizard.context.draft.get("network.interface") == ""

    drive(wizard_app(hosts="10.20.0.11"), body)


def test_a_masked_text_is_shown_while_the_field_has_the_focus(wizard_app: Make) -> None:
    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        editor = row(wizard, "security.ssh.password").editor
        editor.focus()
        editor.value = "hunter2hunter2"
        await pilot.pause()
        assert editor.password
        await pilot.press("ctrl+r")
        assert not editor.password
        await pilot.press("tab")
        await pilot.pause()
        assert editor.password

    drive(wizard_app(), body)


def test_it_is_shown_who_reaches_whom(wizard_app: Make, engine: FakeEngine) -> None:
    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await to_step(pilot, wizard, 2)
        wizard.step.query_one("#reach").focus()
        await pilot.press("enter")
        await see(pilot, "every host reaches every other")
        await see(pilot, "0.4 ms")
        engine.unreached = "bzzz-2"
        await pilot.press("enter")
        await see(pilot, "bzzz-1 does not reach bzzz-2 on port 4222, 6222: silent")

    drive(wizard_app(), body)


def test_an_edited_host_keeps_its_trusted_key_and_shows_its_roles(wizard_app: Make) -> None:
    pin = "SHA256:" + "a" * 43

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        draft = wizard.context.draft
        draft.hosts = tuple(msgspec.structs.replace(h, host_key_sha256=pin) for h in draft.hosts)
        await enter(pilot, wizard, "bzzz-1=admin@10.20.0.11+storage")
        first = draft.hosts[0]
        assert (first.user, first.roles, first.host_key_sha256) == ("admin", "storage", pin)
        await see(pilot, "admin@10.20.0.11 (storage)")
        await enter(pilot, wizard, "bzzz-1=10.20.0.99")
        assert draft.hosts[0] == HostDraft("bzzz-1", "10.20.0.99"), "another machine, another key"

    drive(wizard_app(), body)


def test_a_host_that_is_typed_but_not_entered_is_not_left_behind(wizard_app: Make) -> None:
    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        entry = wizard.query_one("#host-entry", Input)
        entry.value = "10.20.0.12:none"
        await pilot.press("ctrl+n")
        await pilot.pause()
        assert wizard.here == 1
        assert addresses(wizard) == ["10.20.0.11"]
        entry.value = "10.20.0.0/24"
        await pilot.press("ctrl+n")
        await see(pilot, "press Enter to look through")
        assert wizard.here == 1
        entry.value = "b2=10.20.0.12"
        await pilot.press("ctrl+n")
        await settle(pilot, lambda: wizard.here == 2)
        assert addresses(wizard) == ["10.20.0.11", "10.20.0.12"]

    drive(wizard_app(hosts="10.20.0.11"), body)


def test_hosts_that_are_too_many_are_not_said_to_be_taken(
    wizard_app: Make, engine: FakeEngine
) -> None:
    engine.answering = tuple(sweep.addresses("10.1.0.0/22"))

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await enter(pilot, wizard, "10.1.0.0/22")
        await pilot.press("y")
        await see(pilot, "1022 hosts; setup takes 500 at most")
        assert addresses(wizard) == []

    drive(wizard_app(hosts=""), body)


def test_odd_input_is_answered_in_words(wizard_app: Make, engine: FakeEngine) -> None:
    engine.answering = ("127.0.0.1",)

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        await enter(pilot, wizard, "@~no-such-user-here")
        await see(pilot, "there is no such user")
        row(wizard, "security.ssh.port").put("70000")
        await enter(pilot, wizard, "127.0.0.1/32")
        await see(pilot, "write 1 to 65535")
        assert addresses(wizard) == []
        await enter(pilot, wizard, "10.0.0.1:" + "1" * 5_000)
        assert addresses(wizard) == []
        await see(pilot, "bzzz-1 port:")

    drive(wizard_app(hosts=""), body)
