"""`b` in the wizard: a bundle of what it knows, and no secret that somebody typed."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from bzzz_core.config.profile_places import home
from screens.app import BzzzApp
from screens.setup.wizard import Wizard
from tests.tui.test_wizard import deploy, drive, row, settle

CANARY = "typed-into-the-field-c4nary"


def bundles() -> list[Path]:
    return sorted(home().glob("support-*.tar.gz"))


def test_a_bundle_tells_what_happened_and_no_secret(
    wizard_app: Callable[..., BzzzApp], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFERRED", "referred-c4nary-value")

    async def body(pilot: Pilot[int], wizard: Wizard) -> None:
        row(wizard, "security.ssh.password").put("env:REFERRED")
        await deploy(pilot, wizard)
        wizard.context.run.failure = f"it said {os.environ['REFERRED']}"
        await wizard._go_to(1)
        await pilot.press("escape")
        wizard.context.draft.set("security.ssh.sudo_password", CANARY)
        assert wizard.context.draft.spec() is None
        await pilot.pause()
        await pilot.press("b")
        await settle(pilot, lambda: bool(bundles()))
        await settle(pilot, lambda: not wizard.app._services)

    drive(wizard_app(), body)
    (path,) = bundles()
    assert path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as archive:
        names = {member.name.removeprefix("bzzz-support/") for member in archive}
        everything = "".join(
            archive.extractfile(member).read().decode()  # type: ignore[union-attr]
            for member in archive
        )
    assert {"versions.json", "answers.yaml", "plan.txt", "run/bzzz-1.txt"} <= names
    assert CANARY not in everything
    assert "referred-c4nary-value" not in everything, "although the answers are not complete"
