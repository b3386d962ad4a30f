"""`bzzz-agent fabric status` speaks of nodes, not of brokers' serial numbers alone."""

from __future__ import annotations

from bzzz_core.commands.fabric import _text
from bzzz_core.fabric.report import (
    FabricReport,
    PeerReport,
    ReplicaReport,
    StreamReport,
)


def test_a_broker_is_named_by_its_node_also_when_that_was_revoked() -> None:
    found = FabricReport(
        node="one",
        voter=True,
        broker="aaa-1",
        ready=True,
        peers_counted=3,
        meta_leader="aaa-1",
        store_bytes=0,
        disk_free_bytes=0,
        peers=(
            PeerReport("aaa-1", "one", member=True, leader=True, online=True, current=True),
            PeerReport("bbb-1", "two", member=False, leader=False, online=False, current=False),
            PeerReport("x", "", member=False, leader=False, online=True, current=True),
        ),
        streams=(
            StreamReport(
                stream="S",
                replicas=2,
                settled=False,
                messages=1,
                bytes=1,
                last_sequence=1,
                placed=(
                    ReplicaReport("aaa-1", leader=True, current=True, lag=0),
                    ReplicaReport("bbb-1", leader=False, current=False, lag=4),
                    ReplicaReport("gone", leader=False, current=False, lag=5),
                ),
            ),
        ),
        problems=(),
    )
    lines = [line.strip() for line in _text(found).splitlines()]
    assert "aaa-1 (one): online, leads the metadata" in lines
    assert "bbb-1 (two, no member any more): OFFLINE" in lines
    assert "x (not one of ours): online" in lines
    assert "leader  aaa-1 (one)" in lines
    assert "replica bbb-1 (two), 4 behind, OFFLINE" in lines
    assert "replica gone, 5 behind" in lines
