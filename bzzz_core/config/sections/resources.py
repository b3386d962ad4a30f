"""5 Resource Allocation."""

from __future__ import annotations

from typing import Final, Literal, Self

from pydantic import field_validator, model_validator

from bzzz_core.config.sections.directories import clashes, system_directory
from bzzz_core.config.sections.monitoring import MonitoringConfig
from bzzz_core.config.sections.patterns import DIRECTORY
from bzzz_core.config.setting import Section, setting

CPU_LIST: Final = r"^([0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?){0,199})?$"
"""Processors or memory nodes as Linux writes them: "0-3,8"; empty: not said."""


class Paths(Section):
    """Where a node keeps things."""

    data: str = setting(
        "/var/lib/bzzz",
        pattern=DIRECTORY,
        label="Data",
        help="Directory for the node's data and votes.",
    )
    logs: str = setting(
        "/var/log/bzzz",
        pattern=DIRECTORY,
        label="Logs",
        help="Directory for the node's log files.",
    )

    @field_validator("data", "logs")
    @classmethod
    def _without_a_slash_at_the_end(cls, path: str) -> str:
        # What lies above is found by cutting the last step off.
        return path.rstrip("/")


class ServiceLimits(Section):
    """What one service may take of a host; what is not said stays as its unit has it."""

    cpu_percent_max: int = setting(
        0,
        ge=0,
        le=1_000_000,
        unit="%",
        label="CPU limit",
        help="Share of processor time; 100 is one whole processor, 0: no limit.",
    )
    cpus: str = setting(
        "",
        pattern=CPU_LIST,
        label="Processors",
        help='The processors it may run on, such as "0-3,8"; empty: all.',
    )
    memory_bytes_max: int = setting(
        0,
        ge=0,
        unit="bytes",
        label="Memory limit",
        help="Beyond it the service is ended and started again; 0: as its unit has it.",
    )
    memory_bytes_high: int = setting(
        0,
        ge=0,
        unit="bytes",
        label="Memory throttle",
        help="From here on the service is slowed down to give memory back; 0: never.",
    )
    swap_bytes_max: int | None = setting(
        None,
        ge=0,
        unit="bytes",
        label="Swap limit",
        help="How much of it may be swapped out; 0: nothing; empty: as the system does.",
    )
    tasks_max: int = setting(
        0,
        ge=0,
        le=1_000_000,
        label="Task limit",
        help="How many processes and threads it may have; 0: as its unit has it.",
    )
    io_weight: int = setting(
        0,
        ge=0,
        le=10_000,
        label="Disk weight",
        help="Share of a busy disk beside others, which have 100; 0: not said.",
    )
    numa_nodes: str = setting(
        "",
        pattern=CPU_LIST,
        label="Memory nodes",
        help='NUMA nodes whose memory alone it uses, such as "0"; empty: all.',
    )


class LimitsAnswers(Section):
    """What the two services of a node may take of its host."""

    agent: ServiceLimits = setting(ServiceLimits(), label="Agent", help="Limits of the agent.")
    fabric: ServiceLimits = setting(
        ServiceLimits(), label="Fabric", help="Limits of the message broker."
    )


class PathsAnswers(Paths):
    """Where a node keeps things, and where it will put copies."""

    backup: str | None = setting(
        None,
        pattern=DIRECTORY,
        active=False,
        label="Backup",
        help="Directory for backups, best on another disk; empty: none are made.",
    )

    @model_validator(mode="after")
    def _are_our_own(self) -> Self:
        named = {"data": self.data, "logs": self.logs, "backup": self.backup or ""}
        for name, path in named.items():
            system = system_directory(path) if path else ""
            if system:
                raise ValueError(
                    f"{name}: {path} is no directory for BZZZ alone ({system} is the system's):"
                    " give one of its own, such as /srv/bzzz"
                )
        both = clashes(named)
        if both:
            raise ValueError(f"{both[0]} and {both[1]} must not lie in each other")
        return self


class ResourcesConfig(Section):
    """What a node may use, and what it watches."""

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
    monitoring: MonitoringConfig = setting(
        MonitoringConfig(),
        label="Monitoring",
        help="What the node watches of itself and writes down.",
    )


class ResourcesAnswers(ResourcesConfig):
    """5 Resource Allocation, as setup asks for it."""

    paths: PathsAnswers = setting(
        PathsAnswers(), of_node=True, label="Paths", help="Where a node keeps things."
    )

    limits: LimitsAnswers = setting(
        LimitsAnswers(),
        label="Limits",
        help="What the services may take of a host; written for systemd, not for the node.",
    )
    cpu_governor: Literal["unchanged", "performance", "schedutil", "ondemand", "powersave"] = (
        setting(
            "unchanged",
            label="CPU governor",
            active=False,
            help="How processors choose their speed.",
        )
    )
    gpu_power_watts_max: int = setting(
        0,
        ge=0,
        le=2_000,
        unit="W",
        active=False,
        label="GPU power limit",
        help="Most power of each graphics card; 0: unchanged.",
    )
    gpu_temperature_c_max: int = setting(
        0,
        ge=0,
        le=110,
        unit="C",
        active=False,
        label="GPU temperature",
        help="Above this a card gets no new work; 0: the card's own limit.",
    )
    weight: int = setting(
        100,
        ge=1,
        le=1_000,
        active=False,
        label="Node weight",
        help="Share of the work that a host gets beside the others, all else being equal.",
    )
