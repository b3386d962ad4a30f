"""The process that holds a demo's doors: orders come in on standard input, one JSON object a line.

It says `ready`, then answers each order with its number once it is carried out. It ends when its
input does or when its parent dies, and takes every connection with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from bzzz_core.demo.doors import Door, Switch
from bzzz_core.telemetry.processes import local_ports

READY: Final = "ready"
_LINE_BYTES_MAX: Final = 1_048_576


class NodeProcesses(msgspec.Struct, frozen=True, kw_only=True):
    """The processes that open connections for one node."""

    agent: int
    broker_pid_file: str
    """Read each time, for an agent may start its broker anew."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: which doors there are."""

    doors: tuple[Door, ...]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Any further line: how things are from now on."""

    number: int
    nodes: dict[str, NodeProcesses]
    islands: dict[str, int]


class _Tracer:
    """Finds the node behind a connection."""

    def __init__(self) -> None:
        self.nodes: Mapping[str, NodeProcesses] = {}

    async def locate(self, ports: frozenset[int]) -> Mapping[int, str]:
        """Return {port a connection comes from: node} for what leads to these ports."""
        return await asyncio.to_thread(_locate, dict(self.nodes), ports)


def _locate(nodes: Mapping[str, NodeProcesses], ports: frozenset[int]) -> Mapping[int, str]:
    owners: dict[int, str] = {}
    for name, processes in nodes.items():
        owners[processes.agent] = name
        with contextlib.suppress(OSError, ValueError):
            owners[int(Path(processes.broker_pid_file).read_text())] = name
    found = local_ports(tuple(owners), towards=ports)
    return {port: owners[pid] for port, pid in found.items()}


async def _obey(switch: Switch, tracer: _Tracer, orders: asyncio.StreamReader) -> None:
    while line := await orders.readline():
        order = msgspec.json.decode(line, type=Order)
        tracer.nodes = order.nodes
        await switch.draw(order.islands)
        _say(str(order.number))


def _say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


async def _run() -> None:
    orders = asyncio.StreamReader(limit=_LINE_BYTES_MAX)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    plan = msgspec.json.decode(await orders.readline(), type=Plan)
    tracer = _Tracer()
    switch = Switch(plan.doors, locate=tracer.locate)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(switch.run(ready=lambda: _say(READY)))
        await _obey(switch, tracer, orders)
        serving.cancel()


def main() -> None:
    """Serve until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the demo, which then ends us.
    try:
        asyncio.run(_run())
    except* OSError as group:
        sys.stderr.write(f"{group.exceptions[0]}\n")
        os._exit(1)


if __name__ == "__main__":
    main()
