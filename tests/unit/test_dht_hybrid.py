"""Falling back, coming back, conflicts and switching: nothing acknowledged is ever lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from bzzz_core.breaker import Breaker
from bzzz_core.dht.hybrid import Backend, HybridDht
from bzzz_core.dht.memory import MemoryDht, MemoryTable
from bzzz_core.dht.notices import Conflicted, FellBack, Notice, Recovered, Switched
from bzzz_core.dht.queue import WriteQueue
from bzzz_core.dht.stored import StoredDht
from bzzz_core.errors import (
    CapacityExceeded,
    KeyNotFound,
    QuorumUnavailable,
    RequestTimeout,
)
from bzzz_core.model import NodeId
from tests.fakes.key_value import NodeKeyValue, SharedBucket
from tests.fakes.virtual_time import VirtualClock, run


class Node:
    """One node's table and the store below it."""

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        *,
        watches: bool = True,
        backend: Backend = Backend.HYBRID,
        falls_back: bool = True,
        queue: WriteQueue | None = None,
    ) -> None:
        clock = cluster.clock
        self.values: NodeKeyValue = cluster.values.attach()
        self.providers: NodeKeyValue = cluster.providers.attach()
        self.notices: list[Notice] = []
        self.queue = WriteQueue(None) if queue is None else queue
        self.stored = StoredDht(
            node=NodeId(name),
            values=self.values,
            providers=self.providers,
            clock=clock,
            watches=watches,
            lifetime_s=10,
        )
        self.dht = HybridDht(
            node=NodeId(name),
            cluster=self.stored,
            mock=MemoryDht(cluster.table, node=NodeId(name), clock=clock),
            queue=self.queue,
            breaker=Breaker(),
            clock=clock,
            backend=backend,
            falls_back=falls_back,
            replicas=lambda: 3,
            notify=self.notices.append,
        )

    def cut_off(self) -> None:
        self.values.away = self.providers.away = True

    def come_back(self) -> None:
        self.values.come_back()
        self.providers.come_back()

    def told(self, kind: type[Notice]) -> list[Notice]:
        return [notice for notice in self.notices if isinstance(notice, kind)]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.dht.run())
            await pause(1)
            yield
            task.cancel()


