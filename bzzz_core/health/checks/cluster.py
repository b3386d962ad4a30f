"""This node's place in the cluster: bus, leadership, hash table, its broker and the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bzzz_core.api.documents import Status
from bzzz_core.config.schema import AgentConfig
from bzzz_core.dht.notices import DhtStatus
from bzzz_core.errors import BzzzError
from bzzz_core.fabric.broker import Endpoint
from bzzz_core.fabric.layout import inbox_prefix
from bzzz_core.fabric.monitor import BrokerHealth, ask_health
from bzzz_core.fabric.problem import ProblemNote
from bzzz_core.health.check import Check, Finding, above, critical, ok, unknown, warning
from bzzz_core.health.own_thread import OwnThread
from bzzz_core.model import FabricState, MemberState, NodeId
from bzzz_core.ports import Clock, Fabric

_OFTEN_MS: Final = 15_000
_SELDOM_MS: Final = 60_000
_TIMEOUT_MS: Final = 5_000
_STATES: Final[dict[str, Callable[[str], Finding]]] = {
    "healthy": ok,
    "degraded": warning,
    "failed": critical,
}


def fabric(bus: Fabric, node: NodeId, *, clock: Clock) -> Check:
    """Return the check of the bus: a message of this node to itself goes there and back."""
    subject = f"{inbox_prefix(node)}.probe.health"

    async def look() -> Finding:
        if bus.state not in {FabricState.CONNECTED, FabricState.DEGRADED}:
            return critical(f"not attached ({bus.state}): look at bzzz-fabric.service")
        arrived = asyncio.Event()
        interest = await bus.subscribe(subject, lambda _message: arrived.set())
        try:
            begun_ms = clock.now_ms()
            await bus.publish(subject, b"")
            await arrived.wait()
            took_ms = clock.now_ms() - begun_ms
        finally:
            await interest.stop()
        words = f"a message came back in {took_ms} ms"
        if bus.state is FabricState.DEGRADED:
            return warning(f"{words}, by another node's broker: ours does not take us")
        return ok(words)

    return Check(name="fabric", look=look, interval_ms=2 * _OFTEN_MS, timeout_ms=_TIMEOUT_MS)


def leadership(status: Callable[[], Status]) -> Check:
    """Return the check of whether somebody leads, and how many voters could be lost."""

    async def look() -> Finding:
        return judge_leadership(status())

    return Check(name="leadership", look=look, interval_ms=_OFTEN_MS, timeout_ms=_TIMEOUT_MS)


def judge_leadership(status: Status) -> Finding:
    """Judge leadership as one node sees it."""
    voters = [member for member in status.members if member.voter]
    there = sum(member.state is MemberState.ALIVE for member in voters)
    words = f"{there} of {len(voters)} voters are alive"
    if status.leader is None:
        return critical(f"nobody leads; {words}, {status.fabric.quorum} are needed")
    words = f"{status.leader} leads term {status.term}; {words}"
    if not status.leader_serving:
        return warning(f"{words}; it has not had a write acknowledged yet")
    if there < len(voters):
        silent = [member.name for member in voters if member.state is not MemberState.ALIVE]
        return warning(f"{words}: look at {', '.join(silent)}")
    return ok(words)


def hash_table(status: Callable[[], DhtStatus]) -> Check:
    """Return the check of the hash table."""

    async def look() -> Finding:
        return judge_hash_table(status())

    return Check(name="dht", look=look, interval_ms=_OFTEN_MS, timeout_ms=_TIMEOUT_MS)


def judge_hash_table(status: DhtStatus) -> Finding:
    """Judge the table by what it says of itself."""
    words = f"{status.state}, served by {status.serving}"
    if status.queued:
        words += f"; {status.queued} writes wait for the cluster"
    return _STATES.get(status.state, unknown)(words)


def broker(config: Callable[[], AgentConfig]) -> Check:
    """Return the check of this node's nats-server, as it says itself and its supervisor does."""
    note = ProblemNote(Path(config().resources.paths.data))
    thread = OwnThread("check-broker")

    async def look() -> Finding:
        if not config().me.voter:
            return ok("this node runs no broker: it does not vote")
        said = await _ask(config())
        return judge_broker(said, note=await thread.do(note.read))

    return Check(
        name="broker", look=look, interval_ms=2 * _OFTEN_MS, timeout_ms=_TIMEOUT_MS, failures=3
    )


def judge_broker(said: BrokerHealth | None, *, note: str) -> Finding:
    """Judge a broker by its own words and its supervisor's."""
    if said is None:
        return critical(note or "it does not answer: look at bzzz-fabric.service")
    if said.disabled:
        return critical("it has given its store up (is the disk full?) and will be started anew")
    if not said.led:
        return critical("too few brokers reach each other: their cluster has no leader")
    if not said.ready:
        return warning(said.problem or "the brokers' cluster does not count it")
    return warning(note) if note else ok(f"one of {said.size} brokers, in order")


def storage(config: Callable[[], AgentConfig]) -> Check:
    """Return the check of the store that the control stream and the buckets lie in."""

    async def look() -> Finding:
        if not config().me.voter:
            return ok("nothing of the cluster is stored here: this node does not vote")
        said = await _ask(config())
        return judge_store(said, bytes_max=config().resources.store_bytes_max)

    return Check(name="storage", look=look, interval_ms=_SELDOM_MS, timeout_ms=_TIMEOUT_MS)


def judge_store(said: BrokerHealth | None, *, bytes_max: int) -> Finding:
    """Judge how full a broker's store is: one that is full can take no term any more."""
    if said is None:
        return unknown("the broker does not answer")
    percent = said.store_bytes * 100 / bytes_max
    words = f"the broker's store holds {percent:.0f} % of its {bytes_max} bytes"
    found = above(percent, warn=70, fail=90, words=words)
    if found.state == "ok":
        return found
    return Finding(found.state, f"{words}: raise resources.store_bytes_max on all voters")


async def _ask(config: AgentConfig) -> BrokerHealth | None:
    try:
        return await ask_health(
            Endpoint(host="127.0.0.1", port=config.network.ports.fabric_monitor)
        )
    except BzzzError:
        return None
