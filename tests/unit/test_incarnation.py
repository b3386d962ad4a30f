"""Every start of a node has a higher number than the one before."""

from pathlib import Path

from bzzz_core.membership.incarnation import next_incarnation


def test_each_start_counts_one_more(tmp_path: Path) -> None:
    path = tmp_path / "incarnation"
    assert [next_incarnation(path) for _ in range(3)] == [1, 2, 3]


def test_a_damaged_file_starts_again(tmp_path: Path) -> None:
    path = tmp_path / "incarnation"
    path.write_text("seven")
    assert next_incarnation(path) == 1


def test_a_lost_counter_goes_on_above_what_others_remember(tmp_path: Path) -> None:
    path = tmp_path / "incarnation"
    assert next_incarnation(path, above=41) == 42
    assert next_incarnation(path, above=3) == 43
    assert next_incarnation(path) == 44