class Cluster:
    """Two buckets in virtual time."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.values = SharedBucket(self.clock)
        self.providers = SharedBucket(self.clock)
        self.table = MemoryTable()


async def pause(duration_ms: int) -> None:
    await VirtualClock().sleep_ms(duration_ms)


def play(scenario: Callable[[Cluster], Awaitable[None]]) -> None:
    async def body() -> None:
        await scenario(Cluster())

    run(body())


def test_write_that_meets_the_failure_succeeds_locally_and_is_read_back() -> None:
    async def scenario(cluster: Cluster) -> None:
        node = Node(cluster, "a")
        async with node.running():
            node.cut_off()
            await node.dht.put_value("key", b"mine")
            assert await node.dht.get_value("key") == b"mine"
            assert node.dht.status().state == "degraded"
            assert node.dht.status().queued == 1
            assert len(node.told(FellBack)) == 1

    play(scenario)


def test_queued_writes_reach_the_cluster_within_seconds_of_its_return() -> None:
    async def scenario(cluster: Cluster) -> None:
        node, other = Node(cluster, "a"), Node(cluster, "b")
        async with node.running(), other.running():
            node.cut_off()
            for number in range(50):
                await node.dht.put_value(f"key {number}", b"%d" % number)
            await pause(60_000)
            node.come_back()
            await pause(5_000)
            assert node.dht.status().state == "healthy"
            for number in range(50):
                assert await other.dht.get_value(f"key {number}") == b"%d" % number
            (recovered,) = node.told(Recovered)
            assert isinstance(recovered, Recovered)
            assert 60_000 <= recovered.away_ms <= 65_000
            assert not node.told(Conflicted)

    play(scenario)


def test_after_some_failures_nobody_waits_for_the_next_one() -> None:
    async def scenario(cluster: Cluster) -> None:
        node = Node(cluster, "a")
        async with node.running():
            node.values.hangs_ms = 60_000
            started_ms = cluster.clock.now_ms()
            for number in range(3):
                await node.dht.put_value(f"key {number}", b"x")
            waited_ms = cluster.clock.now_ms() - started_ms
            assert waited_ms <= 3_000  # Three attempts of a second, of which one may be a probe.
            await node.dht.put_value("one more", b"x")
            assert cluster.clock.now_ms() - started_ms == waited_ms
            assert node.dht.status().serving == "local"

    play(scenario)


def test_probes_become_rare_while_the_cluster_stays_away() -> None:
    async def scenario(cluster: Cluster) -> None:
        node = Node(cluster, "a")
        async with node.running():
            node.cut_off()
            await node.dht.put_value("key", b"x")
            await pause(20_000)
            before = len(node.values.operations)
            await pause(60_000)
            assert len(node.values.operations) - before <= 16

    play(scenario)


def test_value_that_nobody_here_saw_is_unknown_not_absent() -> None:
    async def scenario(cluster: Cluster) -> None:
        node, other = Node(cluster, "a", watches=False), Node(cluster, "b")
        async with node.running(), other.running():
            await other.dht.put_value("seen", b"1")
            await other.dht.put_value("unseen", b"2")
            assert await node.dht.get_value("seen") == b"1"
            with pytest.raises(KeyNotFound):
                await node.dht.get_value("nobody's")
            node.cut_off()
            for _ in range(5):  # Before the breaker opens, and after.
                assert await node.dht.get_value("seen") == b"1"
                with pytest.raises(QuorumUnavailable):
                    await node.dht.get_value("unseen")

    play(scenario)


def test_voter_cut_off_reads_all_that_it_watched() -> None:
    async def scenario(cluster: Cluster) -> None:
        node, other = Node(cluster, "a"), Node(cluster, "b")
        async with node.running(), other.running():
            await other.dht.put_value("key", b"old")
            node.cut_off()
            await other.dht.put_value("key", b"new")
            assert await node.dht.get_value("key") == b"old"
            node.come_back()
            assert await node.dht.get_value("key") == b"new"

    play(scenario)


def test_two_who_wrote_one_key_lose_neither_value() -> None:
    async def scenario(cluster: Cluster) -> None:
        node, other = Node(cluster, "a"), Node(cluster, "b")
        async with node.running(), other.running():
            await node.dht.put_value("key", b"before")
            node.cut_off()
            await node.dht.put_value("key", b"mine")
            await other.dht.put_value("key", b"theirs")
            node.come_back()
            await pause(5_000)
            assert await node.dht.get_value("key") == b"theirs"
            (conflict,) = node.told(Conflicted)
            assert isinstance(conflict, Conflicted)
            assert conflict.key == "key"
            assert await other.dht.get_value(conflict.kept_at) == b"mine"
            assert node.dht.status().conflicts == (conflict.kept_at,)
            assert node.dht.status().queued == 0

    play(scenario)


def test_key_never_seen_before_is_not_overwritten_either() -> None:
    async def scenario(cluster: Cluster) -> None:
        node, other = Node(cluster, "a", watches=False), Node(cluster, "b")
        async with node.running(), other.running():
            await other.dht.put_value("key", b"theirs")
            node.cut_off()
            await node.dht.put_value("key", b"mine")
            node.come_back()
            await pause(5_000)
            assert await other.dht.get_value("key") == b"theirs"
            (conflict,) = node.told(Conflicted)
            assert isinstance(conflict, Conflicted)
            assert await other.dht.get_value(conflict.kept_at) == b"mine"

    play(scenario)


def test_key_that_was_removed_meanwhile_is_written_again() -> None:
    async def scenario(cluster: Cluster) -> None:
        node = Node(cluster, "a")
        async with node.running():
            await node.dht.put_value("key", b"before")
            (slot,) = cluster.values.records
            node.cut_off()
            await node.dht.put_value("key", b"mine")
            cluster.values.set(slot, None)
            node.come_back()
            await pause(5_000)
            assert cluster.values.records[slot].value == b"mine"
            assert not node.told(Conflicted)

    play(scenario)


@pytest.mark.parametrize("watches", [True, False])
def test_write_whose_answer_was_lost_is_no_conflict_with_itself(*, watches: bool) -> None:
    async def scenario(cluster: Cluster) -> None:
        node = Node(cluster, "a", watches=watches)
        async with node.running():
            await node.dht.put_value("key", b"before")
            node.values.lose_answers = 1
            await node.dht.put_value("key", b"mine")
            await pause(5_000)
            assert await node.dht.get_value("key") == b"mine"
            assert node.dht.status().state == "healthy"
            assert not node.told(Conflicted)

    play(scenario)


def test_own_value_is_read_until_the_copy_has_heard_of_it() -> None:
    """The store has it, and the copy that answers still holds the value before it."""

    async def scenario(cluster: Cluster) -> None:
        node = Node(cluster, "a")
        async with node.running():
            await node.dht.put_value("key", b"before")
            node.values.lose_answers = 1
            node.values.deaf = True
            await node.dht.put_value("key", b"mine")
            for _ in range(100):
                assert await node.dht.get_value("key") == b"mine"
                await pause(50)
            node.values.come_back()
            await pause(1_000)
            assert await node.dht.get_value("key") == b"mine"
            assert node.dht.status().queued == 0
            assert not node.told(Conflicted)

    play(scenario)


def test_who_wrote_after_reading_a_value_whose_answer_was_lost_is_in_no_conflict_with_it() -> None:
    """The value waits for this node's copy, which lags; it has arrived all the same."""

    async def scenario(cluster: Cluster) -> None:
        node, other = Node(cluster, "a"), Node(cluster, "b")
        async with node.running(), other.running():
            await node.dht.put_value("key", b"before")
            node.values.lose_answers = 1
            node.values.deaf = True
            await node.dht.put_value("key", b"mine")
            await pause(1_000)
            assert await other.dht.get_value("key") == b"mine"
            await other.dht.put_value("key", b"after mine")
            await pause(5_000)
            assert await node.dht.get_value("key") == b"mine"
            node.values.come_back()
            await pause(1_000)
            assert await node.dht.get_value("key") == b"after mine"
            assert not node.told(Conflicted)
            assert node.dht.status().queued == 0

    play(scenario)


