"""The account's directories: logs that an uninstall kept are handed to the new user."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path
from typing import cast

import msgspec
import pytest

from bzzz_core.deploy import layout
from bzzz_core.deploy.facts.host import Kind, PathFact
from bzzz_core.deploy.phases import create_account
from bzzz_core.deploy.work import Work
from tests.fakes.deploy_goals import converged, goals, spec
from tests.fakes.deploy_host import FakeHost

LOGS = "/var/log/bzzz"
CHOWN = 'shift 3; printf "%s\\n" "$@" >>"$GIVEN"'
RUNUSER = "case $* in *nats.log) exit 1 ;; *) exit 0 ;; esac"


def run(tmp_path: Path, script: str, *arguments: object, **tools: str) -> tuple[int, str, set[str]]:
    """Run a script with tools of ours before the system's; return what was given away, too."""
    programs, given = tmp_path / "programs", tmp_path / "given"
    programs.mkdir(exist_ok=True)
    given.write_text("")
    for name, lines in tools.items():
        (programs / name).write_text(f"#!/bin/sh\n{lines}\n")
        (programs / name).chmod(0o700)
    done = subprocess.run(
        ["sh", "-c", script, "bzzz", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
        env={"PATH": f"{programs}:{os.environ['PATH']}", "GIVEN": str(given)},
    )
    return done.returncode, done.stderr, {Path(line).name for line in given.read_text().split()}


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    logs = tmp_path / "logs"
    (logs / "old").mkdir(parents=True)
    for name in ("agent.log", "nats.log", "old/agent.log.1"):
        (logs / name).write_text("kept\n")
    (tmp_path / "foreign").write_text("somebody else's\n")
    (logs / "twice").hardlink_to(tmp_path / "foreign")
    (logs / "elsewhere").symlink_to(tmp_path / "foreign")
    return logs


@pytest.mark.skipif(os.geteuid() != 0, reason="kept logs belong to root")
def test_kept_logs_are_handed_over_and_nothing_that_is_elsewhere_too(
    tmp_path: Path, logs: Path
) -> None:
    (logs / layout.KEPT_LOGS).touch()
    code, said, given = run(
        tmp_path, create_account._KEPT_LOGS, logs, layout.KEPT_LOGS, chown=CHOWN, id="echo 9"
    )
    assert (code, said) == (0, "")
    assert given == {"old", "agent.log", "nats.log", "agent.log.1"}
    assert not (logs / layout.KEPT_LOGS).exists(), "what root puts there now is not ours"


def test_a_directory_without_the_mark_keeps_its_owners(tmp_path: Path, logs: Path) -> None:
    script = create_account._KEPT_LOGS
    assert run(tmp_path, script, logs, layout.KEPT_LOGS, chown=CHOWN) == (0, "", set())


def test_a_log_that_the_account_cannot_write_to_is_named_with_its_owner(
    tmp_path: Path, logs: Path
) -> None:
    """The broker would end at once with each start, and nobody would look for that in its log."""
    code, said, _ = run(tmp_path, create_account._TRY, logs, runuser=RUNUSER)
    assert code == 1
    assert said.startswith(f"{logs}/nats.log belongs to ")
    assert "move it away" in said


def test_logs_are_handed_over_with_their_directory_alone() -> None:
    assert "hand over logs that were kept" in applied(
        PathFact(Kind.DIRECTORY, "755", "root", "root")
    )
    assert applied(PathFact(Kind.DIRECTORY, "750", "bzzz", "bzzz")) == []


def test_kept_logs_are_handed_over_before_their_directory() -> None:
    """A run that was cut off in between finds the directory wrong still, and goes on."""
    done = applied(PathFact(Kind.DIRECTORY, "755", "root", "root"))
    assert done.index("hand over logs that were kept") < done.index(f"create {LOGS}")


@pytest.mark.skipif(os.geteuid() != 0, reason="what is above has to belong to root")
@pytest.mark.parametrize(
    "script", [create_account._DIRECTORY, create_account._KEPT_LOGS], ids=["make", "hand over"]
)
def test_nothing_is_done_below_what_others_may_exchange(
    tmp_path: Path, logs: Path, script: str
) -> None:
    (logs / layout.KEPT_LOGS).touch()
    tools = {
        "id": "echo 9",
        "chown": CHOWN,
        "install": f"shift 8; {CHOWN.removeprefix('shift 3; ')}",
    }

    def refusal(path: Path) -> str:
        second = layout.KEPT_LOGS if script is create_account._KEPT_LOGS else "750"
        code, said, given = run(tmp_path / "own", script, path, second, "root", "root", **tools)
        assert (code, given) == ((66, set()) if said else (0, given))
        assert said or given
        return said

    (tmp_path / "own").mkdir()
    tmp_path.chmod(0o777)
    assert "anybody may write into" in refusal(logs)
    tmp_path.chmod(0o1777)
    assert refusal(logs) == ""
    (logs / layout.KEPT_LOGS).touch()
    through = tmp_path / "link"
    through.symlink_to(tmp_path)
    os.lchown(through, 65_534, 65_534)
    assert "does not belong to root" in refusal(through / "logs")
    assert "is a symbolic link" in refusal(_link(tmp_path / "last", logs))


def _link(path: Path, target: Path) -> Path:
    path.symlink_to(target)
    return path


def applied(logs: PathFact) -> list[str]:
    """Return what is done on a host that has this as its directory of logs."""
    facts = converged(spec(1))["bzzz-1"]
    facts = msgspec.structs.replace(facts, paths={**(facts.paths or {}), LOGS: logs})
    (goal,) = goals(spec(1), {"bzzz-1": facts}).values()
    done: list[str] = []
    host = FakeHost("bzzz-1", number=1, log=done)
    changes = create_account.plan(goal)
    asyncio.run(create_account.apply(host, goal, changes, cast("Work", None)))
    return [one.removeprefix("bzzz-1: ") for one in done]
