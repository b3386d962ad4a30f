"""The demo's side of its doors: starts their process, tells it who is apart, ends it."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from typing import Final

import msgspec

from bzzz_core.demo.doors import Door
from bzzz_core.demo.switching import READY, NodeProcesses, Order, Plan
from bzzz_core.errors import BrokerError
from bzzz_core.process import die_with_parent

_START_S_MAX: Final = 20.0
_ORDER_S_MAX: Final = 10.0
_STOP_S_MAX: Final = 5.0


class Switchboard:
    """The running doors of one demo."""

    def __init__(self, process: Process) -> None:
        """Take a started process; use `start`."""
        self._process = process
        self._number = 0
        self._ordering = asyncio.Lock()

    @classmethod
    async def start(cls, doors: tuple[Door, ...]) -> Switchboard:
        """Open the doors and return once they are.

        Raises:
            BrokerError: They could not be opened.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "bzzz_core.demo.switching"),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
        board = cls(process)
        try:
            await board._tell(Plan(doors=doors), expected=READY, limit_s=_START_S_MAX)
        except BaseException:
            await board.stop()
            raise
        return board

    @property
    def pid(self) -> int:
        """Return the process id of the doors."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Return whether the doors are open."""
        return self._process.returncode is None

    async def draw(self, islands: Mapping[str, int], *, nodes: Mapping[str, NodeProcesses]) -> None:
        """Let nodes hear only those of their own island; returns once that is so.

        Raises:
            BrokerError: The doors' process has ended or does not answer.
        """
        async with self._ordering:
            self._number += 1
            order = Order(number=self._number, nodes=dict(nodes), islands=dict(islands))
            await self._tell(order, expected=str(self._number), limit_s=_ORDER_S_MAX)

    async def stop(self) -> None:
        """Close the doors."""
        process = self._process
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(_STOP_S_MAX):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _tell(self, message: msgspec.Struct, *, expected: str, limit_s: float) -> None:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None, "the process was started with a pipe"
        assert stdout is not None, "the process was started with a pipe"
        try:
            async with asyncio.timeout(limit_s):
                stdin.write(msgspec.json.encode(message) + b"\n")
                await stdin.drain()
                answer = (await stdout.readline()).decode("ascii", "replace").strip()
        except (OSError, TimeoutError) as exc:
            raise BrokerError(f"what connects the demo's nodes does not answer: {exc}") from exc
        if answer != expected:
            assert self._process.stderr is not None, "the process was started with a pipe"
            why = await self._process.stderr.read(2_000) if not answer else answer.encode()
            words = why.decode("utf-8", "replace").strip()
            raise BrokerError(f"what connects the demo's nodes has ended: {words}")
