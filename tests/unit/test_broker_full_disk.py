"""A broker whose disk was full gives its store up and says so; only a new start brings it back."""

from __future__ import annotations

from bzzz_core.fabric.monitor import BrokerHealth
from bzzz_core.fabric.watch import UNWELL_MS_MIN, Verdict, Watch

WELL = BrokerHealth(healthy=True, meta_leader="b", size=3, member=True, store_bytes=1, problem="")
DISABLED = BrokerHealth(
    healthy=False,
    meta_leader=None,
    size=0,
    member=False,
    store_bytes=0,
    problem="JetStream not enabled (10076)",
    disabled=True,
)
LEADERLESS = BrokerHealth(
    healthy=False, meta_leader=None, size=3, member=False, store_bytes=1, problem="no leader"
)


def verdict(health: BrokerHealth) -> Verdict:
    watch = Watch()
    watch.look(WELL, now_ms=0, was_peer=True)
    watch.look(health, now_ms=1, was_peer=True)
    return watch.look(health, now_ms=1 + UNWELL_MS_MIN, was_peer=True)


def test_a_broker_that_gave_its_store_up_is_started_anew() -> None:
    """It knows no leader of the metadata any more, but that is its own fault."""
    assert verdict(DISABLED) is Verdict.STUCK


def test_a_broker_whose_cluster_has_no_leader_is_left_alone() -> None:
    assert verdict(LEADERLESS) is Verdict.WELL
