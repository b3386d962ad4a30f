"""What a tick of the whole nodes view costs, from event to paint, and what a key costs.

Each measurement has a home of its own: an order that somebody chose once would be measured instead.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from unittest.mock import patch

import msgspec
from textual.pilot import Pilot

from bzzz_core.api import event_documents as events
from bzzz_tui.store import Heard
from bzzz_tui.widgets.live_table import LiveTable
from screens.app import BzzzApp
from tests.fakes import statuses
from tests.tui.conftest import FrozenClock, HandFeed, app_with
from tests.tui.test_overview import fed

TICKS = 10
CHANGED = 0.1
SIZE = (120, 40)
KEYS = ("j", "G", "pagedown", "space", "W", "l")
"""Cursor down, to the end, a page; mark; wider; other columns."""


def raw(document: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(document))


def whole(count: int, clock: FrozenClock) -> Heard:
    """A snapshot of `count` nodes."""
    members = tuple(statuses.member(n, voter=n < 6, cpu=n % 100) for n in range(1, count + 1))
    status = statuses.status(members)
    message = events.Snapshot(
        epoch="e",
        revision=1,
        at=status.at,
        node=status.node,
        node_id=status.node_id,
        version=status.version,
        documents={
            "status": {"self": raw(msgspec.structs.replace(status, members=()))},
            "members": {member.node_id: raw(member) for member in members},
        },
    )
    return Heard(source="bzzz-1", message=message, received_ms=clock.ms)


def change(count: int, clock: FrozenClock, dice: random.Random) -> Heard:
    """A tenth of the nodes with another load."""
    numbers = dice.sample(range(1, count + 1), int(count * CHANGED))
    members = (statuses.member(n, voter=n < 6, cpu=dice.randint(0, 99)) for n in numbers)
    message = events.Delta(
        epoch="e",
        revision=2,
        previous=1,
        at="2026-11-21T12:00:01.000Z",
        changed={"members": {member.node_id: raw(member) for member in members}},
    )
    return Heard(source="bzzz-1", message=message, received_ms=clock.ms)


def on_nodes(count: int, body: Callable[[Pilot[int], HandFeed, FrozenClock], object]) -> None:
    """Run `body` in the nodes view of `count` nodes, as it is when nobody has chosen anything."""
    clock, feed = FrozenClock(), HandFeed()
    feed.first = [whole(count, clock)]
    app: BzzzApp = app_with(lambda a: a.watch_cluster(feed.open, view="nodes"), clock)

    async def run() -> None:
        async with app.run_test(size=SIZE) as pilot:
            await fed(pilot)
            await pilot.pause(0.1)
            await body(pilot, feed, clock)  # type: ignore[misc]

    with (
        tempfile.TemporaryDirectory(prefix="bzzz-bench-") as home,
        patch.dict(os.environ, XDG_CONFIG_HOME=home),
    ):
        asyncio.run(run())


async def cpu_ms(pilot: Pilot[int], act: Callable[[], object]) -> float:
    """Return the CPU milliseconds of an act and of what it leads to."""
    before = time.process_time()
    act()
    await pilot.pause()
    await pilot.pause(0.05)
    return 1_000 * (time.process_time() - before)


@dataclass(frozen=True, slots=True)
class Tick:
    """What one second of a cluster costs, in milliseconds of CPU."""

    fold: float
    """To take in what changed."""
    paint: float
    """To bring it onto the screen."""


def tick_ms(count: int, how: str = "plain") -> Tick:
    """Return the least that a tick of `count` nodes costs, a tenth of them changed.

    Args:
        count: Nodes in the view.
        how: `plain`; `sorted` by what changes everywhere, so that each line in view is another one
            at each tick; or `filtered`.
    """
    fold, ticks, idle = [], [], []

    async def body(pilot: Pilot[int], feed: HandFeed, clock: FrozenClock) -> None:
        view = pilot.app.screen
        if how == "sorted":
            view.action_sort("cpu desc")  # type: ignore[attr-defined]
        elif how == "filtered":
            view.action_filter("cpu>50 bzzz")  # type: ignore[attr-defined]
        await pilot.pause(0.05)
        dice = random.Random(3)
        for _ in range(TICKS):
            clock.ms += 1_000
            event = change(count, clock, dice)
            idle.append(await cpu_ms(pilot, lambda: None))
            before = time.process_time()
            feed.emit(event)
            fold.append(1_000 * (time.process_time() - before))
            ticks.append(await cpu_ms(pilot, lambda: None))

    on_nodes(count, body)
    return Tick(min(fold), min(ticks) - min(idle))


def key_ms(key: str, count: int = 10_000) -> float:
    """Return the least CPU milliseconds from a key to the painted screen."""
    spent: list[float] = []

    async def body(pilot: Pilot[int], _feed: HandFeed, _clock: FrozenClock) -> None:
        for _ in range(6):
            await cpu_ms(pilot, lambda: None)
            before = time.process_time()
            await pilot.press(key)
            spent.append(1_000 * (time.process_time() - before))
            pilot.app.screen.query_one(LiveTable).select(statuses.node_id(1))
            await pilot.pause()

    on_nodes(count, body)
    return min(spent)
