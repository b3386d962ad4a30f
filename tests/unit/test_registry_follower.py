"""The copy of the registry follows the cluster's, never backwards, and survives a restart."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from bzzz_core.enrolment.cache import RegistryCache
from bzzz_core.enrolment.registry import Registry, encode
from bzzz_core.errors import NotEnrolled, QuorumUnavailable, TransportError
from bzzz_core.model import ClusterId
from bzzz_core.registry_follower import RegistryFollower

CLUSTER = ClusterId("c")


class HurriedClock:
    """Every wait is over at once; the disk is real, so the loop's time has to be real as well."""

    def now_ms(self) -> int:
        return 0

    def __init__(self) -> None:
        self.slept: list[int] = []

    async def sleep_ms(self, duration_ms: int) -> None:
        self.slept.append(duration_ms)
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  what is awaited is the world, not an event
            await asyncio.sleep(0)


def version(number: int) -> Registry:
    return Registry(cluster=CLUSTER, version=number, nodes=())


class Followed:
    """A follower, what the cluster has, and what it was told."""

    def __init__(self, directory: Path, *, looks: bool) -> None:
        self.record: bytes | None = None
        self.fails = False
        self.fetched = 0
        self.told: list[int] = []
        self.refusals = 0
        self.refused = False
        self.ends: list[str] = []
        self.cut_off = self.shut_out = False
        self.doubts = 0
        self.clock = HurriedClock()
        self.follower = RegistryFollower(
            RegistryCache(directory, cluster=CLUSTER),
            cluster=CLUSTER,
            fetch=self.fetch,
            changed=self.changed,
            clock=self.clock,
            looks=lambda: looks,
            ended=self.ends.append,
            shut_out=lambda: self.shut_out,
            doubt_broker=self._doubt,
        )

    def _doubt(self) -> None:
        self.doubts += 1

    async def fetch(self) -> bytes | None:
        self.fetched += 1
        if self.cut_off:
            raise TransportError("no broker reached")
        if self.refused:
            raise NotEnrolled("x is no member of this cluster")
        if self.fails:
            raise QuorumUnavailable("nobody answers")
        return self.record

    async def changed(self, registry: Registry) -> None:
        if self.refusals:
            self.refusals -= 1
            raise OSError(28, "No space left on device")
        self.told.append(registry.version)


def play(node: Followed, scenario: Callable[[Followed], Awaitable[None]]) -> None:
    async def body() -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(node.follower.run())
            await scenario(node)
            task.cancel()

    asyncio.run(body())


def test_an_edge_fetches_when_it_hears_of_a_newer_version_and_not_before(tmp_path: Path) -> None:
    node = Followed(tmp_path, looks=False)

    async def scenario(node: Followed) -> None:
        node.record = encode(version(3))
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert node.fetched == 0
        node.follower.heard(3)
        await until(lambda: node.told == [3])

    play(node, scenario)
    assert Followed(tmp_path, looks=False).follower.version == 3


def test_a_voter_looks_by_itself(tmp_path: Path) -> None:
    async def scenario(node: Followed) -> None:
        node.record = encode(version(2))
        await until(lambda: node.told == [2])

    play(Followed(tmp_path, looks=True), scenario)


def test_an_older_record_is_never_taken(tmp_path: Path) -> None:
    async def scenario(node: Followed) -> None:
        node.record = encode(version(5))
        await until(lambda: node.told == [5])
        node.record = encode(version(4))
        seen = node.fetched
        await until(lambda: node.fetched > seen + 3)
        await node.follower.take(version(1))
        assert (node.follower.version, node.told) == (5, [5])

    play(Followed(tmp_path, looks=True), scenario)


def test_a_claim_of_what_is_not_there_costs_one_question(tmp_path: Path) -> None:
    async def scenario(node: Followed) -> None:
        node.record = encode(version(1))
        node.follower.heard(10**9)
        await until(lambda: node.told == [1])
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert node.fetched == 1

    play(Followed(tmp_path, looks=False), scenario)


