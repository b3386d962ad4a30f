"""Setup without a screen: exit codes, the last event, and lines a person can read."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bzzz_core.deploy import headless, lines
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.events import (
    Event,
    Finding,
    HostResult,
    Planned,
    Result,
    Status,
    Step,
    Summary,
)
from bzzz_core.deploy.report import Report
from bzzz_core.deploy.ssh.host_keys import KnownHosts
from bzzz_core.deploy.ssh.login import Login
from bzzz_core.deploy.ssh.session import SshHost
from bzzz_core.errors import HostUnreachable

ANSWERS = "hosts: [{name: a, address: 10.0.0.1}, {name: b, address: 10.0.0.2}]\n"


def run(tmp_path: Path, text: str, **options: Any) -> tuple[int, list[dict[str, Any]]]:
    answers = tmp_path / "answers.yaml"
    answers.write_text(text)
    out = io.StringIO()
    report = Report(out, as_json=True)
    code = headless.main(answers, report, **{"mode": "check", "base": tmp_path, **options})
    return code, [json.loads(line) for line in out.getvalue().splitlines()]


def test_wrong_answers_end_with_2_and_say_where(tmp_path: Path) -> None:
    code, events = run(tmp_path, ANSWERS + "clustr: {name: x}\n")
    assert code == 2
    assert "answers.yaml:2: clustr: unknown key; did you mean cluster?" in events[0]["message"]
    assert (events[-1]["event"], events[-1]["exit_code"]) == ("summary", 2)


def test_changing_hosts_needs_a_yes_from_somebody(tmp_path: Path) -> None:
    code, events = run(tmp_path, ANSWERS, mode="apply")
    assert code == 2
    assert [event["event"] for event in events] == ["error", "summary"]
    assert "--yes" in events[0]["message"]


def test_hosts_that_cannot_be_reached_end_with_3_and_are_all_named(tmp_path: Path) -> None:
    """Both are tried, although the first has failed."""

    @asynccontextmanager
    async def unreachable(login: Login, known_hosts: KnownHosts) -> AsyncIterator[SshHost]:
        del known_hosts
        raise HostUnreachable(f"{login.name}: no route")
        yield

    code, events = run(tmp_path, ANSWERS, open_session=unreachable)
    assert code == 3
    findings = {event["host"]: event["message"] for event in events if event["event"] == "finding"}
    assert findings == {"": findings[""], "a": "a: no route", "b": "b: no route"}
    assert [host["result"] for host in events[-1]["hosts"]] == ["not attempted"] * 2


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Step("a", "write_config", Status.UNCHANGED), []),
        (
            Step("a", "write_config", Status.CHANGED, 1_250, "wrote it"),
            ["a            write_config       changed 1.2s: wrote it"],
        ),
        (
            Finding("error", "python", "a", "too old", "install a newer one"),
            ["ERROR    a: too old -> install a newer one"],
        ),
        (
            Summary((HostResult("a", Result.CHANGED, 3),), 0, 2_000, leader="a", term=4),
            ["a            changed, 3 changes", "leader a, term 4", "exit 0 after 2.0s"],
        ),
        (
            Summary((HostResult("a", Result.CHANGED, 3, "its ports are NOT proved"),), 0, 0),
            ["a            changed, 3 changes: its ports are NOT proved", "exit 0"],
        ),
    ],
)
def test_events_as_lines(event: Event, expected: list[str]) -> None:
    assert lines.render(event) == expected


def test_a_plan_shows_what_differs_in_a_text() -> None:
    change = Change(
        phase="write_config",
        action="update",
        target="/etc/bzzz/agent.yaml",
        before="a: 1\nb: 2\n",
        after="a: 1\nb: 3\n",
        sentence="write the configuration",
    )
    shown = lines.render(Planned("f" * 64, "1.0", (), {"a": (change,), "b": ()}))
    assert shown[0] == "PLAN ffffffffffff, release 1.0"
    assert "             -b: 2" in shown
    assert "             +b: 3" in shown
    assert shown[-1] == "  b: no changes"
