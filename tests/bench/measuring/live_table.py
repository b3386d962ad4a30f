"""What one tick of a live table costs, beside Textual's DataTable on the same data."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import DataTable

from bzzz_tui.app_base import AppBase
from bzzz_tui.parts import Line
from bzzz_tui.terminal import Terminal
from bzzz_tui.widgets.columns import Column, Placed
from bzzz_tui.widgets.live_table import LiveTable
from bzzz_tui.wording import Tone

TICKS = 12
CHANGED = 0.1
COLUMNS = tuple(Column(key=f"c{n}", title=f"C{n}", width=9) for n in range(10))
SIZE = (120, 40)


class _Rows:
    """Random numbers with versions."""

    def __init__(self, count: int) -> None:
        self.random = random.Random(7)
        self.ids = [f"row{n}" for n in range(count)]
        self.versions = dict.fromkeys(self.ids, 0)
        self.values = {row: [f"{n * 7 % 997}" for n in range(10)] for row in self.ids}

    def order(self) -> Sequence[str]:
        return self.ids

    def version(self, row: str) -> int:
        return self.versions[row]

    def cells(self, row: str, placed: Sequence[Placed]) -> Sequence[Line]:
        return [[(self.values[row][int(p.column.key[1:])], Tone.PLAIN)] for p in placed]

    def tick(self) -> list[str]:
        rows = self.random.sample(self.ids, int(len(self.ids) * CHANGED))
        for row in rows:
            self.versions[row] += 1
            self.values[row][3] = f"{self.random.random():.5f}"
        return rows


class _Clock:
    def now_ms(self) -> int:
        return 0

    async def sleep_ms(self, duration_ms: int) -> None:
        await asyncio.sleep(duration_ms / 1_000)


class _LiveApp(AppBase):
    def __init__(self, rows: _Rows) -> None:
        terminal = Terminal(plain=False, theme="bzzz-dark", mouse=False, ascii=False, remote=False)
        super().__init__(terminal=terminal, clock=_Clock())
        self.rows = rows

    def compose(self) -> ComposeResult:
        yield LiveTable(COLUMNS, self.rows, empty="")


class _DataApp(App[None]):
    def __init__(self, rows: _Rows) -> None:
        super().__init__()
        self.rows = rows

    def compose(self) -> ComposeResult:
        yield DataTable()

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        for column in COLUMNS:
            table.add_column(column.title, key=column.key, width=column.width)
        for row in self.rows.ids:
            table.add_row(*self.rows.values[row], key=row)


async def _measure(pilot: Pilot[Any], tick: Callable[[], None]) -> float:
    """Return the least CPU milliseconds of a tick, painting included."""
    spent = []
    for _ in range(TICKS):
        before = time.process_time()
        tick()
        await pilot.pause()
        await pilot.pause(0.05)
        spent.append(1_000 * (time.process_time() - before))
    return min(spent)


def live_ms(count: int) -> float:
    """Return the CPU milliseconds of a tick of a table of ours with `count` rows."""

    async def run() -> float:
        rows = _Rows(count)
        app = _LiveApp(rows)
        async with app.run_test(size=SIZE) as pilot:
            await pilot.pause(0.1)
            table = app.query_one(LiveTable)
            idle = await _measure(pilot, lambda: None)
            return await _measure(pilot, lambda: table.changed(rows.tick())) - idle

    return asyncio.run(run())


def data_ms(count: int) -> float:
    """Return the same of Textual's DataTable."""

    async def run() -> float:
        rows = _Rows(count)
        app = _DataApp(rows)
        async with app.run_test(size=SIZE) as pilot:
            await pilot.pause(0.1)
            table = app.query_one(DataTable)

            def tick() -> None:
                for row in rows.tick():
                    table.update_cell(row, "c3", rows.values[row][3])

            idle = await _measure(pilot, lambda: None)
            return await _measure(pilot, tick) - idle

    return asyncio.run(run())
