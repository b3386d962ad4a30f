"""Directories of earlier answers: named, never touched."""

from __future__ import annotations

import msgspec
import pytest

from bzzz_core.deploy import preflight
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.left_behind import left_behind
from tests.fakes.deploy_goals import KNOWN, converged, fresh, spec

ELSEWHERE = {"resources": {"paths": {"data": "/srv/bzzz/data", "logs": "/var/log/bzzz"}}}


@pytest.mark.parametrize(
    ("before", "now", "left"),
    [
        ({}, {}, ()),
        ({}, {"data": "/srv/new"}, ("/var/lib/bzzz",)),
        ({"data": "/srv/old"}, {}, ("/srv/old",)),
        ({"data": "/srv/old", "logs": "/srv/log"}, {}, ("/srv/old", "/srv/log")),
        ({"data": "/srv/old"}, {"data": "/srv/old/new"}, ()),
        ({"logs": "/srv/a"}, {"data": "/srv/a"}, ("/var/lib/bzzz",)),
    ],
)
def test_what_the_host_stops_using_is_named(
    before: dict[str, str], now: dict[str, str], left: tuple[str, ...]
) -> None:
    facts = converged(spec(1, resources={"paths": before}))["bzzz-1"]
    assert left_behind(spec(1, resources={"paths": now}), facts) == left


@pytest.mark.parametrize("facts", [fresh(), msgspec.structs.replace(fresh(), config_text=None)])
def test_a_host_without_a_configuration_leaves_nothing(facts: HostFacts) -> None:
    assert left_behind(spec(1, **ELSEWHERE), facts) == ()


def test_the_plan_says_that_nothing_is_moved_and_how_it_goes_away() -> None:
    answers = spec(1, **ELSEWHERE)
    found = preflight.check(answers, converged(spec(1)), {}, KNOWN)
    (one,) = [finding for finding in found if finding.check == "paths"]
    assert (one.severity, one.host) == ("warning", "bzzz-1")
    assert "/var/lib/bzzz" in one.message
    assert "rm -r /var/lib/bzzz" in one.fix
    again = preflight.check(answers, converged(answers), {}, KNOWN)
    assert not [finding for finding in again if finding.check == "paths"]
