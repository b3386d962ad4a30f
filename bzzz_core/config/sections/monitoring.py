"""What a node watches of itself and writes down. Part of 5 Resource Allocation.

What each alert means: docs/runbooks/alerts.md.
"""

from __future__ import annotations

from bzzz_core.config.sections.logs import LogsConfig
from bzzz_core.config.setting import Section, setting


class AlertsConfig(Section):
    """When this node calls something an alert. Ratios are parts of 1."""

    enabled: bool = setting(
        default=True,
        reloadable=True,
        label="Alerts",
        help="Whether this node looks for alerts itself.",
    )
    no_leader_s: int = setting(
        10,
        reloadable=True,
        ge=1,
        le=3_600,
        unit="s",
        label="No leader",
        help="How long a node may know no leader before that is an alert; a failover is none.",
    )
    leader_changes_max: int = setting(
        3,
        reloadable=True,
        ge=1,
        le=1_000,
        label="Leader changes",
        help="More changes of leader than this within 10 minutes are an alert.",
    )
    elections_failed_max: int = setting(
        5,
        reloadable=True,
        ge=1,
        le=1_000,
        label="Failed elections",
        help="More polls without a majority than this within 10 minutes are an alert.",
    )
    version_mismatch_s: int = setting(
        900,
        reloadable=True,
        ge=1,
        le=86_400,
        unit="s",
        label="Releases differ",
        help="How long nodes may run different releases, as during an upgrade.",
    )
    replicas_missing_s: int = setting(
        60,
        reloadable=True,
        ge=1,
        le=86_400,
        unit="s",
        label="Copies missing",
        help="How long a stream may have fewer copies than it should, as after a restart.",
    )
    control_stream_ratio: float = setting(
        0.8,
        reloadable=True,
        gt=0,
        lt=1,
        label="Control stream full",
        help="Alert when this part of the control stream is filled.",
    )
    broker_store_ratio: float = setting(
        0.85,
        reloadable=True,
        gt=0,
        lt=1,
        label="Broker store full",
        help="Alert when the broker has filled this part of resources.store_bytes_max.",
    )
    disk_ratio: float = setting(
        0.9,
        reloadable=True,
        gt=0,
        lt=1,
        label="Disk full",
        help="Alert when this part of the disk of data or logs is in use.",
    )
    memory_ratio: float = setting(
        0.95,
        reloadable=True,
        gt=0,
        lt=1,
        label="Memory full",
        help="Alert when this part of the machine's memory is in use for a minute.",
    )
    clock_skew_s: float = setting(
        1.0,
        reloadable=True,
        gt=0,
        le=3_600,
        unit="s",
        label="Clock skew",
        help="Alert when this node's clock is further off than this.",
    )
    certificate_left_ratio: float = setting(
        0.2,
        reloadable=True,
        gt=0,
        lt=1,
        label="Certificate ends",
        help="Alert when less than this part of a certificate's life is left; renewal starts at "
        "a third.",
    )
    denied_calls_max: int = setting(
        20,
        reloadable=True,
        ge=1,
        le=1_000_000,
        label="Denied calls",
        help="More refused calls of the API than this within 5 minutes are an alert.",
    )
    event_loop_lag_s: float = setting(
        0.25,
        reloadable=True,
        gt=0,
        le=60,
        unit="s",
        label="Event loop delay",
        help="Alert when the agent's event loop is later than this for half a minute.",
    )


class MonitoringConfig(Section):
    """What a node watches of itself and writes down."""

    logs: LogsConfig = setting(LogsConfig(), label="Logs", help="What becomes of the log.")
    alerts: AlertsConfig = setting(
        AlertsConfig(), label="Alerts", help="When something is an alert."
    )
