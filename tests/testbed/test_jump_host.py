"""Hosts behind a jump host: setup and the monitor go through it, and there alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.testbed import cli
from tests.testbed.operators import Operator, changes, planned
from tests.testbed.state import State

pytestmark = [pytest.mark.testbed, pytest.mark.journey, pytest.mark.timeout(600)]
LOGINS = 'journalctl -q -u ssh -o cat | grep -c "^Accepted .* from {} port" || true'
BEHIND = ["jump-2", "jump-3"]


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    bed = State(tmp_path / "bed")
    cli.up(bed, count=3, name="jump", suite="bookworm")
    yield Operator(bed, tmp_path, tmp_path / "answers.yaml")
    cli.down(bed)


def test_hosts_behind_a_jump_host_become_a_cluster(operator: Operator) -> None:
    bed = operator.bed
    way = bed.host("jump-1").address
    here = f"{way.rpartition('.')[0]}.1"  # as which the hosts see this machine
    ssh = {**yaml.safe_load(bed.answers.read_text())["security"]["ssh"], "jump": f"operator@{way}"}
    operator.answer(BEHIND, security={"ssh": ssh})

    def logins(of: str) -> int:
        return sum(int(operator.on(name, LOGINS.format(of))) for name in BEHIND)

    straight = logins(here)
    assert straight >= len(BEHIND), "our own looks are not counted"
    operator.apply()
    again = operator.apply()
    assert set(changes(again).values()) == {0}, planned(again)
    members = operator.monitor()["members"]
    assert {(member["name"], member["state"]) for member in members} == {
        (name, "alive") for name in BEHIND
    }
    assert logins(way) > 2 * len(BEHIND), "setup twice, and the monitor at one of them"
    # Each host was asked twice since, for what counts and for this.
    assert logins(here) == straight + 2 * len(BEHIND), "somebody else came straight"
