"""The key that setup installs, and what a host says of the keys that a login has."""

from __future__ import annotations

import getpass
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from bzzz_core.deploy.facts.logins import LoginKeys, read_login
from bzzz_core.deploy.phases import distribute_key, harden_ssh
from bzzz_core.deploy.ssh import own_key
from bzzz_core.errors import ConfigError
from tests.fakes.deploy_goals import KNOWN, converged, fresh, goals, spec

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGu1u1u1u1u1u1u1u1u1u1u1u1u1u1u1u1u1u1u1u1u1"
LOGIN = LoginKeys(
    user="operator", home="/home/operator", file="/home/operator/.ssh/authorized_keys"
)


def test_a_key_is_private_and_its_half_is_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "ssh" / "id_ed25519"
    own_key.create(path, comment="bzzz", passphrase=None)
    assert path.stat().st_mode & 0o777 == 0o600
    assert own_key.public_line(path).startswith("ssh-ed25519 AAAA")
    with pytest.raises(FileExistsError):
        own_key.create(path, comment="bzzz", passphrase=None)


def test_a_missing_half_is_named_with_how_to_make_it(tmp_path: Path) -> None:
    (tmp_path / "id").write_text("a private key")
    with pytest.raises(ConfigError, match="ssh-keygen -y -f"):
        own_key.public_line(tmp_path / "id")


def test_a_login_says_where_its_keys_are_and_what_else_lets_it_in() -> None:
    said = (
        f"user=a\\nhome=/home/a\\npasswords=no\\nkeyboard=yes\\ndropins=yes\\nfile=/k\\nkey={KEY}"
    )
    found = read_login(said.replace("\\n", "\n") + "\nfile=/k2\nkey=ssh-rsa nonsense\n")
    assert found == LoginKeys(
        user="a", home="/home/a", file="/k", keys=(KEY,), passwords=True, dropins=True
    )


def test_a_key_that_is_there_is_not_installed_again() -> None:
    answers = spec(1, security={"ssh": {"install_key": "generate"}})
    goal = goals(answers, {"bzzz-1": fresh(1)})["bzzz-1"]
    assert distribute_key.plan(goal)[0].after == distribute_key.LATER
    there = msgspec.structs.replace(fresh(1), login=msgspec.structs.replace(LOGIN, keys=(KEY,)))
    holding = goals(answers, {"bzzz-1": there}, replace(KNOWN, ssh_key=KEY))["bzzz-1"]
    assert distribute_key.plan(holding) == ()


def test_hardening_is_planned_only_on_request() -> None:
    facts = converged(spec(1))
    assert harden_ssh.plan(goals(spec(1), facts)["bzzz-1"]) == ()
    asked = spec(1, security={"ssh": {"harden": True}})
    (change,) = harden_ssh.plan(goals(asked, facts)["bzzz-1"])
    assert "PasswordAuthentication no" in change.after


def test_hardening_without_a_key_is_refused() -> None:
    ssh = {"harden": True, "password": "env:PASSWORD"}
    answers = spec(1, security={"ssh": ssh})
    facts = {"bzzz-1": msgspec.structs.replace(fresh(1), login=LOGIN)}
    said = [finding.message for finding in harden_ssh.findings(answers, facts)]
    assert any("no /etc/ssh/sshd_config.d" in message for message in said)
    assert any("there is no key" in message for message in said)


def test_a_line_is_appended_once_and_taken_away_again(tmp_path: Path) -> None:
    """What stands in quotes or behind a remark is no key, and a last line may lack its end."""
    become = tmp_path / "bin" / "runuser"
    become.parent.mkdir()
    become.write_text('#!/bin/sh\nshift 3\nexec "$@"\n')  # as ourselves, for only root may
    become.chmod(0o700)
    environment = {**os.environ, "PATH": f"{become.parent}:{os.environ['PATH']}"}
    file = tmp_path / ".ssh" / "authorized_keys"
    words = (getpass.getuser(), str(tmp_path), str(file), KEY, "bzzz-setup@one")
    odd = f'# {KEY} a remark\nno-pty,command="echo \\"{KEY}\\"" ssh-rsa AAAA else'

    def run(script: str) -> str:
        command = ["sh", "-c", script, "bzzz", *words]
        subprocess.run(command, check=True, capture_output=True, timeout=20, env=environment)
        return file.read_text() if file.exists() else ""

    file.parent.mkdir()
    file.write_text(odd)
    assert run(distribute_key._ADD) == f"{odd}\n{KEY} bzzz-setup@one\n"
    assert run(distribute_key._ADD) == f"{odd}\n{KEY} bzzz-setup@one\n"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert run(distribute_key._TAKE) == f"{odd}\n"
    file.write_text(f'from="10.0.0.0/8"\t{KEY.replace(" ", "  ")} with options\n')
    assert run(distribute_key._ADD).count(KEY.split()[1]) == 1
    file.unlink()
    file.parent.rmdir()
    assert run(distribute_key._ADD) == f"{KEY} bzzz-setup@one\n"
    assert run(distribute_key._TAKE) == ""
