"""Which brokers a node may use, and in which order it tries them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from bzzz_core.config.schema import AgentConfig
from bzzz_core.fabric.broker import Endpoint, loopback_of, own_client_port
from bzzz_core.fabric.link import BrokerAddress
from bzzz_core.model import NodeId


def brokers_of(config: AgentConfig) -> list[BrokerAddress]:
    """Return where the voters' brokers take this node; its own is reached over loopback."""
    me, first = config.me, config.cluster.dht.bootstrap_nodes
    return [
        BrokerAddress(
            node=NodeId(entry.id),
            host=loopback_of(entry.address) if entry.id == me.id else entry.address,
            port=own_client_port(config) if entry.id == me.id else entry.fabric_client,
            first=str(Endpoint(host=entry.address, port=entry.fabric_client)) in first,
        )
        for entry in config.cluster.nodes
        if entry.voter
    ]


def by_preference(node: NodeId, brokers: Sequence[BrokerAddress]) -> tuple[BrokerAddress, ...]:
    """Order brokers: ours, those to try first, the others in an order that differs by node."""

    def rank(broker: BrokerAddress) -> tuple[bool, bool, bytes]:
        pair = f"{node} {broker.node}".encode()
        return broker.node != node, not broker.first, hashlib.sha256(pair).digest()

    assert brokers, "a cluster has at least one voter"
    return tuple(sorted(brokers, key=rank))
