"""The checks of step 8: what is not heard is never held to be well."""

from __future__ import annotations

import asyncio

import pytest

from screens.setup import checks
from screens.setup.checks import CHECKS, Outcome, Verdict
from screens.setup.draft import Draft, parse_hosts
from tests.fakes import statuses
from tests.fakes.engine import FakeEngine


def asked(key: str, engine: FakeEngine) -> Outcome:
    spec = Draft(hosts=parse_hosts("10.0.0.1 10.0.0.2", ())).spec()
    assert spec is not None
    check = next(check for check in CHECKS if check.key == key)
    return asyncio.run(checks.run(check, engine, spec))


@pytest.mark.parametrize("key", ["answers", "leader", "serving", "fabric", "roster"])
def test_no_check_of_the_nodes_passes_while_one_is_silent(key: str) -> None:
    document = statuses.status(term=1)
    well = asked(key, FakeEngine({"bzzz-1": document, "bzzz-2": document}))
    assert well.verdict is Verdict.PASS
    silent = asked(key, FakeEngine({"bzzz-1": document, "bzzz-2": "refused"}))
    assert silent.verdict is Verdict.FAIL
    assert "bzzz-2: refused" in silent.words
    assert asked(key, FakeEngine()).verdict is Verdict.FAIL
