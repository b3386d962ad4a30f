"""Limits, hardening and ports on a real host: what systemd makes of our units."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.testbed import cli
from tests.testbed.operators import Operator
from tests.testbed.state import State

pytestmark = [pytest.mark.testbed, pytest.mark.journey, pytest.mark.timeout(400)]
SCORE_MAX = 2.5
"""Of `systemd-analyze security`, where 10 is an open door; docs/threat-model.md has the figures."""
SHOW = "systemctl show -p {} --value {}.service"


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    bed = State(tmp_path_factory.mktemp("limits"))
    cli.up(bed, count=1, name="lim", suite="bookworm")
    yield Operator(bed, tmp_path_factory.mktemp("home"))
    cli.down(bed)


def limited(operator: Operator, limits: str) -> tuple[int, list[dict[str, Any]]]:
    """Run setup with these limits."""
    text = operator.bed.answers.read_text()
    operator.bed.answers.write_text(text + f"resources: {{limits: {limits}}}\n")
    try:
        return operator.setup("--apply", "--yes")
    finally:
        operator.bed.answers.write_text(text)


def shown(operator: Operator, what: str, unit: str) -> str:
    """Return a property of a running unit."""
    return operator.on("1", SHOW.format(what, unit))


def test_a_taken_port_is_named_and_another_offered(operator: Operator) -> None:
    listen = "import socket,time; s=socket.create_server(('', 4222)); time.sleep(99)"
    operator.on("1", f'systemd-run --unit=squatter /usr/bin/python3 -c "{listen}"; sleep 0.5')
    code, events = operator.setup("--plan")
    operator.on("1", "systemctl stop squatter")
    (found,) = [e for e in events if e.get("severity") == "error"]
    assert code == 3
    assert re.search(
        r"port 4222 \(fabric_client\) is taken by .*squatter.service", found["message"]
    ), found
    assert "4223 is free on each" in found["fix"]


def test_what_does_not_fit_is_refused_with_the_numbers(operator: Operator) -> None:
    code, events = limited(operator, "{agent: {cpu_percent_max: 900000}}")
    errors = [e["message"] for e in events if e.get("severity") == "error"]
    assert code == 3
    assert any("900000 %, but the host's processors" in message for message in errors), errors


def test_limits_hold_and_only_the_changed_service_restarts(operator: Operator) -> None:
    code, events = limited(operator, "{agent: {tasks_max: 300, cpus: '0'}}")
    assert code == 0, [e for e in events if e.get("status") == "failed"] or events[-3:]
    assert shown(operator, "TasksMax", "bzzz-agent") == "300"
    assert shown(operator, "CPUAffinity", "bzzz-agent") == "0"
    before = shown(operator, "MainPID", "bzzz-agent"), shown(operator, "MainPID", "bzzz-fabric")
    code, events = limited(operator, "{agent: {tasks_max: 320, cpu_percent_max: 80, cpus: '0'}}")
    assert code == 0, events[-3:]
    plan = next(event for event in events if event["event"] == "plan")
    assert [change["action"] for change in plan["hosts"]["lim-1"]] == ["update", "restart"]
    assert shown(operator, "TasksMax", "bzzz-agent") == "320"
    assert shown(operator, "CPUQuotaPerSecUSec", "bzzz-agent") == "800ms"
    after = shown(operator, "MainPID", "bzzz-agent"), shown(operator, "MainPID", "bzzz-fabric")
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_limits_that_are_no_longer_asked_for_go(operator: Operator) -> None:
    code, events = operator.setup("--apply", "--yes")
    assert code == 0, events[-3:]
    assert shown(operator, "TasksMax", "bzzz-agent") == "512"
    assert operator.on("1", "ls -d /etc/systemd/system/bzzz-agent.service.d") == ""
    code, events = operator.setup("--apply", "--yes")
    assert (code, [host["changes"] for host in events[-1]["hosts"]]) == (0, [0])


def test_the_units_are_clean_and_closed(operator: Operator) -> None:
    for unit in ("bzzz-agent", "bzzz-fabric"):
        said = operator.on("1", f"systemd-analyze verify {unit}.service 2>&1 | grep -i bzzz; true")
        assert said == "", said
        line = operator.on("1", f"systemd-analyze security --no-pager {unit}.service | tail -n 1")
        score = float(line.split(":")[1].split()[0])
        assert score <= SCORE_MAX, line
