"""Beats with everything filled in that a test does not care about."""

from __future__ import annotations

from typing import Any

from bzzz_core.membership.beat import Beat
from bzzz_core.model import NodeId


def beat(node: NodeId, *, number: int = 1, incarnation: int = 1, **fields: Any) -> Beat:
    """Return a beat of `node`."""
    given: dict[str, Any] = {
        "name": node,
        "address": "192.0.2.1",
        "version": "0",
        "uptime_s": 0,
        "voter": True,
        **fields,
    }
    return Beat(node=node, incarnation=incarnation, number=number, **given)
