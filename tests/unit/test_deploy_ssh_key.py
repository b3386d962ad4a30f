"""The key that setup installs, and what a host says of the keys that a login has."""

from __future__ import annotations

import asyncio
import getpass
import hashlib
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from bzzz_core.deploy import layout
from bzzz_core.deploy.facts.host import Kind, PathFact
from bzzz_core.deploy.facts.logins import LoginKeys, read_login
from bzzz_core.deploy.facts.openings import OwnRules
from bzzz_core.deploy.phases import distribute_key, harden_ssh
from bzzz_core.deploy.ssh import own_key
from bzzz_core.deploy.state import OpenCluster
from bzzz_core.deploy.way import Way
from bzzz_core.deploy.work import Work
from bzzz_core.errors import AuthenticationFailed, ConfigError, LinkLost
from tests.fakes.deploy_goals import KNOWN, converged, fresh, goals, spec
from tests.fakes.deploy_host import FakeHost

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


def test_a_drop_in_that_nobody_proved_counts_as_not_being_there() -> None:
    """Whoever takes the host's lease takes it back: the plan is the same before and after."""
    asked = spec(1, security={"ssh": {"harden": True}})
    before = fresh(1)
    left = msgspec.structs.replace(
        before,
        own_rules=OwnRules(armed=("sshd",)),
        paths={**(before.paths or {}), layout.SSHD_DROPIN: PathFact(Kind.FILE)},
    )
    for answers in (spec(1), asked):
        first, second = (
            harden_ssh.plan(goals(answers, {"bzzz-1": facts})["bzzz-1"]) for facts in (before, left)
        )
        assert first == second


def test_a_drop_in_that_a_restart_left_unproved_is_proved_or_removed() -> None:
    """The restart took the timer: nobody undoes it, and its text alone says that all is well."""
    asked = spec(1, security={"ssh": {"harden": True}})
    facts = fresh(1)
    (change,) = harden_ssh.plan(goals(asked, {"bzzz-1": facts})["bzzz-1"])
    sha256 = hashlib.sha256(change.after.encode()).hexdigest()
    proved = {
        **(facts.paths or {}),
        layout.SSHD_DROPIN: PathFact(Kind.FILE, "644", "root", "root", sha256),
    }
    left = {**proved, layout.SSHD_UNPROVED: PathFact(Kind.FILE, "600", "root", "root")}
    planned = {
        (name, answers is asked): [
            change.action
            for change in harden_ssh.plan(
                goals(answers, {"bzzz-1": msgspec.structs.replace(facts, paths=paths)})["bzzz-1"]
            )
        ]
        for name, paths in (("proved", proved), ("left", left))
        for answers in (asked, spec(1))
    }
    assert planned == {
        ("proved", True): [],
        ("left", True): ["create"],
        ("proved", False): ["remove"],
        ("left", False): ["remove"],
    }


class Sshd:
    """A directory of sshd's and one of ours, for the scripts of the step."""

    def __init__(self, directory: Path) -> None:
        self.programs = directory / "bin"
        self.dropin = directory / "sshd_config.d" / "00-bzzz.conf"
        self.unproved = directory / "bzzz" / "sshd-unproved"
        for place in (self.programs, self.dropin.parent, self.unproved.parent):
            place.mkdir()
        self.tool("sshd", "exit 0")
        self.tool("systemctl", "exit 1")
        self.before = directory / "before"

    def tool(self, name: str, text: str) -> None:
        (self.programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.programs / name).chmod(0o700)

    def back(self, before: str) -> int:
        self.before.write_text(before)
        return self.run(harden_ssh._BACK, self.before).returncode

    def run(self, script: str, *paths: Path) -> subprocess.CompletedProcess[str]:
        text = script.replace(layout.SSHD_DROPIN, str(self.dropin)).replace(
            layout.SSHD_UNPROVED, str(self.unproved)
        )
        return subprocess.run(
            ["sh", "-c", text, "bzzz", *map(str, paths)],
            env={**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )


def test_a_way_back_of_sshd_that_a_full_disk_cuts_short_is_none(tmp_path: Path) -> None:
    """An empty drop-in sshd takes for a good one, and so the way back was called done."""
    sshd = Sshd(tmp_path)
    sshd.dropin.write_text("ours\n")
    sshd.unproved.write_text("before\n")
    sshd.tool("cat", "exit 1")
    assert sshd.back("before\n") != 0
    assert sshd.dropin.read_text() == "ours\n"
    assert sshd.unproved.exists()
    assert [path.name for path in sshd.dropin.parent.iterdir()] == ["00-bzzz.conf"]
    (sshd.programs / "cat").unlink()
    assert sshd.back("before\n") == 0
    assert sshd.dropin.read_text() == "before\n"
    assert not sshd.unproved.exists()
    assert sshd.back("") == 0
    assert not sshd.dropin.exists()


def test_what_was_before_an_unproved_drop_in_is_what_the_next_way_back_restores(
    tmp_path: Path,
) -> None:
    sshd = Sshd(tmp_path)
    places = (sshd.dropin, sshd.unproved)
    assert sshd.run(harden_ssh._OLD, *places).stdout == ""
    sshd.dropin.write_text("ours\n")
    assert sshd.run(harden_ssh._OLD, *places).stdout == "ours\n"
    sshd.unproved.write_text("")
    assert sshd.run(harden_ssh._OLD, *places).stdout == "", "there was none"
    assert sshd.run(harden_ssh._GONE, *places).returncode == 0
    assert not sshd.dropin.exists()
    assert not sshd.unproved.exists()


def test_a_proof_ends_what_is_kept_for_the_time_without_one() -> None:
    log: list[str] = []
    host = FakeHost("bzzz-1", number=1, log=log)
    asked = spec(1, security={"ssh": {"harden": True}})
    goal = goals(asked, converged(asked))["bzzz-1"]

    @asynccontextmanager
    async def welcome(host: str, way: Way) -> AsyncIterator[object]:
        del host, way
        yield None

    work = Work(
        cluster=OpenCluster(cluster_id="d" * 32, issuers=None, secrets={}),
        releases={},
        say=lambda _host, _text: None,
        fresh=welcome,
    )
    asyncio.run(harden_ssh.apply(host, goal, harden_ssh.plan(goal), work))
    order = [
        log.index(f"bzzz-1: {what}")
        for what in (
            "arm the way back of sshd",
            f"write {layout.SSHD_UNPROVED}",
            f"write {layout.SSHD_DROPIN}",
            "disarm sshd",
            "note that sshd is proved",
        )
    ]
    assert order == sorted(order)


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


def rooted(tmp_path: Path, script: str, file: Path, *, path: str = "") -> int:
    """Run one of the scripts on a file outside of the user's home, as root does there."""
    words = ("somebody", str(tmp_path / "home"), str(file), KEY, "bzzz-setup@one")
    environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}" if path else os.defpath}
    command = ["sh", "-c", script, "bzzz", *words]
    return subprocess.run(
        command, check=False, capture_output=True, timeout=20, env=environment
    ).returncode