def test_a_question_that_fails_is_asked_again(tmp_path: Path) -> None:
    async def scenario(node: Followed) -> None:
        node.fails = True
        node.follower.heard(1)
        await until(lambda: node.fetched > 2)
        node.fails, node.record = False, encode(version(1))
        await until(lambda: node.told == [1])

    play(Followed(tmp_path, looks=False), scenario)


def test_who_cannot_read_the_registry_doubts_its_broker(tmp_path: Path) -> None:
    """The others shut a former voter's broker out; only by another one it hears what it is now."""

    async def scenario(node: Followed) -> None:
        node.record = encode(version(1))
        await until(lambda: node.told == [1])
        assert node.doubts == 0
        node.fails = True
        await until(lambda: node.doubts > 1)

    play(Followed(tmp_path, looks=True), scenario)


def test_another_clusters_registry_is_refused(tmp_path: Path) -> None:
    async def scenario(node: Followed) -> None:
        node.record = encode(Registry(cluster=ClusterId("other"), version=9, nodes=()))
        await until(lambda: node.fetched > 2)
        assert node.told == []

    play(Followed(tmp_path, looks=True), scenario)


def test_what_could_not_be_followed_is_followed_later(tmp_path: Path) -> None:
    """A full disk passes; the revocation behind it must not be forgotten."""

    async def scenario(node: Followed) -> None:
        node.record, node.refusals = encode(version(2)), 3
        await until(lambda: node.told == [2])
        assert node.refusals == 0

    play(Followed(tmp_path, looks=True), scenario)


def test_what_the_last_run_kept_is_told_again_at_the_start(tmp_path: Path) -> None:
    """It may have ended between keeping a registry and acting on it."""
    RegistryCache(tmp_path, cluster=CLUSTER).store(version(4))

    async def scenario(node: Followed) -> None:
        await until(lambda: node.told == [4])

    play(Followed(tmp_path, looks=False), scenario)


def test_a_node_that_the_leader_refuses_for_good_ends_and_asks_ever_more_rarely(
    tmp_path: Path,
) -> None:
    """It asked four times a second, for ever, and nobody at that machine was told."""

    async def scenario(node: Followed) -> None:
        node.refused = True
        for _ in range(100):
            await asyncio.sleep(0)
        assert node.fetched == 0, "an edge does not look by itself"
        node.follower.doubt()
        await until(lambda: node.fetched >= 8)
        assert node.ends
        assert "x is no member of this cluster; to bring this machine back" in node.ends[0]
        first = node.clock.slept.index(250)
        assert node.clock.slept[first:][:7] == [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000]

    play(Followed(tmp_path, looks=False), scenario)


def test_refusals_that_pass_end_nothing(tmp_path: Path) -> None:
    """A leader that has just begun may not know yet who has joined."""

    async def scenario(node: Followed) -> None:
        for _ in range(3):
            before, node.refused, node.fails = node.fetched, True, False
            node.follower.doubt()
            await until(lambda before=before: node.fetched == before + 2)
            node.refused, node.fails = False, True
            await until(lambda before=before: node.fetched >= before + 5)
        node.fails, node.record = False, encode(version(2))
        await until(lambda: node.told == [2])
        assert node.ends == []

    play(Followed(tmp_path, looks=False), scenario)


def test_a_node_that_is_shut_out_before_it_could_ask_again_ends_as_well(tmp_path: Path) -> None:
    """Brokers cut a revoked node off about when the leader tells it; both together are plain."""

    async def scenario(node: Followed) -> None:
        node.cut_off = node.shut_out = True
        node.follower.doubt()
        await until(lambda: node.fetched >= 5)
        assert node.ends == [], "brokers alone may lag, or have lost their list"
        node.cut_off, node.refused = False, True
        before = node.fetched
        await until(lambda: node.fetched == before + 1)
        node.refused, node.fails, node.shut_out = False, True, False
        await until(lambda: node.fetched == before + 3)
        node.fails, node.cut_off = False, True
        await until(lambda: node.fetched >= before + 5)
        assert node.ends == [], "it may have been taken for a stranger by mistake"
        node.shut_out = True
        await until(lambda: node.ends != [])

    play(Followed(tmp_path, looks=False), scenario)
