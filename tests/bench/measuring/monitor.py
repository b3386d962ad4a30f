"""What the whole monitor costs, as an operator runs it: on a terminal, of an agent on loopback."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from bzzz_core.api.documents import Status
from tests.fakes import processes, statuses
from tests.fakes.pty_terminal import PtyTerminal
from tests.fakes.status_server import StatusServer, write_demo_state

TRUECOLOR: Final = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
SIZE: Final = (120, 40)
_STARTS: Final = 3
_SETTLE_S: Final = 2.5
_WAIT_S: Final = 60


@dataclass(frozen=True, slots=True)
class Watched:
    """What a monitor costs while it watches."""

    bytes_s: float
    """Sent to the terminal, in bytes a second."""
    cpu_ms_s: float
    """CPU milliseconds a second."""
    resident_mb: float


def first_frame_ms() -> float:
    """Return the least CPU milliseconds from the start to a screen with everything on it."""
    spent: list[float] = []

    def body(directory: Path, _server: StatusServer) -> None:
        for _ in range(_STARTS):
            with _monitor(directory) as terminal:
                while b"events" not in terminal.output:
                    terminal.read(0.005)
                spent.append(terminal.cpu_ms())

    _beside(statuses.status(), body)
    return min(spent)


def quiet(*, seconds: float) -> Watched:
    """Watch a cluster of three in which nothing happens."""
    found: list[Watched] = []

    def body(directory: Path, _server: StatusServer) -> None:
        with _monitor(directory) as terminal:
            terminal.until(b"healthy", _WAIT_S)
            found.append(_watch(terminal, seconds))

    _beside(statuses.status(), body)
    return found[0]


def _each_second(count: int) -> Iterator[Status]:
    """Yield a status for each second: a tenth of the members with another load, all heard."""
    members = [statuses.member(number) for number in range(count)]
    for second in itertools.count():
        for number in range(count):
            member = members[number]
            cpu = member.cpu_percent
            if number % 10 == second % 10:
                cpu = 30.0 + second % 70
            members[number] = msgspec.structs.replace(
                member, cpu_percent=cpu, heard_ms_ago=100 + second, uptime_s=1_000 + second
            )
        yield statuses.status(tuple(members))


def busy(count: int, *, seconds: float, sort: str = "") -> Watched:
    """Watch all nodes of a cluster of `count`, of which a tenth change each second.

    Args:
        count: How many nodes.
        seconds: How long.
        sort: What the operator has sorted them by, as `cpu desc`; empty: nothing.
    """
    found: list[Watched] = []
    seconds_of_it = _each_second(count)

    def body(directory: Path, server: StatusServer) -> None:
        over = threading.Event()
        changing = threading.Thread(target=_change, args=(server, seconds_of_it, over))
        chosen = directory / "config" / "bzzz" / "views.yaml"
        chosen.parent.mkdir(parents=True)
        chosen.write_text(f"nodes: {{sort: {sort}}}\n" if sort else "")
        with _monitor(directory, "--view", "nodes") as terminal:
            terminal.until(b"bzzz-9", _WAIT_S)
            changing.start()
            found.append(_watch(terminal, seconds))
            over.set()
            changing.join()

    _beside(next(seconds_of_it), body)
    return found[0]


def beside_an_agent(directory: Path, status: Status, body: Callable[[StatusServer], None]) -> None:
    """Serve a status while `body` runs programs in another thread; `directory` is the demo's."""

    async def run() -> None:
        async with StatusServer(status) as server:
            write_demo_state(directory, {"bzzz-1": server.url})
            await asyncio.to_thread(body, server)

    asyncio.run(run())


def _beside(status: Status, body: Callable[[Path, StatusServer], None]) -> None:
    """Serve a status beside programs with a home of their own, in which nobody chose anything."""
    with tempfile.TemporaryDirectory(prefix="bzzz-bench-") as place:
        directory = Path(place)
        beside_an_agent(directory, status, lambda server: body(directory, server))


@contextmanager
def _monitor(directory: Path, *more: str) -> Iterator[PtyTerminal]:
    target = ("monitor", "--demo-state", str(directory))
    home = {"XDG_CONFIG_HOME": str(directory / "config")}
    terminal = PtyTerminal(*target, *more, size=SIZE, **home, **TRUECOLOR)
    try:
        yield terminal
    finally:
        terminal.close()


def _watch(terminal: PtyTerminal, seconds: float) -> Watched:
    terminal.read(_SETTLE_S)
    before_ms = terminal.cpu_ms()
    sent = len(terminal.read(seconds))
    return Watched(
        bytes_s=sent / seconds,
        cpu_ms_s=(terminal.cpu_ms() - before_ms) / seconds,
        resident_mb=processes.resident_mb(terminal.process.pid),
    )


def _change(server: StatusServer, coming: Iterator[Status], over: threading.Event) -> None:
    """Let a second pass in the cluster each second."""
    while not over.wait(1.0):
        server.status = next(coming)
