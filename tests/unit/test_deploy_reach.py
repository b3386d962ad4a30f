"""Who reaches whom: what hosts say of their connections, as a value."""

from __future__ import annotations

import asyncio

from bzzz_core.deploy.reach import Matrix, Node, Reached, State, reach
from tests.fakes.deploy_host import FakeHost


def asked(said: str) -> Matrix:
    log: list[str] = []

    def answer(what: str) -> bytes | None:
        return said.encode() if "connect" in what else None

    nodes = [
        Node(
            name=name,
            host=FakeHost(name, number=number, log=log, answer=answer),
            address=f"10.0.0.{number}",
            python="/usr/bin/python3",
        )
        for number, name in enumerate(("one", "two"), 1)
    ]
    return asyncio.run(reach(nodes[:1], {"one": [1], "two": [4222, 6222]}, nodes))


def test_each_connection_is_a_cell() -> None:
    matrix = asked("10.0.0.2 4222 open 350\n10.0.0.2 6222 silent 0\n")
    assert matrix.cells == (
        Reached(source="one", target="two", port=4222, state=State.OPEN, rtt_us=350),
        Reached(source="one", target="two", port=6222, state=State.SILENT),
    )
    assert matrix.sentence() == "one does not reach two on port 6222: silent"


def test_what_a_host_does_not_say_has_failed() -> None:
    matrix = asked("10.0.0.9 4222 open 1\n10.0.0.2 4222 failed:EHOSTUNREACH 0\nnonsense")
    assert not matrix.whole
    assert [cell.state for cell in matrix.cells] == [State.FAILED, State.FAILED]
    assert matrix.cells[0].detail == "EHOSTUNREACH"


def test_a_port_with_its_own_service_is_reached_too() -> None:
    assert asked("10.0.0.2 4222 other 9\n10.0.0.2 6222 open 9").whole
