"""What a line of the log costs whoever logs, and a search in many of them.

Budgets: a line that is not wanted costs less than 2 us, whatever it holds. A line that is kept
costs its caller no more than `KEPT_RATIO_MAX` times what the standard library takes to format one,
file and ring included. CPU time of this process, the least of several rounds.
"""

from __future__ import annotations

from pathlib import Path

from tests.bench.measuring import log_lines

DROPPED_US_MAX = 2.0
KEPT_RATIO_MAX = 12.0
SEARCHED_MS_MAX = 200.0
SEARCH_RATIO_MAX = 8.0


def test_a_line_that_is_not_wanted_costs_next_to_nothing() -> None:
    found = log_lines.dropped_us()
    print(f"\ndropped: {found:.2f} us a line (budget {DROPPED_US_MAX} us)")
    assert found < DROPPED_US_MAX


def test_a_line_that_is_kept_costs_microseconds(tmp_path: Path) -> None:
    kept, theirs = log_lines.kept_us(tmp_path), log_lines.formatted_us()
    print(f"\nkept: {kept:.1f} us a line; the standard library formats one in {theirs:.1f} us")
    assert kept < KEPT_RATIO_MAX * theirs


def test_100000_lines_are_searched_while_somebody_waits(tmp_path: Path) -> None:
    found = log_lines.searched(tmp_path)
    print(
        f"\n{log_lines.LINES:,} lines searched in {found.ours:.0f} ms;"
        f" lowering alone takes {found.lowered:.0f} ms"
    )
    assert found.ours < max(SEARCHED_MS_MAX, SEARCH_RATIO_MAX * found.lowered)
