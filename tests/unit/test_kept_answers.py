"""What is saved and not active yet is said, whichever answer it is."""

from __future__ import annotations

from typing import Any

import pytest

from bzzz_core.config.leaf import catalogue
from bzzz_core.config.schema import ClusterSpec
from bzzz_core.deploy import preflight
from bzzz_core.deploy.kept_answers import kept
from screens.setup.checks import report
from tests.fakes.deploy_goals import KNOWN, fresh, spec


@pytest.mark.parametrize(
    ("key", "sections"),
    [
        ("ai.costs.daily_cents", {"ai": {"costs": {"daily_cents": 1000}}}),
        ("resources.paths.backup", {"resources": {"paths": {"backup": "/srv/backup"}}}),
        ("resources.gpu_temperature_c_max", {"resources": {"gpu_temperature_c_max": 70}}),
        ("resources.cpu_governor", {"resources": {"cpu_governor": "performance"}}),
        ("cluster.rejoin", {"cluster": {"rejoin": "by-operator"}}),
        ("cluster.coordinators", {"cluster": {"coordinators": ["bzzz-1"]}}),
        ("network.ports.mcp", {"network": {"ports": {"mcp": 3001}}}),
    ],
)
def test_each_is_a_warning(key: str, sections: dict[str, Any]) -> None:
    found = preflight.check(spec(1, **sections), {"bzzz-1": fresh(1)}, {}, KNOWN)
    said = [(one.severity, one.message) for one in found if one.check == "answers"]
    assert said == [("warning", f"{key} is saved, but nothing acts upon it yet")]


def test_defaults_are_nobodys_answer() -> None:
    assert kept(spec(3)) == ()


def test_every_answer_that_is_not_active_can_be_found() -> None:
    """A new one needs no line here: whatever the schema marks is compared with its default."""
    keys = {key for key, leaf in catalogue(ClusterSpec).items() if not leaf.active}
    assert len(keys) > 30


def test_the_report_of_the_checks_lists_them() -> None:
    answers = spec(1, cluster={"rejoin": "by-operator"})
    text = report([], cluster="bzzz", at="now", kept=kept(answers))
    assert text.endswith("saved, and nothing acts upon it yet\nwarn           cluster.rejoin\n")
    assert "nothing acts" not in report([], cluster="bzzz", at="now", kept=kept(spec(1)))