def test_a_value_that_lost_is_written_and_told_of_once_however_long_the_copy_lags() -> None:
    async def scenario(cluster: Cluster) -> None:
        node, other = Node(cluster, "a"), Node(cluster, "b")
        async with node.running(), other.running():
            await node.dht.put_value("key", b"before")
            node.cut_off()
            await node.dht.put_value("key", b"mine")
            await other.dht.put_value("key", b"theirs")
            node.values.away, node.values.deaf = False, True
            await pause(10_000)
            assert [value for _, value in cluster.values.history].count(b"mine") == 1
            assert len(node.told(Conflicted)) == 1
            node.values.come_back()
            await pause(1_000)
            assert await node.dht.get_value("key") == b"theirs"
            assert len(node.told(Conflicted)) == 1
            assert len(node.dht.status().conflicts) == 1

    play(scenario)


def test_a_write_while_the_one_before_waits_for_the_copy_arrives_as_well() -> None:
    async def scenario(cluster: Cluster) -> None:
        node, other = Node(cluster, "a"), Node(cluster, "b")
        async with node.running(), other.running():
            await node.dht.put_value("key", b"before")
            node.values.lose_answers = 1
            node.values.deaf = True
            await node.dht.put_value("key", b"mine")
            await pause(1_000)
            await node.dht.put_value("key", b"newer")
            await pause(1_000)
            assert await other.dht.get_value("key") == b"newer"
            node.values.come_back()
            await pause(1_000)
            assert await node.dht.get_value("key") == b"newer"
            assert node.dht.status().queued == 0
            assert not node.told(Conflicted)

    play(scenario)


def test_later_write_replaces_one_whose_answer_was_lost() -> None:
    async def scenario(cluster: Cluster) -> None:
        node = Node(cluster, "a")
        async with node.running():
            await node.dht.put_value("key", b"before")
            node.values.lose_answers = 1
            await node.dht.put_value("key", b"first")  # It is in the store all the same.
            node.cut_off()
            await node.dht.put_value("key", b"second")
            node.come_back()
            await pause(5_000)
            assert [record.value for record in cluster.values.records.values()][:1] == [b"second"]
            assert not node.told(Conflicted)

    play(scenario)


