"""The whole main path on real hosts: install, again, watch, lose the leader's host, get it back.

Everything goes through the programs that an operator types. Hosts have no way out, so whatever
needs the internet fails here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.testbed import cli, docker_daemon, faults
from tests.testbed.docker_daemon import Docker
from tests.testbed.operators import Operator, failures
from tests.testbed.state import State

pytestmark = [pytest.mark.testbed, pytest.mark.timeout(900)]
SETTLE_S_MAX = 180
SEARCHED = "/etc /opt /var /home /root /tmp /run"
STAMPS = """
find /etc/bzzz /etc/systemd/system/bzzz-*.service -not -type d -not -name voted \\
  -printf '%p %T+\\n' | sort
systemctl show -p MainPID --value bzzz-agent bzzz-fabric
"""
"""When each file was written, and which processes run. `voted` is written with a node's first vote,
whenever that is, and with it the time of its directory changes."""


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    bed = State(tmp_path_factory.mktemp("journey"))
    cli.up(bed, count=3, name="bzzz", suite="bookworm")
    yield Operator(bed, tmp_path_factory.mktemp("home"))
    cli.down(bed)


@pytest.fixture(scope="module")
def docker(operator: Operator) -> Docker:
    assert operator.bed.hosts()
    return docker_daemon.find_or_start()


@pytest.fixture(scope="module")
def installed(operator: Operator) -> list[dict[str, Any]]:
    """Install once for the file, and return the events."""
    code, events = operator.setup("--apply", "--yes")
    assert code == 0, failures(events)
    return events


def test_a_plan_changes_nothing(operator: Operator) -> None:
    code, events = operator.setup("--plan")
    assert code == 0, failures(events)
    plan = next(event for event in events if event["event"] == "plan")
    assert all(len(changes) > 10 for changes in plan["hosts"].values())
    assert operator.on("bzzz-1", "ls -d /etc/bzzz /opt/bzzz 2>/dev/null") == ""


def test_setup_installs_and_forms_a_cluster(installed: list[dict[str, Any]]) -> None:
    summary = installed[-1]
    assert summary["event"] == "summary"
    assert [host["result"] for host in summary["hosts"]] == ["changed"] * 3
    assert summary["leader"] in {"bzzz-1", "bzzz-2", "bzzz-3"}
    assert summary["term"] >= 1


def test_setup_again_changes_nothing(operator: Operator, installed: list[dict[str, Any]]) -> None:
    before = _stamps(operator)
    code, events = operator.setup("--apply", "--yes")
    assert code == 0, failures(events)
    summary = events[-1]
    assert [host["changes"] for host in summary["hosts"]] == [0, 0, 0], _planned(events)
    assert summary["operator_changes"] == 0
    assert _stamps(operator) == before, "nothing was written and nobody was restarted"
    assert summary["term"] >= installed[-1]["term"]  # They may elect again unaided.


@pytest.mark.usefixtures("installed")
def test_every_node_names_the_same_leader(operator: Operator) -> None:
    ask = "cd /tmp && runuser -u bzzz -- bzzz-agent status --json"
    views = [json.loads(operator.on(host.name, ask)) for host in operator.bed.hosts()]
    assert len({(view["leader"], view["term"]) for view in views}) == 1
    for view in views:
        assert {member["state"] for member in view["members"]} == {"alive"}


@pytest.mark.usefixtures("installed")
def test_keys_stay_on_their_node_and_secrets_are_private(operator: Operator) -> None:
    listing = operator.on("bzzz-1", "stat -c '%a %U %n' /etc/bzzz/secrets /etc/bzzz/secrets/*")
    modes = {line.split()[2].rpartition("/")[2]: line.split()[:2] for line in listing.splitlines()}
    assert modes.pop("secrets") == ["700", "bzzz"]
    assert set(map(tuple, modes.values())) == {("600", "bzzz")}
    assert "identity.key" in modes
    mine = [path.read_bytes() for path in operator.home.rglob("*") if path.is_file()]
    key = operator.on("bzzz-1", "sed -n 2p /etc/bzzz/secrets/identity.key")
    assert len(key) > 20
    assert not any(key.encode() in content for content in mine)


@pytest.mark.usefixtures("installed")
def test_the_token_is_in_its_own_file_and_nowhere_else(operator: Operator) -> None:
    """In no log, unit, process, journal or leftover of the upload, here or there."""
    token = next(operator.home.rglob("api-token")).read_text().strip()
    for path in operator.home.rglob("*"):
        if path.is_file() and path.name != "api-token":
            assert token.encode() not in path.read_bytes(), path
    for host in operator.bed.hosts():
        found = operator.on(
            host.name,
            f'read -r token </etc/bzzz/secrets/api-token; grep -rlF -- "$token" {SEARCHED}'
            ' 2>/dev/null; journalctl --no-pager | grep -cF -- "$token"',
        )
        assert found.splitlines() == ["/etc/bzzz/secrets/api-token", "0"]


def test_the_leaders_host_is_lost_and_comes_back(
    operator: Operator, docker: Docker, installed: list[dict[str, Any]]
) -> None:
    before = _until(operator, lambda view: view.get("leader") is not None)
    assert before["term"] >= installed[-1]["term"]
    lost = operator.bed.host(before["leader"])
    faults.pause(docker, lost)
    try:
        after = _until(
            operator,
            lambda view: (
                view.get("leader") not in {None, lost.name}
                and view["term"] > before["term"]
                and _states(view)[lost.name] == "dead"
            ),
        )
    finally:
        faults.heal(docker, operator.bed, lost)
    healed = _until(operator, lambda view: set(_states(view).values()) == {"alive"})
    assert healed["term"] >= after["term"]
    code, events = operator.setup("--apply", "--yes")
    assert (code, [host["changes"] for host in events[-1]["hosts"]]) == (0, [0, 0, 0])


@pytest.mark.usefixtures("installed")
def test_a_host_that_reboots_comes_back_unaided(operator: Operator, docker: Docker) -> None:
    view = _until(operator, lambda view: view.get("leader") is not None)
    follower = next(host for host in operator.bed.hosts() if host.name != view["leader"])
    faults.reboot(docker, operator.bed, follower)
    _until(operator, lambda view: set(_states(view).values()) == {"alive"})
    _, events = operator.setup("--apply", "--yes")
    assert [host["changes"] for host in events[-1]["hosts"]] == [0, 0, 0], _planned(events)


@pytest.mark.usefixtures("installed")
def test_another_operator_is_refused(operator: Operator, tmp_path: Path) -> None:
    """Whoever has not created the cluster cannot take it over by running setup."""
    code, events = Operator(operator.bed, tmp_path).setup("--apply", "--yes")
    assert code == 3
    checks = {event["check"] for event in events if event["event"] == "finding"}
    assert "cluster" in checks


def _stamps(operator: Operator) -> dict[str, str]:
    return {host.name: operator.on(host.name, STAMPS) for host in operator.bed.hosts()}


def _until(operator: Operator, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + SETTLE_S_MAX
    view: dict[str, Any] = {}
    while time.monotonic() < deadline:
        view = operator.monitor()
        if view and holds(view):
            return view
        time.sleep(0.3)
    raise AssertionError(f"the cluster did not settle in {SETTLE_S_MAX} s: {view}")


def _states(view: dict[str, Any]) -> dict[str, str]:
    return {member["name"]: member["state"] for member in view["members"]}


def _planned(events: list[dict[str, Any]]) -> list[str]:
    plans = [event["hosts"] for event in events if event["event"] == "plan"]
    return [change["sentence"] for plan in plans for host in plan.values() for change in host]
