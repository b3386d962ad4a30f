"""A BZZZ that is on a host already: used, mended, or refused, and said in words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bzzz_core.deploy import layout
from bzzz_core.deploy.facts.host import HostFacts, Kind, PathFact, Unit
from bzzz_core.deploy.mending import newer_release, repairs
from bzzz_core.deploy.plan import build_plan
from bzzz_core.deploy.preflight import check
from tests.fakes.deploy_goals import KNOWN, converged, fresh, goals, spec


def host(**patch: Any) -> HostFacts:
    return msgspec.structs.replace(converged(spec(1))["bzzz-1"], **patch)


def test_of_a_whole_one_and_of_none_nothing_is_said() -> None:
    assert repairs(host()) == ()
    assert repairs(fresh()) == ()


def test_half_an_installation_is_named() -> None:
    noted = {**(fresh().paths or {}), layout.BEFORE: PathFact(Kind.FILE)}
    (said,) = repairs(msgspec.structs.replace(fresh(), paths=noted))
    assert "cut short" in said


@pytest.mark.parametrize(
    ("patch", "word"),
    [
        ({"damaged": ("a.py", "b.py", "c.py", "d.py")}, "a.py, b.py, c.py and 1 more"),
        (
            {
                "units": {
                    layout.AGENT: Unit(loaded=False, active="inactive", enabled=False),
                    layout.FABRIC: Unit(loaded=True, active="active", enabled=True),
                }
            },
            "without bzzz-agent",
        ),
        (
            {"units": {layout.AGENT: Unit(loaded=True, active="failed", enabled=True)}},
            "bzzz-agent failed",
        ),
    ],
)
def test_what_is_not_whole_is_named_and_mended(patch: dict[str, Any], word: str) -> None:
    facts = host(**patch)
    assert any(word in said for said in repairs(facts))
    assert build_plan(goals(spec(1), {"bzzz-1": facts}), ()).hosts["bzzz-1"]


def test_a_changed_release_is_uploaded_again_and_its_services_restart() -> None:
    plan = build_plan(goals(spec(1), {"bzzz-1": host(damaged=("x.py",))}), ())
    assert [(c.phase, c.action) for c in plan.hosts["bzzz-1"]] == [
        ("upload_release", "replace"),
        ("start_fabric", "restart"),
        ("start_agent", "restart"),
    ]


@pytest.mark.parametrize(
    ("current", "newer"),
    [("0.0.9+a", None), ("0.1.0+b", None), ("0.2.0+c", "0.2.0+c"), ("odd", None), ("", None)],
)
def test_a_newer_one_is_refused(current: str, newer: str | None) -> None:
    facts = host(current=current)
    assert newer_release(facts) == newer
    errors = [f for f in check(spec(1), {"bzzz-1": facts}, {}, KNOWN) if f.severity == "error"]
    assert bool(errors) == (newer is not None)
