"""1 System Detection."""

from __future__ import annotations

from typing import Literal

from bzzz_core.config.sections.patterns import NAME
from bzzz_core.config.setting import Section, setting

NodeRole = Literal["coordinator", "worker", "storage"]


class SystemAnswers(Section):
    """1 System Detection: which machines, and how fit they must be."""

    clock_skew_ms_max: int = setting(
        5_000,
        ge=100,
        le=60_000,
        unit="ms",
        label="Clock skew",
        help="Refuse a host whose clock differs from this machine's by more than this.",
    )
    disk_free_bytes_min: int = setting(
        1_000_000_000,
        ge=100_000_000,
        unit="bytes",
        label="Free disk",
        help="Refuse a host with less free space than this where BZZZ puts its files.",
    )


class SystemConfig(Section):
    """Who this node is to people."""

    node_name: str = setting(
        pattern=NAME,
        label="Node name",
        help="The name operators see; identity comes from the node's key, not from this.",
    )
    node_roles: tuple[NodeRole, ...] = setting(
        ("worker",),
        of_node=True,
        max_length=3,
        label="Node roles",
        help="What this node is for: coordinator, worker, storage. The others are told.",
    )
