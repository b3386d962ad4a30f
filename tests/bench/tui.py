"""`scripts/bench tui [--json] [--only SECTION]`: what is promised of the terminal program.

    start    CPU of `--help` of both programs, of a key that completes a word, of the first frame
    table    a tick of LiveTable, beside Textual's DataTable in the same run
    nodes    a tick of the whole nodes view: taken in, and painted
    keys     from a key to the painted screen, among 10,000 nodes
    screen   the program on a terminal: bytes sent, CPU, memory
    logs     100,000 lines searched, and filtered; following, beside Textual's Log

Sections run one after another. `figures.py` says how figures are printed, and the exit code: 1 if a
goal is missed.
"""

from __future__ import annotations

import sys

from tests.bench.measuring import live_table, log_view, monitor, nodes_view, startup
from tests.bench.measuring.figures import Figure, at_least, at_most, below, run

TICK_MS_MAX = {1_000: 5.0, 10_000: 15.0}
DATATABLE_RATIO_MIN = 10.0
KEY_MS_MAX = 50.0
FIRST_FRAME_MS_MAX = 400.0
IDLE_KB_S_MAX = 0.2
BUSY_KB_S_MAX = 5.0
RESIDENT_MB_MAX = 80.0
SEARCH_MS_MAX = 200.0
QUIET_S = 20.0
BUSY_S = 20.0


def start() -> list[Figure]:
    """Measure what starting costs."""
    limit = at_most(startup.HELP_CPU_MS_MAX)
    felt = at_most(startup.COMPLETED_CPU_MS_MAX)
    return [
        *(
            Figure(f"{name} --help", startup.help_ms(name), "ms CPU", limit)
            for name in startup.PROGRAMS
        ),
        *(
            Figure(f"completing: {line.strip()} ...", startup.completed_ms(line), "ms CPU", felt)
            for line in startup.COMPLETED
        ),
        Figure(
            "monitor, first frame on a terminal",
            monitor.first_frame_ms(),
            "ms CPU",
            at_most(FIRST_FRAME_MS_MAX),
        ),
    ]


def table() -> list[Figure]:
    """Measure a tick of the table alone."""
    ours = {count: live_table.live_ms(count) for count in TICK_MS_MAX}
    theirs = live_table.data_ms(1_000)
    return [
        *(
            Figure(
                f"tick, 10 % of {count:,} rows changed", ms, "ms CPU", at_most(TICK_MS_MAX[count])
            )
            for count, ms in ours.items()
        ),
        Figure("the same of Textual's DataTable, 1,000 rows", theirs, "ms CPU"),
        Figure(
            "DataTable / ours, 1,000 rows", theirs / ours[1_000], "x", at_least(DATATABLE_RATIO_MIN)
        ),
    ]


def nodes() -> list[Figure]:
    """Measure a tick of the whole view."""
    found = []
    for count, limit in TICK_MS_MAX.items():
        tick = nodes_view.tick_ms(count)
        found += [
            Figure(f"tick, 10 % of {count:,} nodes changed: taken in", tick.fold, "ms CPU"),
            Figure(f"tick, 10 % of {count:,} nodes changed: painted", tick.paint, "ms CPU"),
            Figure(
                f"tick, 10 % of {count:,} nodes changed: both",
                tick.fold + tick.paint,
                "ms CPU",
                at_most(limit),
            ),
        ]
        for how in ("sorted", "filtered"):
            tick = nodes_view.tick_ms(count, how)
            words = "sorted by what changes" if how == "sorted" else how
            found.append(Figure(f"{count:,} nodes, {words}: painted", tick.paint, "ms CPU"))
    return found


def keys() -> list[Figure]:
    """Measure keys."""
    return [
        Figure(f"key {key}, 10,000 nodes", nodes_view.key_ms(key), "ms CPU", at_most(KEY_MS_MAX))
        for key in nodes_view.KEYS
    ]


def screen() -> list[Figure]:
    """Measure the program on a terminal."""
    resident = at_most(RESIDENT_MB_MAX)
    quiet = monitor.quiet(seconds=QUIET_S)
    found = [
        Figure("quiet cluster of 3: sent", quiet.bytes_s / 1e3, "kB/s", at_most(IDLE_KB_S_MAX)),
        Figure("quiet cluster of 3: CPU", quiet.cpu_ms_s, "ms/s"),
        Figure("quiet cluster of 3: memory", quiet.resident_mb, "MB", resident),
    ]
    for count in TICK_MS_MAX:
        busy = monitor.busy(count, seconds=BUSY_S)
        name = f"{count:,} nodes, 10 % changed a second, 120x40"
        found += [
            Figure(f"{name}: sent", busy.bytes_s / 1e3, "kB/s", at_most(BUSY_KB_S_MAX)),
            Figure(f"{name}: CPU", busy.cpu_ms_s, "ms/s"),
            Figure(f"{name}: memory", busy.resident_mb, "MB", resident),
        ]
    moving = monitor.busy(1_000, seconds=BUSY_S, sort="cpu desc")
    return [
        *found,
        Figure("1,000 nodes, sorted by what changes: sent", moving.bytes_s / 1e3, "kB/s"),
    ]


def logs() -> list[Figure]:
    """Measure the log view."""
    filled = log_view.filled()
    limit = below(SEARCH_MS_MAX)
    searched = {text: log_view.search(filled.book, text) for text in log_view.SEARCHED}
    chosen = {text: log_view.choose(filled.book, text) for text in log_view.FILTERED}
    followed = log_view.followed()
    return [
        Figure("a line added to 100,000", filled.add_us, "us CPU"),
        *(
            Figure(f"searched: {text}", one.cpu_ms, "ms CPU", limit)
            for text, one in searched.items()
        ),
        *(Figure(f"filtered: {text}", one.cpu_ms, "ms CPU") for text, one in chosen.items()),
        Figure("longest slice of a search", log_view.longest_slice_ms(filled.book), "ms CPU"),
        Figure("following 100 lines/s", followed.ours, "ms/s"),
        Figure("following 100 lines/s / Textual's Log", followed.ours / followed.theirs, "x"),
    ]


SECTIONS = (start, table, nodes, keys, screen, logs)


if __name__ == "__main__":
    sys.exit(run("tui", {section.__name__: section for section in SECTIONS}))
