"""The migrations of the node's file. Each one is frozen once released: never mend an old one.

1 -> 2. A file of schema 1 listed every value, defaults included. From schema 2 on a file holds what
is the node's own, because whatever it mentions goes before the cluster-wide configuration. So the
values that only repeat a default of schema 1 are dropped. What the node does stays the same.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from bzzz_core.config.migrate import Migration

_DEFAULTS_1: Final[dict[str, Any]] = {
    "network": {
        "api_host": "127.0.0.1",
        "ports": {
            "api": 8080,
            "fabric_client": 4222,
            "fabric_cluster": 6222,
            "fabric_monitor": 8222,
        },
    },
    "security": {
        "directory": "/etc/bzzz/secrets",
        "api_token": "file:/etc/bzzz/secrets/api-token",
    },
    "ai": {"endpoint": {"provider": "none", "base_url": None, "model": None, "api_key": None}},
    "resources": {
        "paths": {"data": "/var/lib/bzzz", "logs": "/var/log/bzzz"},
        "store_bytes_max": 1_000_000_000,
        "log_level": "info",
    },
    "services": {"broker": "unit"},
    "cluster": {
        "name": "bzzz",
        "timings": {
            "heartbeat_ms": 200,
            "detect_ms": 800,
            "check_quorum_ms": 600,
            "rank_delay_ms": 150,
        },
        "roster": {"beat_ms": 1_000, "suspect_ms": 3_000, "dead_ms": 8_000},
    },
}
"""What schema 1 meant by silence. `cluster.nodes` keeps its entries whole: others read them too."""


def _only_what_is_own(data: dict[str, Any]) -> dict[str, Any]:
    return _without(data, _DEFAULTS_1)


def _without(data: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Return `data` less what `defaults` says too; a section that becomes empty goes as well."""
    left = {}
    for key, value in data.items():
        if key not in defaults:
            left[key] = copy.deepcopy(value)
        elif isinstance(value, dict) and isinstance(defaults[key], dict):
            inner = _without(value, defaults[key])
            if inner:
                left[key] = inner
        elif value != defaults[key]:
            left[key] = value
    return left


AGENT_MIGRATIONS: Final[dict[int, Migration]] = {1: _only_what_is_own}
"""Version N -> what leads from N to N + 1."""
