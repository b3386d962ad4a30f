"""A command that only prints help makes nobody wait: lazy imports are part of the design."""

from __future__ import annotations

import pytest

from tests.bench.measuring import startup


@pytest.mark.parametrize("program", startup.PROGRAMS)
def test_help_costs_little(program: str) -> None:
    least = startup.help_ms(program)
    print(f"\n{program} --help: {least:.0f} ms CPU (budget {startup.HELP_CPU_MS_MAX:.0f} ms)")
    assert least <= startup.HELP_CPU_MS_MAX


@pytest.mark.parametrize("line", startup.COMPLETED)
def test_a_key_that_completes_a_word_is_not_felt(line: str) -> None:
    least = startup.completed_ms(line)
    print(f"\n{line}: {least:.0f} ms CPU (budget {startup.COMPLETED_CPU_MS_MAX:.0f} ms)")
    assert least <= startup.COMPLETED_CPU_MS_MAX
