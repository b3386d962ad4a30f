"""Which test needs what, and the rule that nothing is skipped unseen.

A test that needs a program or a permission says so by a marker (`integration`, `testbed`). What is
missing on a laptop is a skip with its reason; in CI (`CI=true`, or `BZZZ_REQUIRE_SERVICES` naming
it or `all`) it is an error, and so is every other skip or expected failure that
`tests/allowed_skips.txt` does not list. A whole run in CI must also have run at least one test for
each service, so that a renamed marker cannot drop one in silence.

Long journeys that others resemble (`journey`) take turns: a whole run names those that it takes.

In CI a run ends with the seconds that each folder took, also where the time limit ended it.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from bzzz_core.errors import BrokerError
from bzzz_core.fabric.binary import find_binary
from tests.chaos import network
from tests.shards import head, in_words, part_of
from tests.spent import Spent

# An example that takes long on a busy machine is no failure. In CI the library sees it so anyway.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

ROOT = Path(__file__).resolve().parents[1]
SYSTEM_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _broker_missing() -> str | None:
    try:
        find_binary()
    except BrokerError as exc:
        return f"{exc}; run scripts/bootstrap"
    return None


def _testbed_missing() -> str | None:
    if not sys.platform.startswith("linux"):
        return "needs Linux"
    if os.geteuid() != 0:
        return "needs root to build the image and start dockerd"
    programs = ("docker", "dockerd", "debootstrap", "ssh", "ssh-keygen")
    absent = [name for name in programs if shutil.which(name, path=SYSTEM_PATH) is None]
    return f"no {', '.join(absent)}; run scripts/bootstrap --testbed" if absent else None


def _tmux_missing() -> str | None:
    return None if shutil.which("tmux") else "no tmux; run scripts/bootstrap --testbed"


SERVICES: dict[str, Callable[[], str | None]] = {
    "integration": _broker_missing,
    "netns": network.missing,
    "tmux": _tmux_missing,
    "testbed": _testbed_missing,
}
"""Marker -> why it cannot be had here, or None."""

JOURNEY_SHARDS = 5
HOST_SHARDS = 19
"""Of the files whose tests share hosts; one takes as long as many journeys."""
_said: list[str] = []
_ran: set[str] = set()
_refused: list[str] = []
_spent = Spent(time.monotonic)


def _in_ci() -> bool:
    return os.environ.get("CI") == "true"


def _required(service: str) -> bool:
    named = os.environ.get("BZZZ_REQUIRE_SERVICES", "").replace(",", " ").split()
    return _in_ci() or "all" in named or service in named


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave long journeys to a full run; skip what cannot run here, or fail where it has to run."""
    if "BZZZ_TEST_FULL" not in os.environ:
        _leave_out(config, items, [item for item in items if item.get_closest_marker("full")])
        if _is_whole(config):
            _take_a_part_of_the_journeys(config, items)
    reasons = {service: missing() for service, missing in SERVICES.items()}
    for item in items:
        for service, reason in reasons.items():
            if reason and item.get_closest_marker(service):
                if _required(service):
                    item.user_properties.append(("missing", f"{service}: {reason}"))
                else:
                    item.add_marker(pytest.mark.skip(reason=f"{service}: {reason}"))


def pytest_report_collectionfinish() -> list[str]:
    """Say which journeys this run takes."""
    return _said


def _take_a_part_of_the_journeys(config: pytest.Config, items: list[pytest.Item]) -> None:
    journeys = [item for item in items if item.get_closest_marker("journey")]
    on_hosts = [item for item in journeys if item.get_closest_marker("testbed")]
    others = [item for item in journeys if item not in on_hosts]
    taken = part_of(others, head(), JOURNEY_SHARDS)
    files = part_of(list(dict.fromkeys(item.path for item in on_hosts)), head(), HOST_SHARDS)
    for path in files:
        tests = [item for item in on_hosts if item.path == path]
        taken += part_of(tests, head()[8:], max(_parts(item) for item in tests))  # Other dice.
    _leave_out(config, items, [item for item in journeys if item not in taken])
    which = f"{in_words(head(), JOURNEY_SHARDS)}, of those on hosts {HOST_SHARDS}"
    _said.append(f"long journeys: {len(taken)} of {len(journeys)} ({which}); --full takes all:")
    names = dict.fromkeys(item.nodeid.partition("[")[0] for item in taken)
    _said.extend(f"  {name}" for name in names)


def _parts(item: pytest.Item) -> int:
    """Return in how many parts the tests of a file take turns: those that stand alone may."""
    marker = item.get_closest_marker("journey")
    return marker.kwargs.get("parts", 1) if marker else 1


def _leave_out(config: pytest.Config, items: list[pytest.Item], which: list[pytest.Item]) -> None:
    config.hook.pytest_deselected(items=which)
    items[:] = [item for item in items if item not in which]


def pytest_runtest_logstart(nodeid: str) -> None:
    """Measure each test with its fixtures, also one that another process runs for this one."""
    _spent.begin(nodeid)


def pytest_runtest_logfinish(nodeid: str) -> None:
    """End that."""
    _spent.end(nodeid)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test whose required service is missing."""
    for name, value in item.user_properties:
        if name == "missing":
            pytest.fail(f"required here, but missing: {value}", pytrace=False)
    _ran.update(service for service in SERVICES if item.get_closest_marker(service))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI, turn unseen skips into a failure of the run."""
    if not _in_ci() or session.config.option.collectonly or _is_a_worker(session.config):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    assert reporter is not None, "runs in CI need the terminal reporter"
    allowed = _allowed_skips()
    for outcome in ("skipped", "xfailed"):
        _refused.extend(
            f"{outcome}, and not in tests/allowed_skips.txt: {report.nodeid}"
            for report in reporter.stats.get(outcome, [])
            if report.nodeid not in allowed
        )
    if _is_whole(session.config):
        _refused.extend(f"no test ran for: {name}" for name in sorted(set(SERVICES) - _ran))
    if _refused:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say where the time went, and why a run without failed tests failed all the same."""
    if _in_ci():
        terminalreporter.section("seconds by folder")
        for line in _spent.lines():
            terminalreporter.write_line(line)
    for line in _refused:
        terminalreporter.write_line(f"REFUSED {line}", red=True)


def _is_a_worker(config: pytest.Config) -> bool:
    """Return whether this process runs a share of the tests of another one, which counts them."""
    return hasattr(config, "workerinput")


def _is_whole(config: pytest.Config) -> bool:
    narrowed = config.option.keyword or config.option.markexpr or config.option.maxfail
    folders = {Path(argument).name for argument in config.args}
    return not narrowed and ("tests" in folders or {"integration", "testbed"} <= folders)


def _allowed_skips() -> set[str]:
    lines = (ROOT / "tests" / "allowed_skips.txt").read_text().splitlines()
    return {line.split("#")[0].strip() for line in lines} - {""}
