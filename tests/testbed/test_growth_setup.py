"""A cluster that grows and shrinks from setup, host by host, and loses nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.testbed import cli, docker_daemon, faults
from tests.testbed.operators import Operator, changes, failures, planned, until
from tests.testbed.state import State

pytestmark = [pytest.mark.testbed, pytest.mark.journey, pytest.mark.timeout(900)]
VALUE = "/var/tmp/value"  # noqa: S108  on a host of ours
RUNNING = "systemctl show -p MainPID --value bzzz-agent bzzz-fabric"


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    bed = State(tmp_path_factory.mktemp("growth"))
    cli.up(bed, count=5, name="grow", suite="bookworm")
    home = tmp_path_factory.mktemp("home")
    yield Operator(bed, home, home / "answers.yaml")
    cli.down(bed)


def all_vote(operator: Operator, names: list[str], voters: int) -> bool:
    """Return whether each host says that so many vote."""
    said = [operator.status(name).get("fabric", {}).get("voters") for name in names]
    return said == [voters] * len(names)


def test_a_cluster_grows_from_one_to_five_and_loses_nothing(operator: Operator) -> None:
    operator.answer(["grow-1"])
    operator.apply()
    before = operator.on("grow-1", RUNNING)
    operator.on("grow-1", f"echo precious >{VALUE}")
    operator.agent("grow-1", "dht", "put", "kept", VALUE)
    for count, voters in ((2, 1), (3, 3), (5, 5)):
        names = [f"grow-{number}" for number in range(1, count + 1)]
        operator.answer(names)
        code, events = operator.setup("--plan")
        assert code == 0
        if count == 2:
            said = " ".join(event.get("message", "") for event in events)
            assert "two nodes tolerate no loss" in said
        grown = operator.apply()
        assert changes(grown)["grow-1"] == 0, planned(grown)
        until(
            partial(all_vote, operator, names, voters),
            within_s=90,
            why=f"{count} hosts do not have {voters} voters",
        )
        again = operator.apply()
        assert set(changes(again).values()) == {0}, (count, planned(again))
    assert operator.on("grow-1", RUNNING) == before, "the first host was never restarted"
    for name in ("grow-1", "grow-5"):
        assert operator.agent(name, "dht", "get", "kept") == "precious"


def members(operator: Operator, host: str) -> dict[str, str]:
    """Return the state of each node that is or was enrolled, as one host knows it."""
    listed = json.loads(operator.agent(host, "node", "list", "--json"))["nodes"]
    return {one["name"]: one["state"] for one in listed}


def test_a_host_that_the_answers_merely_leave_out_stops_setup(operator: Operator) -> None:
    operator.answer(["grow-1", "grow-2", "grow-3", "grow-4"])
    code, events = operator.setup("--apply", "--yes")
    assert code == 3
    (error,) = [event for event in events if event.get("severity") == "error"]
    assert "--remove grow-5" in error["fix"]


def test_a_host_that_is_removed_leaves_and_is_clean(operator: Operator) -> None:
    events = operator.apply("--remove", "grow-5")
    assert changes(events)["grow-5"] > 1
    assert members(operator, "grow-1")["grow-5"] == "revoked"
    assert operator.on("grow-5", "ls -d /etc/bzzz /opt/bzzz /var/lib/bzzz 2>/dev/null") == ""
    assert changes(operator.apply()) == dict.fromkeys(("grow-1", "grow-2", "grow-3", "grow-4"), 0)


def test_a_dead_host_is_replaced_by_another(operator: Operator) -> None:
    """The machine that was removed comes back as a new node in the place of one that died."""
    docker = docker_daemon.find_or_start()
    faults.kill(docker, operator.bed.host("grow-4"))
    operator.answer(["grow-1", "grow-2", "grow-3", "grow-5"])
    until(
        lambda: not operator.status("grow-1").get("fabric", {}).get("voters", 0) > 3,
        within_s=90,
        why="the voter set was not made smaller",
    )
    events = operator.apply("--replace", "grow-4=grow-5", "--dead")
    assert changes(events)["grow-4"] == 1
    assert members(operator, "grow-5")["grow-4"] == "revoked"
    assert operator.agent("grow-5", "dht", "get", "kept") == "precious"


def test_the_kit_lets_another_machine_go_on(operator: Operator, tmp_path: Path) -> None:
    kit, phrase = tmp_path / "kit", tmp_path / "passphrase"
    phrase.write_text("correct horse battery\n")
    phrase.chmod(0o600)
    words = (str(kit), "--passphrase", f"file:{phrase}")
    made = operator.types("kit", "export", *words, "--answers", str(operator.answers))
    assert made.returncode == 0, made.stderr
    elsewhere = replace(operator, home=tmp_path / "elsewhere")
    taken = elsewhere.types("kit", "import", *words)
    assert taken.returncode == 0, taken.stderr
    again = elsewhere.types("kit", "import", *words)
    assert again.returncode == 2
    events = elsewhere.apply()
    assert set(changes(events).values()) == {0}, planned(events)
    assert events[-1]["operator_changes"] == 0


def test_one_host_is_uninstalled_while_the_others_go_on(operator: Operator) -> None:
    code, events = operator.setup("--uninstall", "--hosts", "grow-3", "--yes")
    assert code == 0, failures(events)
    assert members(operator, "grow-1")["grow-3"] == "revoked"
    assert operator.agent("grow-1", "dht", "get", "kept") == "precious"
