"""A node says for which languages it has tools."""

from pathlib import Path

from bzzz_core.telemetry.languages import TOOLS, languages


def test_a_language_counts_if_one_of_its_programs_is_there(tmp_path: Path) -> None:
    for program in ("rustc", "bun", "notes.txt"):
        (tmp_path / program).touch(mode=0o755)
    (tmp_path / "go").touch(mode=0o644)
    assert languages(path=str(tmp_path)) == ("javascript", "rust", "typescript")


def test_this_machine_has_what_runs_this_test() -> None:
    assert "python" in languages()
    assert set(languages()) <= set(TOOLS)
