"""A cluster that grows from setup, host by host, and loses nothing: 1 -> 2 -> 3 -> 5."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.testbed import cli
from tests.testbed.keepers import Operator, changes, planned, until
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
