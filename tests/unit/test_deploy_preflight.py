"""Every precondition: what is wrong, how it is said, and that a fit host passes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bzzz_core.deploy import preflight
from bzzz_core.deploy.events import Finding
from bzzz_core.deploy.facts.host import HostFacts
from tests.fakes.deploy_goals import KNOWN, converged, enrolled, fresh, spec


def check(answers: Any, facts: dict[str, HostFacts], **failures: str) -> tuple[Finding, ...]:
    return preflight.check(
        answers, facts, {n.replace("_", "-"): t for n, t in failures.items()}, KNOWN
    )


def fleet(count: int = 3) -> dict[str, HostFacts]:
    return {f"bzzz-{number}": fresh(number) for number in range(1, count + 1)}


def test_fit_hosts_pass() -> None:
    assert check(spec(3), fleet()) == ()


def test_an_installed_cluster_passes() -> None:
    """Its own ports are taken by itself, and that is no finding."""
    facts = converged(spec(3))
    ours = [
        {"address": "0.0.0.0", "port": 4222, "unit": "bzzz-fabric.service"},  # noqa: S104
        {"address": "127.0.0.1", "port": 8080, "uid": 999},
    ]
    facts["bzzz-1"] = _with(facts["bzzz-1"], listeners=ours)
    assert check(spec(3), facts) == ()


DISK = {"path": "/opt", "free_bytes": 5_000_000_000, "free_inodes": 100_000, "mount": "/"}
PYTHON = {"path": "/usr/bin/python3", "version": [3, 11, 2], "implementation": "CPython"}


@pytest.mark.parametrize(
    ("facts", "expected", "words"),
    [
        ({"uid": 1000}, "root", "cannot become root"),
        ({"arch": "armv7l"}, "machine", "armv7l"),
        ({"arch": None}, "machine", "unknown"),
        ({"libc": "musl"}, "libc", "musl"),
        ({"libc": "glibc 2.17"}, "libc", "2.17"),
        ({"libc": None}, "libc", "unknown"),
        ({"systemd": "offline"}, "systemd", "offline"),
        ({"init": "runit"}, "systemd", "runit"),
        ({"pythons": []}, "python", "none found"),
        ({"pythons": None}, "python", "none found"),
        ({"pythons": [{**PYTHON, "version": [3, 9, 2]}]}, "python", "3.9.2"),
        ({"pythons": [{**PYTHON, "missing": ["ssl", "lzma"]}]}, "python", "without ssl, lzma"),
        ({"disks": None}, "disk", "not known"),
        ({"disks": [{**DISK, "free_bytes": 5_000_000}]}, "disk", "0.0 GB free"),
        ({"disks": [{**DISK, "free_inodes": 10}]}, "disk", "10 inodes"),
        ({"disks": [{**DISK, "noexec": True}]}, "disk", "noexec"),
        ({"disks": [{**DISK, "readonly": True}]}, "disk", "read-only"),
        ({"clock": None}, "clock", "could not be read"),
        ({"clock": {"skew_ms": 60_000, "uncertainty_ms": 10}}, "clock", "60.0 s ahead"),
        ({"clock": {"skew_ms": -60_000, "uncertainty_ms": 10}}, "clock", "60.0 s behind"),
        ({"listeners": None}, "ports", "not known"),
        (
            {"listeners": [{"address": "::", "port": 4222, "process": "redis (process 7)"}]},
            "ports",
            "4222 (fabric_client) is taken by redis (process 7)",
        ),
        ({"addresses": ["10.0.0.77"]}, "address", "10.0.0.1 is no address of the host"),
        ({"addresses": None}, "address", "not known"),
        ({"units": None, "paths": None}, "probe", "paths, units"),
        ({"cluster_id": "another"}, "cluster", "another cluster"),
        ({"cluster_id": None}, "cluster", "cannot be read"),
    ],
)
def test_one_thing_is_wrong(facts: dict[str, Any], expected: str, words: str) -> None:
    hosts = fleet()
    hosts["bzzz-1"] = _with(hosts["bzzz-1"], **facts)
    (finding,) = check(spec(3), hosts)
    assert (finding.severity, finding.check, finding.host) == ("error", expected, "bzzz-1")
    assert words in finding.message
    assert finding.fix, "every finding says what to do"


def test_a_clock_within_the_uncertainty_of_the_measurement_is_right() -> None:
    """A slow line must not look like a wrong clock."""
    hosts = fleet()
    hosts["bzzz-1"] = _with(hosts["bzzz-1"], clock={"skew_ms": 7_000, "uncertainty_ms": 3_000})
    assert check(spec(3), hosts) == ()


def test_a_host_that_could_not_be_reached_is_an_error_with_its_reason() -> None:
    hosts = fleet()
    del hosts["bzzz-2"]
    (finding,) = check(spec(3), hosts, bzzz_2="connection refused")
    assert (finding.check, finding.host, finding.message) == (
        "connection",
        "bzzz-2",
        "connection refused",
    )


def test_one_machine_named_twice_is_noticed_by_its_host_key() -> None:
    hosts = fleet()
    hosts["bzzz-2"] = _with(hosts["bzzz-2"], host_key_sha256=hosts["bzzz-1"].host_key_sha256)
    (finding,) = check(spec(3), hosts)
    assert finding.severity == "error"
    assert "bzzz-1, bzzz-2" in finding.message


def test_clones_of_one_image_are_a_warning() -> None:
    hosts = fleet()
    hosts["bzzz-2"] = _with(hosts["bzzz-2"], machine_id=hosts["bzzz-1"].machine_id)
    (finding,) = check(spec(3), hosts)
    assert finding.severity == "warning"


def test_two_hosts_are_told_what_they_do_not_survive() -> None:
    (finding,) = check(spec(2), fleet(2))
    assert finding.severity == "warning"
    assert "two nodes tolerate no loss" in finding.message


def test_a_new_host_joins_without_a_vote_and_is_told_so() -> None:
    hosts = {**converged(spec(4)), "bzzz-5": fresh(5)}
    (finding,) = check(spec(5), hosts)
    assert finding.severity == "warning"
    assert "bzzz-4, bzzz-5" in finding.message


def test_a_voter_is_not_removed_by_leaving_it_out() -> None:
    facts = converged(spec(3))
    del facts["bzzz-3"]
    findings = check(spec(2), facts)
    (error,) = [finding for finding in findings if finding.severity == "error"]
    assert (error.check, error.host) == ("missing", "bzzz-3")
    assert "--remove bzzz-3" in error.fix


@pytest.mark.parametrize("present", [(), (9,)])
def test_a_voter_that_was_installed_anew_is_refused(present: tuple[int, ...]) -> None:
    """Its name is the old one, its key is not: all agents would refuse the voters they are told."""
    facts = converged(spec(3))
    anew = tuple(enrolled(number) for number in present)
    facts["bzzz-2"] = msgspec.structs.replace(fresh(2), enrolled=anew)
    (finding,) = check(spec(3), facts)
    assert (finding.severity, finding.check, finding.host) == ("error", "voters", "bzzz-2")
    assert "join as a new node" in finding.fix


def test_hosts_that_name_different_voters_are_refused() -> None:
    facts = converged(spec(3))
    facts["bzzz-3"] = msgspec.structs.replace(
        facts["bzzz-3"], voters=(facts["bzzz-3"].voters or ())[1:]
    )
    (finding,) = check(spec(3), facts)
    assert "name different voters" in finding.message


def _with(facts: HostFacts, **patch: Any) -> HostFacts:
    return msgspec.convert({**msgspec.to_builtins(facts), **patch}, type=HostFacts)