def test_write_during_the_return_waits_behind_the_queued_one() -> None:
    async def scenario(cluster: Cluster) -> None:
        node = Node(cluster, "a")
        async with node.running():
            node.cut_off()
            await node.dht.put_value("key", b"first")
            node.come_back()
            node.values.hangs_ms = 100
            await pause(1_050)  # The queued write is on its way.
            await node.dht.put_value("key", b"second")
            assert await node.dht.get_value("key") == b"second"
            await pause(5_000)
            assert node.dht.status().queued == 0
            (slot,) = [key for key, r in cluster.values.records.items() if r.value != b""]
            assert cluster.values.records[slot].value == b"second"
            assert not node.told(Conflicted)

    play(scenario)


def test_write_that_waits_behind_a_queued_one_does_not_overwrite_others() -> None:
    async def scenario(cluster: Cluster) -> None:
        node, other = Node(cluster, "a"), Node(cluster, "b")
        async with node.running(), other.running():
            node.cut_off()
            await node.dht.put_value("key", b"first")
            await other.dht.put_value("key", b"theirs")
            node.come_back()
            await node.dht.put_value("key", b"second")
            await pause(5_000)
            assert await other.dht.get_value("key") == b"theirs"
            (conflict,) = node.told(Conflicted)
            assert isinstance(conflict, Conflicted)
            assert await other.dht.get_value(conflict.kept_at) == b"second"

    play(scenario)


def test_without_fallback_failures_are_raised_and_nothing_is_queued() -> None:
    async def scenario(cluster: Cluster) -> None:
        node = Node(cluster, "a", backend=Backend.REAL, falls_back=False)
        async with node.running():
            node.cut_off()
            for _ in range(5):
                with pytest.raises(QuorumUnavailable):
                    await node.dht.put_value("key", b"x")
            with pytest.raises(QuorumUnavailable):
                await node.dht.provide("key", "me")
            assert node.dht.status().queued == 0
            assert node.dht.status().state == "failed"
            node.come_back()
            await node.dht.put_value("key", b"x")
            assert node.dht.status().state == "healthy"

    play(scenario)


@pytest.mark.parametrize("backend", [Backend.REAL, Backend.MOCK])
def test_switching_loses_no_queued_write(backend: Backend) -> None:
    async def scenario(cluster: Cluster) -> None:
        node, other = Node(cluster, "a"), Node(cluster, "b")
        async with node.running(), other.running():
            node.cut_off()
            await node.dht.put_value("key", b"queued")
            node.dht.switch(backend, falls_back=False)
            assert node.told(Switched) == [Switched(str(backend))]
            node.come_back()
            await pause(5_000)
            assert node.dht.status().queued == 0
            assert await other.dht.get_value("key") == b"queued"

    play(scenario)


def test_write_after_switching_off_the_fallback_takes_the_place_of_the_queued_one() -> None:
    async def scenario(cluster: Cluster) -> None:
        node = Node(cluster, "a")
        async with node.running():
            node.cut_off()
            await node.dht.put_value("key", b"queued")
            node.dht.switch(Backend.REAL, falls_back=False)
            with pytest.raises(QuorumUnavailable):
                await node.dht.put_value("key", b"refused")
            assert await node.dht.get_value("key") == b"queued"
            node.come_back()
            await node.dht.put_value("key", b"newer")
            await pause(5_000)
            assert await node.dht.get_value("key") == b"newer"
            assert node.dht.status().queued == 0
            assert not node.told(Conflicted)

    play(scenario)


def test_mock_is_memory_only_until_it_is_switched() -> None:
    async def scenario(cluster: Cluster) -> None:
        node = Node(cluster, "a", backend=Backend.MOCK)
        async with node.running():
            await node.dht.put_value("key", b"mock")
            await node.dht.provide("key", "me")
            assert await node.dht.get_value("key") == b"mock"
            assert await node.dht.find_providers("key") == ["me"]
            assert not node.values.operations
            assert not node.providers.operations
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(node.dht.cluster_wanted(), 60)
            node.dht.switch(Backend.REAL, falls_back=False)
            await node.dht.cluster_wanted()
            with pytest.raises(KeyNotFound):
                await node.dht.get_value("key")

    play(scenario)


