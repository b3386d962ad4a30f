"""What watchers tell a detached run: lines of JSON at the end of a file that the engine reads.

A file, and no socket: it takes orders before the engine is up, needs nobody at its other end, and
lies where only its owner can write (ADR 0046).
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Final

import msgspec

from bzzz_core.deploy.detached.place import Run
from bzzz_core.deploy.headless import Work
from bzzz_core.deploy.steering import Cut, Order, Steering
from bzzz_core.errors import BzzzError
from bzzz_core.ports import Clock

_LOOK_MS: Final = 200
ALONE_MS: Final = 600_000
"""So long a run waits for a word about hosts that failed when nobody watches it any more."""
_READ_BYTES_MAX: Final = 65_536


def give(run: Run, order: Order) -> None:
    """Tell a run something; if it has ended, nobody hears it.

    Raises:
        OSError: The file is gone.
    """
    descriptor = os.open(run.orders, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.write(descriptor, msgspec.json.encode(order) + b"\n")  # one write: lines never mix
    finally:
        os.close(descriptor)


async def while_told(run: Run, steering: Steering, clock: Clock, work: Work) -> int:
    """Do the work; meanwhile a run's orders are passed on to who steers it.

    Raises:
        BzzzError: As `work`.
    """
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(_listen(run, steering, clock))
        outcome: int | BzzzError
        try:
            outcome = await work()
        except BzzzError as exc:
            outcome = exc  # a group would wrap it
        listening.cancel()
    if isinstance(outcome, BzzzError):
        raise outcome
    return outcome


async def _listen(run: Run, steering: Steering, clock: Clock) -> None:
    seen_ms = clock.now_ms()
    rest = b""
    with run.orders.open("rb") as file:
        while True:
            *lines, rest = (rest + file.read(_READ_BYTES_MAX)).split(b"\n")
            for line in lines:
                _take(line, steering)
            if steering.hold:
                seen_ms = clock.now_ms() if run.attended else seen_ms
                if clock.now_ms() - seen_ms > ALONE_MS:
                    steering.release()
            await clock.sleep_ms(_LOOK_MS)


def _take(line: bytes, steering: Steering) -> None:
    try:
        order = msgspec.json.decode(line, type=Order)
    except msgspec.DecodeError:
        return
    steering.take(order)
    if isinstance(order, Cut):
        # Whoever works is told as by Ctrl-C; after an order to stop, one is enough.
        signal.raise_signal(signal.SIGINT)