def test_outside_the_home_what_sshd_reads_as_the_user_stays_readable(tmp_path: Path) -> None:
    """With mode 600 for root alone all keys of the user would stop working at once."""
    there = tmp_path / "keys" / "somebody"
    there.parent.mkdir(mode=0o755)
    there.write_text("ssh-rsa AAAA theirs\n")
    there.chmod(0o644)
    assert rooted(tmp_path, distribute_key._ADD, there) == 0
    assert there.read_text().endswith(f"{KEY} bzzz-setup@one\n")
    assert there.stat().st_mode & 0o777 == 0o644
    fresh_file = tmp_path / "new" / "somebody"
    assert rooted(tmp_path, distribute_key._ADD, fresh_file) == 0
    modes = (fresh_file.stat().st_mode & 0o777, fresh_file.parent.stat().st_mode & 0o777)
    assert modes == (0o644, 0o755)
    assert rooted(tmp_path, distribute_key._TAKE, there) == 0
    assert there.read_text() == "ssh-rsa AAAA theirs\n"
    assert there.stat().st_mode & 0o777 == 0o644


def test_a_removal_that_dies_half_way_loses_no_key(tmp_path: Path) -> None:
    """A full disk or a crash between emptying and writing used to leave nobody a key."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "sync").write_text("#!/bin/sh\nexit 1\n")
    (programs / "sync").chmod(0o700)
    file = tmp_path / "keys"
    whole = f"ssh-rsa AAAA theirs\n{KEY} bzzz-setup@one\n"
    file.write_text(whole)
    assert rooted(tmp_path, distribute_key._TAKE, file, path=str(programs)) != 0
    assert file.read_text() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "keys"]


def test_a_link_to_the_list_of_keys_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "keys"
    real.write_text(f"ssh-rsa AAAA theirs\n{KEY} bzzz-setup@one\n")
    link.symlink_to(real)
    assert rooted(tmp_path, distribute_key._TAKE, link) == 0
    assert link.is_symlink()
    assert real.read_text() == "ssh-rsa AAAA theirs\n"


class Logins:
    """Opens fresh connections, or is refused."""

    def __init__(self, failure: Exception) -> None:
        self._failure = failure

    @asynccontextmanager
    async def __call__(self, host: str, way: Way) -> AsyncIterator[object]:
        del host, way
        raise self._failure
        yield


@pytest.mark.parametrize(
    ("failure", "held", "taken"),
    [
        (AuthenticationFailed("refused"), (), True),
        (AuthenticationFailed("refused"), (KEY,), False),
        (LinkLost("away"), (), False),
    ],
)
def test_a_key_that_does_not_open_the_door_is_taken_away_again(
    failure: Exception, held: tuple[str, ...], *, taken: bool
) -> None:
    answers = spec(1, security={"ssh": {"install_key": "generate"}})
    facts = msgspec.structs.replace(fresh(1), login=msgspec.structs.replace(LOGIN, keys=held))
    goal = goals(answers, {"bzzz-1": facts}, replace(KNOWN, ssh_key=KEY))["bzzz-1"]
    log: list[str] = []
    work = Work(
        cluster=OpenCluster(cluster_id="d" * 32, issuers=None, secrets={}),
        releases={},
        say=lambda _host, _text: None,
        fresh=Logins(failure),
    )
    with pytest.raises(type(failure)):
        asyncio.run(distribute_key.verify(FakeHost("bzzz-1", number=1, log=log), goal, work))
    assert (f"bzzz-1: remove the key from {LOGIN.file}" in log) is taken
