"""The names that certificates carry, and which authority may write which.

An identity is a DNS name below `.bzzz`, a domain that does not exist: nobody can own one, and no
address may be one. What a holder may do follows from the label behind its node id.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from bzzz_core.model import NodeId

NODE_ID: Final = re.compile(r"[a-z2-7]{26}")


class Purpose(StrEnum):
    """What an authority may sign."""

    NODE = "node"
    """What agents show, what brokers show to agents, and the operations identity of voters."""
    FABRIC = "fabric"
    """What brokers show to each other, and nothing else."""


def node_name(node: NodeId) -> str:
    """Return the DNS name that stands for a node in its certificate and at the broker."""
    return f"{node}.node.bzzz"


def route_name(node: NodeId) -> str:
    """Return the DNS name that stands for a voter's broker in its route certificate."""
    return f"{node}.route.bzzz"


def system_name(node: NodeId) -> str:
    """Return the DNS name of a voter's operations identity, which only its broker's owner uses."""
    return f"{node}.system.bzzz"
