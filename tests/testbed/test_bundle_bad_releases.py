"""Releases that fail when they run: each is rolled back, remembered, and goes to no further host.

Three hosts, installed from a bundle by an operator without any way out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bzzz_core.deploy.release import Release
from tests.testbed import bundles, cli
from tests.testbed.bundles import Operator
from tests.testbed.state import State

pytestmark = [pytest.mark.testbed, pytest.mark.journey, pytest.mark.timeout(600)]
NAMES = ("bzzz-1", "bzzz-2", "bzzz-3")
STATE = (
    "readlink /opt/bzzz/current; readlink /opt/bzzz/previous;"
    " sha256sum /etc/bzzz/agent.yaml /etc/systemd/system/bzzz-*.service;"
    " head -n 1 /run/bzzz-agent/inputs /run/bzzz-fabric/inputs"
)


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    bed = State(tmp_path_factory.mktemp("bad"))
    cli.up(bed, count=3, name="bzzz", suite="bookworm")
    yield Operator(bed, tmp_path_factory.mktemp("home"))
    cli.down(bed)


@pytest.fixture(scope="module")
def good(operator: Operator) -> Release:
    """Install a good release, and return it."""
    release = bundles.built()
    bundle = operator.bundle("good", release, age_s=3_600)
    code, events = operator.apply(bundle)
    assert code == 0, bundles.failures(events)
    assert set(bundles.summary(events).values()) == {"changed"}
    return release


@pytest.mark.parametrize(
    ("breaks", "says"),
    [
        pytest.param(bundles.crashes, "it crashes", id="crashes"),
        pytest.param(bundles.never_ready, "has not heard", id="never ready"),
        pytest.param(bundles.hangs, "Connection refused", id="hangs"),
        pytest.param(
            bundles.says_another_version,
            "says that it is version 0.0.9",
            id="another version",
        ),
        pytest.param(bundles.has_no_broker, "bzzz-fabric", id="no broker"),
    ],
)
def test_a_bad_release_is_taken_back_and_goes_no_further(
    operator: Operator, good: Release, breaks: bundles.Break, says: str, tmp_path: Path
) -> None:
    before = [operator.on(name, STATE) for name in NAMES]
    bad = bundles.variant(good, tmp_path, breaks)
    bundle = operator.bundle("bad", bad)
    code, events = operator.apply(bundle)
    assert code == 6, bundles.failures(events)
    came_out = bundles.summary(events)
    details = {host["name"]: host["detail"] for host in events[-1]["hosts"]}
    first = [name for name, detail in details.items() if detail.startswith("rolled back")]
    assert len(first) == 1, details
    assert says in details[first[0]]
    assert set(came_out.values()) <= {"rolled back", "not attempted"}
    assert [operator.on(name, STATE) for name in NAMES] == before
    _well(operator)

    code, events = operator.apply(bundle)
    assert code == 3, bundles.failures(events)
    findings = [e for e in events if e["event"] == "finding" and e["check"] == "release"]
    assert [finding["host"] for finding in findings] == first
    assert f"--force-release {bad.ref.version}" in findings[0]["fix"]
    assert [operator.on(name, STATE) for name in NAMES] == before


@pytest.mark.usefixtures("good")
def test_the_release_before_is_there_to_go_back_to(
    operator: Operator, good: Release, tmp_path: Path
) -> None:
    """And what was rolled back once is taken if it is forced."""
    better = bundles.variant(good, tmp_path, bundles.harmless)
    for name in NAMES:
        operator.on(name, f"mkdir -p {MARKS}; echo by hand >{MARKS}/{better.ref.version}")
    bundle = operator.bundle("better", better)
    assert operator.apply(bundle)[0] == 3
    code, events = operator.apply(bundle, "--force-release", better.ref.version)
    assert code == 0, bundles.failures(events)
    for name in NAMES:
        links = operator.on(name, "cd /opt/bzzz; readlink current previous; ls install").split()
        assert links[:2] == [f"releases/{better.ref.version}", f"releases/{good.ref.version}"]
        assert "pending" not in links
        assert operator.on(name, f"ls {MARKS}/{better.ref.version} 2>/dev/null") == ""
    _well(operator)

    code, events = operator.setup("--rollback", "--apply", "--yes")
    assert code == 0, bundles.failures(events)
    assert set(bundles.summary(events).values()) == {"changed"}
    for name in NAMES:
        runs = operator.on(name, "readlink /opt/bzzz/current; head -n 1 /run/bzzz-agent/inputs")
        there = f"releases/{good.ref.version}"
        assert runs.split() == [there, f"/opt/bzzz/{there}/site"]
    _well(operator)
    assert operator.setup("--rollback", "--apply", "--yes")[0] == 3, "only one step back is kept"


MARKS = "/opt/bzzz/install/refused"


def _well(operator: Operator) -> None:
    """A plan of what is installed has nothing to do on any host but what bundles bring."""
    ask = "cd /tmp && runuser -u bzzz -- bzzz-agent health --wait 20 >/dev/null && echo well"
    said: dict[str, Any] = {name: operator.on(name, ask) for name in NAMES}
    assert set(said.values()) == {"well"}, said
