"""The eight sections in wizard order, one module a section, as far as they are in use.

Fields arrive with the feature that reads them. A `...Answers` class is the operator's side (what
setup asks), a `...Config` class the node's side (what an agent reads); what both need is one class.
"""

from __future__ import annotations

from bzzz_core.config.sections.ai import AiAnswers, AiConfig, AiEndpoint, FurtherEndpoint
from bzzz_core.config.sections.cluster import (
    ClusterAnswers,
    ClusterConfig,
    DhtConfig,
    NodeEntry,
    RosterTimings,
    Timings,
)
from bzzz_core.config.sections.logs import LogsConfig
from bzzz_core.config.sections.model_servers import (
    ModelServersAnswers,
    ServerInstance,
    ServerSettings,
    WantedModel,
)
from bzzz_core.config.sections.monitoring import AlertsConfig, MonitoringConfig
from bzzz_core.config.sections.network import (
    BehindForwarding,
    FirewallAnswers,
    NetworkConfig,
    Ports,
)
from bzzz_core.config.sections.network_answers import NetworkAnswers
from bzzz_core.config.sections.patterns import ADDRESS, LOGIN, NAME
from bzzz_core.config.sections.resources import (
    LimitsAnswers,
    Paths,
    ResourcesAnswers,
    ResourcesConfig,
    ServiceLimits,
)
from bzzz_core.config.sections.security import (
    SecurityAnswers,
    SecurityConfig,
    SshAnswers,
    TlsAnswers,
)
from bzzz_core.config.sections.services import (
    Backend,
    BackendsConfig,
    Profile,
    ServicesAnswers,
    ServicesConfig,
)
from bzzz_core.config.sections.system import NodeRole, SystemAnswers, SystemConfig
from bzzz_core.config.sections.validation import ValidationAnswers, ValidationConfig

__all__ = [
    "ADDRESS",
    "LOGIN",
    "NAME",
    "AiAnswers",
    "AiConfig",
    "AiEndpoint",
    "AlertsConfig",
    "Backend",
    "BackendsConfig",
    "BehindForwarding",
    "ClusterAnswers",
    "ClusterConfig",
    "DhtConfig",
    "FirewallAnswers",
    "FurtherEndpoint",
    "LimitsAnswers",
    "LogsConfig",
    "ModelServersAnswers",
    "MonitoringConfig",
    "NetworkAnswers",
    "NetworkConfig",
    "NodeEntry",
    "NodeRole",
    "Paths",
    "Ports",
    "Profile",
    "ResourcesAnswers",
    "ResourcesConfig",
    "RosterTimings",
    "SecurityAnswers",
    "SecurityConfig",
    "ServerInstance",
    "ServerSettings",
    "ServiceLimits",
    "ServicesAnswers",
    "ServicesConfig",
    "SshAnswers",
    "SystemAnswers",
    "SystemConfig",
    "Timings",
    "TlsAnswers",
    "ValidationAnswers",
    "ValidationConfig",
    "WantedModel",
]
