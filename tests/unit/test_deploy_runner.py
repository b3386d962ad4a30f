"""What a run of setup does with a plan between the word for it and the first change."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bzzz_core.deploy.change import Plan, make_plan
from bzzz_core.deploy.operation import Means
from bzzz_core.deploy.plan import build_plan
from bzzz_core.deploy.runner import Deployment
from bzzz_core.errors import PlanChanged
from tests.fakes.deploy_goals import converged, goals, spec


def test_hosts_that_are_not_as_they_were_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second look finds a change more than was agreed to: nothing is opened or written."""
    answers = spec(3)
    facts = converged(answers)
    deployment = Deployment(answers, Means(sink=lambda _event: None, base=tmp_path))
    grown = build_plan(goals(answers, converged(spec(3, cluster={"name": "other"}))), ())
    agreed = make_plan(
        cluster=grown.cluster,
        release=grown.release,
        operator=(),
        hosts=dict.fromkeys(grown.hosts, ()),
    )
    assert grown.change_count

    async def look(*, again: bool) -> tuple[object, ...]:
        assert again
        return facts, (), None

    monkeypatch.setattr(deployment, "_look", look)
    monkeypatch.setattr(deployment, "_misfits", lambda _facts: ())
    monkeypatch.setattr(deployment, "_plan", lambda _facts, _known: grown)

    async def body(plan: Plan) -> None:
        async with deployment:
            await deployment._changed(plan)

    with pytest.raises(PlanChanged, match="plan again"):
        asyncio.run(body(agreed))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
