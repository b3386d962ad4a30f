"""Limits: what systemd is told, what a host cannot give, and which service is started anew."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from bzzz_core.config.sections import ServiceLimits
from bzzz_core.deploy import layout, limits
from bzzz_core.deploy.facts.hardware import Cpu, Memory, NumaNode
from bzzz_core.deploy.plan import build_plan
from tests.fakes.deploy_goals import converged, fresh, goals, spec

ALL = {
    "cpu_percent_max": 150,
    "cpus": "0-1",
    "memory_bytes_max": 500_000_000,
    "memory_bytes_high": 400_000_000,
    "swap_bytes_max": 0,
    "tasks_max": 300,
    "io_weight": 50,
    "numa_nodes": "0",
}


def messages(of_agent: dict[str, Any], **facts: Any) -> list[str]:
    answers = spec(1, resources={"limits": {"agent": of_agent}})
    host = msgspec.structs.replace(fresh(1), **facts)
    return [finding.message for finding in limits.findings(answers, answers.hosts[0], host)]


def test_every_limit_is_a_line_and_none_is_no_file() -> None:
    text = limits.dropin_text(layout.FABRIC, ServiceLimits.model_validate(ALL), fresh(1))
    assert text.splitlines()[1:] == [
        "[Service]",
        "CPUQuota=150%",
        "CPUAffinity=0-1",
        "NUMAPolicy=bind",
        "NUMAMask=0",
        "MemoryMax=500000000",
        "Environment=GOMEMLIMIT=357MiB",
        "MemoryHigh=400000000",
        "MemorySwapMax=0",
        "TasksMax=300",
        "IOWeight=50",
    ]
    assert limits.dropin_text(layout.AGENT, ServiceLimits(), fresh(1)) == ""


def test_what_version_1_does_not_know_is_left_out_and_said() -> None:
    v1 = msgspec.structs.replace(fresh(1), cgroup="tmpfs")
    text = limits.dropin_text(layout.AGENT, ServiceLimits.model_validate(ALL), v1)
    assert "MemoryMax=" in text
    assert "MemoryHigh" not in text
    assert "MemorySwapMax" not in text
    said = messages({"swap_bytes_max": 0}, cgroup="tmpfs")
    assert any("version 1" in message for message in said)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"cpu_percent_max": 300}, "300 %, but the host's processors that we may use give 200 %"),
        ({"cpus": "0-3"}, "cpus names 2, 3, but the processors that we may use are 0-1"),
        ({"numa_nodes": "1"}, "numa_nodes names 1, but the host's memory nodes are 0"),
        ({"memory_bytes_max": 3_000_000_000}, "is 3000 MB, the host has 2000 MB"),
        ({"memory_bytes_max": 1_000}, "134 MB are needed"),
        ({"memory_bytes_high": 2_000_000_000}, "has to lie between"),
        ({"tasks_max": 3}, "tasks_max is 3, 64 are needed"),
        ({"memory_bytes_max": 1_500_000_000}, "together may take 2574 MB, the host has 2000 MB"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_numbers(asked: dict[str, Any], said: str) -> None:
    found = messages(
        asked,
        cpus=8,
        cpu=Cpu(allowed="0-1", nodes=(NumaNode(number=0, cpus="0-1"),)),
        memory_total_bytes=16_000_000_000,
        memory=Memory(limit_bytes=2_000_000_000),
    )
    assert any(said in message for message in found), found


def test_what_is_not_known_refuses_nothing() -> None:
    found = messages(
        {"cpus": "0-63", "cpu_percent_max": 6_400, "memory_bytes_max": 1 << 36},
        cpus=None,
        cpu=None,
        memory_total_bytes=None,
        memory=None,
    )
    assert found == []


def test_only_the_service_whose_limits_change_is_started_anew() -> None:
    answers = spec(3)
    facts = converged(answers)
    limited = spec(3, resources={"limits": {"agent": {"memory_bytes_max": 600_000_000}}})
    plan = build_plan(goals(limited, facts), ())
    lines = [f"{change.phase} {change.action} {change.target}" for change in plan.hosts["bzzz-1"]]
    assert lines == [
        f"limit_services create {layout.AGENT_LIMITS}",
        "start_agent restart bzzz-agent.service",
    ]


@pytest.mark.parametrize("path", ["/var/lib/b zzz", "/var/lib/b\nzzz", "/var/lib/%h", "/", "/a'b"])
def test_a_path_that_would_spoil_a_unit_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        spec(1, resources={"paths": {"data": path}})
