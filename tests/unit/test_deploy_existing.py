"""What is to become of a BZZZ that is there already."""

from __future__ import annotations

import msgspec
import pytest

from bzzz_core.deploy.existing import Verdict, judge
from bzzz_core.deploy.facts.host import HostFacts, Unit
from tests.fakes.deploy_goals import KNOWN, converged, fresh, spec

OURS = KNOWN.cluster_id


def reached(**changes: object) -> HostFacts:
    return msgspec.structs.replace(converged(spec(1))["bzzz-1"], **changes)


STOPPED = {"bzzz-agent": Unit(loaded=True, active="failed", enabled=True)}


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        (fresh(1), Verdict.NONE),
        (HostFacts(), Verdict.UNKNOWN),
        (reached(current="0.1.0+abc"), Verdict.REUSE),
        (reached(current="0.0.9+abc"), Verdict.UPGRADE),
        (reached(current="0.2.0+abc"), Verdict.REFUSE),
        (reached(cluster_id="another"), Verdict.REFUSE),
        (reached(units=STOPPED), Verdict.REPAIR),
        (reached(current="", releases=("0.1.0+abc",)), Verdict.REPAIR),
    ],
)
def test_the_verdict_follows_from_what_is_there(facts: HostFacts, verdict: Verdict) -> None:
    found = judge(facts, cluster_id=OURS, version="0.1.0")
    assert found.verdict is verdict, found.words
    assert found.words
