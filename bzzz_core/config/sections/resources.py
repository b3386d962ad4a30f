"""5 Resource Allocation."""

from __future__ import annotations

from typing import Literal

from bzzz_core.config.sections.monitoring import MonitoringAnswers, MonitoringConfig
from bzzz_core.config.setting import Section, setting


class Paths(Section):
    """Where a node keeps things."""

    data: str = setting(
        "/var/lib/bzzz", pattern="^/", label="Data", help="Directory for the node's data and votes."
    )
    logs: str = setting(
        "/var/log/bzzz", pattern="^/", label="Logs", help="Directory for the node's log files."
    )


class ResourcesAnswers(Section):
    """5 Resource Allocation, as setup asks for it."""

    paths: Paths = setting(Paths(), of_node=True, label="Paths", help="Where a node keeps things.")
    store_bytes_max: int = setting(
        1_000_000_000,
        of_node=True,
        ge=64_000_000,
        unit="bytes",
        label="Broker store limit",
        help="Most disk the broker may fill; keep it below the free space.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", reloadable=True, label="Log level", help="How much the agent writes down."
    )
    monitoring: MonitoringAnswers = setting(
        MonitoringAnswers(),
        label="Monitoring",
        help="What the node watches of itself and writes down.",
    )


class ResourcesConfig(ResourcesAnswers):
    """What a node may use, and what it watches."""

    monitoring: MonitoringConfig = setting(
        MonitoringConfig(),
        label="Monitoring",
        help="What the node watches of itself and writes down.",
    )
