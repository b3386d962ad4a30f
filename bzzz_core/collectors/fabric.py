"""Figures of the fabric: the connection of this node, and what the leader sees of the streams."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from bzzz_core.fabric.layout import CONTROL_STREAM
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.fabric.streams import StreamState
from bzzz_core.model import FabricState
from bzzz_core.telemetry import metrics_catalogue as the
from bzzz_core.telemetry.metrics import Collector
from bzzz_core.telemetry.metrics_catalogue import Reading

BACKEND: Final = "nats"
_NO_ERRORS: Final = frozenset({"connections", "reconfigurations"})


def of_fabric(fabric: NatsFabric) -> Collector:
    """Return what reads this node's connection."""

    def collect() -> Iterator[Reading]:
        for state in FabricState:
            yield the.FABRIC_STATE.at(fabric.state is state, str(state))
        yield the.FABRIC_CONNECTIONS.at(fabric.counters["connections"], BACKEND)
        for kind, count in fabric.counters.items():
            if kind not in _NO_ERRORS:
                yield the.FABRIC_ERRORS.at(count, BACKEND, kind)
        traffic = fabric.traffic
        for direction, short in (("sent", "out"), ("received", "in")):
            yield the.FABRIC_BYTES.at(traffic[f"{short}_bytes"], BACKEND, direction)
            yield the.FABRIC_MESSAGES.at(traffic[f"{short}_msgs"], BACKEND, direction)
        if fabric.rtt_ms is not None:
            yield the.FABRIC_RTT.at(fabric.rtt_ms / 1000)

    return collect


def of_streams(
    streams: Callable[[], Iterable[StreamState]], *, control_bytes_max: Callable[[], int]
) -> Collector:
    """Return what reads the streams as the leader sees them; nothing on other nodes."""

    def collect() -> Iterator[Reading]:
        for stream in streams():
            current = sum(replica.current for replica in stream.placed)
            yield the.STREAM_BYTES.at(stream.bytes, stream.name)
            yield the.REPLICAS.at(stream.replicas, stream.name)
            yield the.REPLICAS_MISSING.at(max(0, stream.replicas - current), stream.name)
            if stream.name == CONTROL_STREAM:
                yield the.STREAM_USED.at(stream.bytes / control_bytes_max(), stream.name)

    return collect
