"""Three hosts without a way out: installed, upgraded and taken back while they are written to.

Cases 14 and 17 of `docs/deploy-cases.md`. Nobody asks for anything outside meanwhile: a counter on
each host says so, from before the installation on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bzzz_core.deploy.release import Release
from tests.testbed import bundles, cli, outward
from tests.testbed import traffic as traffics
from tests.testbed.bundles import Operator
from tests.testbed.state import State
from tests.testbed.traffic import Traffic, traffic

pytestmark = [pytest.mark.testbed, pytest.mark.journey, pytest.mark.timeout(900)]
NAMES = ("bzzz-1", "bzzz-2", "bzzz-3")
NEVER_WRITTEN = "never-written"
SILENCE_S_MAX = 20
"""For all writers together: a restart of the leader's host costs an election and the streams'."""


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    bed = State(tmp_path_factory.mktemp("roll"))
    cli.up(bed, count=3, name="bzzz", suite="bookworm")
    yield Operator(bed, tmp_path_factory.mktemp("home"))
    cli.down(bed)


@pytest.fixture(scope="module")
def watched(operator: Operator) -> Operator:
    """Count on every host what goes outwards; it is seen to count."""
    for host in operator.bed.hosts():
        outward.watch(operator, host)
        outward.try_it(operator, host)
        tried = outward.read(operator, host)
        assert tried.packets > 0
        assert [what for what in tried.what if what.startswith("198.51.100.1 tcp 443 ")], tried
        outward.reset(operator, host)
        assert outward.read(operator, host) == outward.Tried(0, ())
    return operator


@pytest.fixture(scope="module")
def good(watched: Operator) -> Release:
    """Install a release from a bundle, and return it."""
    release = bundles.built()
    code, events = _apply(watched, watched.bundle("good", release, age_s=3_600))
    assert code == 0, bundles.failures(events)
    assert events[-1]["leader"], "validated: every node names the same leader"
    return release


@pytest.fixture(scope="module")
def better(good: Release, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Return the release that comes after it."""
    return bundles.variant(good, tmp_path_factory.mktemp("better"), bundles.harmless)


@pytest.mark.usefixtures("good")
def test_an_installation_asks_for_nothing_outside_the_cluster(watched: Operator) -> None:
    assert _tried(watched) == {name: outward.Tried(0, ()) for name in NAMES}


def test_an_upgrade_loses_no_acknowledged_write(
    watched: Operator, good: Release, better: Release
) -> None:
    """One host after the other, and never two of them away."""
    assert _runs(watched) == {f"releases/{good.ref.version}"}
    bundle = watched.bundle("better", better)
    with traffic(watched) as seen:
        code, events = _apply(watched, bundle)
    assert code == 0, bundles.failures(events)
    assert set(bundles.summary(events).values()) == {"changed"}
    assert _runs(watched) == {f"releases/{better.ref.version}"}
    _nothing_was_lost(watched, seen)
    _well(watched, events)


def test_the_way_back_loses_none_either(watched: Operator, good: Release, better: Release) -> None:
    assert _runs(watched) == {f"releases/{better.ref.version}"}
    with traffic(watched) as seen:
        code, events = _setup(watched, "--rollback")
    assert code == 0, bundles.failures(events)
    assert _runs(watched) == {f"releases/{good.ref.version}"}
    _nothing_was_lost(watched, seen)
    _well(watched, events)
    assert _tried(watched) == {name: outward.Tried(0, ()) for name in NAMES}


def _apply(operator: Operator, bundle: Path) -> tuple[int, list[dict[str, Any]]]:
    return _setup(operator, "--bundle", str(bundle))


def _setup(operator: Operator, *words: str) -> tuple[int, list[dict[str, Any]]]:
    """Set up with the patience that answers have if nobody says otherwise."""
    return operator.setup(*words, "--apply", "--yes", answers=operator.bed.answers)


def _nothing_was_lost(operator: Operator, seen: Traffic) -> None:
    """Every host was restarted, alone; every acknowledged write is found on every host."""
    absences = seen.absences()
    sys.stdout.write(
        f"\n{len(seen.acknowledged)} writes acknowledged, {len(seen.of('refused'))} refused;"
        f" {len(seen.of('read'))} read, {len(seen.of('unread'))} not; no write for"
        f" {seen.longest_silence_s:.1f} s at most; away: "
        + ", ".join(f"{name} {end - begin:.1f} s" for name, begin, end in absences)
        + "\n"
    )
    assert {name for name, _, _ in absences} == set(NAMES)
    assert traffics.together(absences) == []
    assert seen.of("lost") == []
    assert {line["host"] for line in seen.of("written")} == set(NAMES)
    assert len(seen.acknowledged) > 100
    assert seen.longest_silence_s < SILENCE_S_MAX
    asked = [*seen.acknowledged, NEVER_WRITTEN]
    assert traffics.missing(operator, asked) == {name: [NEVER_WRITTEN] for name in NAMES}


def _runs(operator: Operator) -> set[str]:
    return {operator.on(name, "readlink /opt/bzzz/current") for name in NAMES}


def _tried(operator: Operator) -> dict[str, outward.Tried]:
    return {host.name: outward.read(operator, host) for host in operator.bed.hosts()}


def _well(operator: Operator, events: list[dict[str, Any]]) -> None:
    assert events[-1]["leader"] in NAMES
    ask = "cd /tmp && runuser -u bzzz -- bzzz-agent health --wait 20 >/dev/null && echo well"
    assert {operator.on(name, ask) for name in NAMES} == {"well"}