def test_what_an_earlier_run_queued_is_brought_back() -> None:
    async def scenario(cluster: Cluster) -> None:
        first = Node(cluster, "a")
        async with first.running():
            first.cut_off()
            await first.dht.put_value("key", b"queued")
        second, other = Node(cluster, "a", queue=first.queue), Node(cluster, "b")
        async with second.running(), other.running():
            await pause(1_000)
            assert await other.dht.get_value("key") == b"queued"
            assert second.told(Recovered)

    play(scenario)


def test_a_queued_write_that_the_cluster_refuses_holds_up_no_other_and_is_tried_seldom() -> None:
    async def scenario(cluster: Cluster) -> None:
        node, other = Node(cluster, "a"), Node(cluster, "b")
        async with node.running(), other.running():
            node.cut_off()
            await node.dht.put_value("large", b"x" * 1_000)
            await node.dht.put_value("small", b"1")
            cluster.values.value_bytes_max = 500
            node.come_back()
            await pause(5_000)
            assert await other.dht.get_value("small") == b"1"
            assert node.dht.status().queued == 1
            assert await node.dht.get_value("large") == b"x" * 1_000
            asked = len(node.values.operations)
            await pause(60_000)
            assert len(node.values.operations) - asked < 50, "a probe and a try every 5 s"
            assert not node.told(Recovered), "it still holds what the cluster lacks"
            cluster.values.value_bytes_max = None
            await pause(10_000)
            assert await other.dht.get_value("large") == b"x" * 1_000
            assert node.told(Recovered)

    play(scenario)


def test_full_queue_refuses_instead_of_forgetting() -> None:
    async def scenario(cluster: Cluster) -> None:
        node = Node(cluster, "a", queue=WriteQueue(None, entries_max=2))
        async with node.running():
            node.cut_off()
            await node.dht.put_value("one", b"1")
            await node.dht.put_value("two", b"2")
            with pytest.raises(CapacityExceeded):
                await node.dht.put_value("three", b"3")
            await node.dht.put_value("two", b"newer")

    play(scenario)


def test_provider_told_while_away_is_found_after_the_return() -> None:
    async def scenario(cluster: Cluster) -> None:
        node, other = Node(cluster, "a"), Node(cluster, "b")
        async with node.running(), other.running():
            node.cut_off()
            for number in range(5):
                await node.dht.provide(f"key {number}", "me")
            assert await node.dht.find_providers("key 4") == ["me"]
            with pytest.raises(QuorumUnavailable):
                await node.dht.find_providers("another")  # Nobody known is not nobody.
            node.come_back()
            await pause(3_000)
            for number in range(5):
                assert await other.dht.find_providers(f"key {number}") == ["me"]

    play(scenario)


def test_deadline_of_the_caller_holds_while_the_cluster_hangs() -> None:
    async def scenario(cluster: Cluster) -> None:
        node = Node(cluster, "a", watches=False, falls_back=False, backend=Backend.REAL)
        async with node.running():
            node.values.hangs_ms = 60_000
            started_ms = cluster.clock.now_ms()
            with pytest.raises(RequestTimeout):
                await node.dht.get_value("key", timeout_ms=70)
            with pytest.raises(RequestTimeout):
                await node.dht.put_value("key", b"x", timeout_ms=30)
            assert cluster.clock.now_ms() - started_ms == 100

    play(scenario)


def test_figures_tell_the_sides_apart() -> None:
    async def scenario(cluster: Cluster) -> None:
        node = Node(cluster, "a")
        async with node.running():
            assert node.dht.status().cluster.error_rate is None
            node.values.hangs_ms = 20
            await node.dht.put_value("key", b"x")
            node.cut_off()
            await node.dht.put_value("key", b"y")
            status = node.dht.status()
            assert (status.cluster.operations, status.cluster.failures) == (2, 1)
            assert status.cluster.error_rate == 0.5
            assert status.cluster.mean_ms == 20
            assert (status.local.operations, status.local.failures) == (1, 0)
            assert status.counters["fallbacks"] == 1

    play(scenario)
