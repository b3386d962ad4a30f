"""The contract of `ports.KeyValue`, `Log` and `Blobs`, held against every adapter.

The same tests run in memory, on one real broker and on three. A test writes below a prefix of its
own, since brokers and streams live as long as the module.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.errors import PermissionDenied, RevisionConflict, StreamBusy
from bzzz_core.fabric.blobs import SWEEP_AFTER_MS, NatsBlobs
from bzzz_core.model import Revision
from bzzz_core.ports import BLOB_BYTES_MAX, VALUE_BYTES_MAX, Change, KeyValue, LogEntry
from tests.fakes.broker_cluster import BrokerCluster
from tests.fakes.fabric_worlds import (
    BLOBS,
    StorageWorld,
    StorageWorlds,
    in_storage,
    storage_cluster,
    storage_in_memory,
    storage_on_brokers,
    until,
)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerCluster]:
    with storage_cluster(tmp_path_factory.mktemp("three"), nodes=3) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerCluster]:
    with storage_cluster(tmp_path_factory.mktemp("one"), nodes=1) as cluster:
        yield cluster


@pytest.fixture(
    params=[
        "memory",
        pytest.param("one", marks=pytest.mark.integration),
        pytest.param("three", marks=pytest.mark.integration),
    ]
)
def worlds(request: pytest.FixtureRequest) -> StorageWorlds:
    if request.param == "memory":
        return storage_in_memory
    cluster: BrokerCluster = request.getfixturevalue(request.param)
    return lambda: storage_on_brokers(cluster)


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return once a question is answered with yes."""
    async with asyncio.timeout(20):
        while not await holds():  # noqa: ASYNC110  nobody sets an event of ours
            await asyncio.sleep(0.05)


def fresh() -> str:
    return f"t{secrets.token_hex(6)}"


# Keys


def test_what_was_put_is_got_by_every_node(worlds: StorageWorlds) -> None:
    async def scenario(world: StorageWorld) -> None:
        key, value = f"{fresh()}.a-b_c=d/e", bytes(range(256))
        revision = await world.keys[0].put(key, value)
        for keys in world.keys:
            record = await keys.get(key)
            assert record is not None
            assert (record.key, record.value, record.revision) == (key, value, revision)
        assert await world.keys[1].get(fresh()) is None

    in_storage(worlds, scenario)


def test_the_last_writer_wins_and_revisions_grow_over_the_bucket(worlds: StorageWorlds) -> None:
    async def scenario(world: StorageWorld) -> None:
        one, two = fresh(), fresh()
        revisions = [
            await world.keys[number % 3].put(key, b"%d" % number)
            for number, key in enumerate([one, two, one, two])
        ]
        assert revisions == sorted(set(revisions))
        last = await world.keys[0].get(one)
        assert last is not None
        assert (last.value, last.revision) == (b"2", revisions[2])

    in_storage(worlds, scenario)


def test_one_of_many_creates_a_key(worlds: StorageWorlds) -> None:
    async def scenario(world: StorageWorld) -> None:
        for _ in range(10):
            key = fresh()
            outcomes = await asyncio.gather(
                *(keys.create(key, b"%d" % n) for n, keys in enumerate(world.keys)),
                return_exceptions=True,
            )
            won = [outcome for outcome in outcomes if isinstance(outcome, int)]
            assert len(won) == 1
            lost = [outcome for outcome in outcomes if not isinstance(outcome, int)]
            assert all(isinstance(outcome, RevisionConflict | StreamBusy) for outcome in lost)
            record = await world.keys[0].get(key)
            assert record is not None
            assert record.revision == won[0]

    in_storage(worlds, scenario)


def test_an_update_needs_the_revision_it_was_made_from(worlds: StorageWorlds) -> None:
    async def scenario(world: StorageWorld) -> None:
        key = fresh()
        first = await world.keys[0].update(key, b"1", Revision(0))
        second = await world.keys[1].update(key, b"2", first)
        for stale in (Revision(0), first, Revision(second + 1_000)):
            with pytest.raises(RevisionConflict):
                await world.keys[2].update(key, b"stale", stale)
        with pytest.raises(RevisionConflict):
            await world.keys[2].create(key, b"stale")
        record = await world.keys[0].get(key)
        assert record is not None
        assert (record.value, record.revision) == (b"2", second)

    in_storage(worlds, scenario)


def test_a_deleted_key_is_absent_and_can_be_created_again(worlds: StorageWorlds) -> None:
    async def scenario(world: StorageWorld) -> None:
        key = fresh()
        first = await world.keys[0].create(key, b"1")
        await world.keys[1].delete(key)
        assert await world.keys[2].get(key) is None
        await world.keys[1].delete(key)
        with pytest.raises(RevisionConflict):
            await world.keys[0].update(key, b"of the past", first)
        assert await world.keys[0].create(key, b"2") > first
        record = await world.keys[2].get(key)
        assert record is not None
        assert record.value == b"2"

    in_storage(worlds, scenario)


def test_a_guarded_deletion_needs_the_revision(worlds: StorageWorlds) -> None:
    async def scenario(world: StorageWorld) -> None:
        key = fresh()
        first = await world.keys[0].create(key, b"1")
        second = await world.keys[0].put(key, b"2")
        with pytest.raises(RevisionConflict):
            await world.keys[1].delete(key, revision=first)
        assert await world.keys[1].get(key) is not None
        await world.keys[1].delete(key, revision=second)
        assert await world.keys[1].get(key) is None
        with pytest.raises(ValueError, match="revision"):
            await world.keys[1].delete(key, revision=Revision(0))

    in_storage(worlds, scenario)


def test_a_lifetime_ends_and_belongs_to_one_write(worlds: StorageWorlds) -> None:
    """The next write decides anew; a renewal that forgot the lifetime would keep it for ever."""

    async def scenario(world: StorageWorld) -> None:
        brief, renewed, kept = fresh(), fresh(), fresh()
        for key in (renewed, kept):
            await world.keys[0].put(key, b"x", ttl_s=3)
        await world.keys[1].put(renewed, b"y", ttl_s=60)
        await world.keys[1].put(kept, b"z")
        # The last to be written: once it is gone, the others' first lifetime is over, too.
        await world.keys[0].put(brief, b"x", ttl_s=3)
        assert await world.keys[2].get(brief) is not None

        async def gone() -> bool:
            return await world.keys[2].get(brief) is None

        await eventually(gone)
        assert await world.keys[2].get(renewed) is not None
        assert await world.keys[2].get(kept) is not None
        await world.keys[0].create(brief, b"again", ttl_s=1)

    in_storage(worlds, scenario)


def test_listing_is_by_whole_tokens_and_sorted(worlds: StorageWorlds) -> None:
    async def scenario(world: StorageWorld) -> None:
        p = fresh()
        for key in (f"{p}.b", f"{p}.a.x", f"{p}", f"{p}x.no", f"{p}.gone", f"{p}.a.w"):
            await world.keys[0].put(key, key.encode())
        await world.keys[0].delete(f"{p}.gone")
        assert await world.keys[1].keys(p) == (f"{p}.a.w", f"{p}.a.x", f"{p}.b")
        assert await world.keys[1].keys(f"{p}.a") == (f"{p}.a.w", f"{p}.a.x")
        assert await world.keys[1].keys(f"{p}.c") == ()
        records = await world.keys[2].records(p)
        assert [record.value.decode() for record in records] == [r.key for r in records]
        assert {p, f"{p}x.no"} < set(await world.keys[2].keys())

    in_storage(worlds, scenario)


@pytest.mark.parametrize("key", ["", ".", "a.", ".a", "a..b", "a b", "a*", "a.>", "ä", "a" * 257])
def test_what_is_no_key_is_refused(worlds: StorageWorlds, key: str) -> None:
    async def scenario(world: StorageWorld) -> None:
        keys = world.keys[0]
        for attempt in (keys.get(key), keys.put(key, b""), keys.delete(key), keys.create(key, b"")):
            with pytest.raises(ValueError, match="key"):
                await attempt
        if key:
            with pytest.raises(ValueError, match="key"):
                await keys.watch(key)

    in_storage(worlds, scenario)


def test_values_have_a_size_and_lifetimes_are_whole_seconds(worlds: StorageWorlds) -> None:
    async def scenario(world: StorageWorld) -> None:
        key = fresh()
        await world.keys[0].put(key, b"v" * VALUE_BYTES_MAX, ttl_s=1)
        record = await world.keys[1].get(key)
        assert record is not None
        assert len(record.value) == VALUE_BYTES_MAX
        with pytest.raises(ValueError, match="bytes"):
            await world.keys[0].put(key, b"v" * (VALUE_BYTES_MAX + 1))
        for wrong in (0, -1, 0.5, 10**12):
            with pytest.raises(ValueError, match="seconds"):
                await world.keys[0].put(key, b"", ttl_s=wrong)  # type: ignore[arg-type]

    in_storage(worlds, scenario)


def test_a_key_that_a_node_may_not_write_is_refused_at_once(worlds: StorageWorlds) -> None:
    """Keys of providers end in a node's id; for edges the leader looks at whose it is."""

    async def scenario(world: StorageWorld) -> None:
        mine, key = world.nodes[0], fresh()
        await world.providers[0].put(f"{key}.{mine}", b"")
        started = time.monotonic()
        for attempt in (
            world.providers[0].put(key, b""),
            world.providers[0].create(f"{key}.x.{mine}", b""),
            world.providers[0].delete(key),
        ):
            with pytest.raises(PermissionDenied, match="publish"):
                await attempt
        assert time.monotonic() - started < 1.0
        assert await world.providers[1].keys(key) == (f"{key}.{mine}",)

    in_storage(worlds, scenario)


# Watches


def test_a_watch_tells_what_there_is_then_that_it_is_all_then_what_comes(
    worlds: StorageWorlds,
) -> None:
    async def scenario(world: StorageWorld) -> None:
        p, told = fresh(), list[Change | None]()
        one = await world.keys[0].put(f"{p}.one", b"1")
        two = await world.keys[1].put(f"{p}.two", b"2")
        await world.keys[1].put(f"{p}x.other", b"not this")
        watch = await world.keys[2].watch(p, told.append)
        await watch.listed()
        assert sorted(change.key for change in told[:2] if change) == [f"{p}.one", f"{p}.two"]
        assert told[2:] == [None]
        assert watch.current
        three = await world.keys[0].put(f"{p}.three", b"3")
        four = await world.keys[1].put(f"{p}.one", b"4")
        await world.keys[0].delete(f"{p}.two")
        await until(lambda: len(told) >= 6)
        *changes, gone = told[3:]
        assert changes == [Change(f"{p}.three", b"3", three), Change(f"{p}.one", b"4", four)]
        assert gone is not None
        assert (gone.key, gone.value) == (f"{p}.two", None)
        assert gone.revision > four > three > two > one
        assert watch.keys() == (f"{p}.one", f"{p}.three")
        copy = watch.get(f"{p}.one")
        assert copy is not None
        assert (copy.value, copy.revision) == (b"4", four)
        assert watch.get(f"{p}.two") is None

    in_storage(worlds, scenario)


def test_a_watch_of_nothing_is_listed_at_once(worlds: StorageWorlds) -> None:
    async def scenario(world: StorageWorld) -> None:
        told: list[Change | None] = []
        watch = await world.keys[0].watch(fresh(), told.append)
        await watch.listed()
        assert told == [None]

    in_storage(worlds, scenario)


def test_own_writes_are_in_the_copy_at_once(worlds: StorageWorlds) -> None:
    async def scenario(world: StorageWorld) -> None:
        p = fresh()
        watch = await world.keys[0].watch(p)
        await watch.listed()
        for number in range(50):
            revision = await world.keys[0].put(f"{p}.key", b"%d" % number)
            copy = watch.get(f"{p}.key")
            assert copy is not None
            assert (copy.value, copy.revision) == (b"%d" % number, revision)
        await world.keys[0].delete(f"{p}.key")
        assert watch.get(f"{p}.key") is None

    in_storage(worlds, scenario)


def test_of_quick_changes_a_watch_tells_at_least_the_last_in_order(worlds: StorageWorlds) -> None:
    async def scenario(world: StorageWorld) -> None:
        p, told = fresh(), list[Change | None]()
        watch = await world.keys[2].watch(p, told.append)
        await watch.listed()
        for number in range(300):
            await world.keys[number % 2].put(f"{p}.{number % 3}", b"%d" % number)
        last = {f"{p}.{number % 3}": b"%d" % number for number in range(300)}

        def seen() -> dict[str, bytes | None]:
            return {change.key: change.value for change in told if change}

        await until(lambda: seen() == last)
        revisions = [change.revision for change in told if change]
        assert revisions == sorted(set(revisions))

    in_storage(worlds, scenario)


def test_a_watch_tells_that_a_lifetime_ended(worlds: StorageWorlds) -> None:
    async def scenario(world: StorageWorld) -> None:
        p, told = fresh(), list[Change | None]()
        await world.keys[0].put(f"{p}.early", b"x", ttl_s=2)
        watch = await world.keys[1].watch(p, told.append)
        await watch.listed()
        await world.keys[0].put(f"{p}.late", b"y", ttl_s=1)
        await world.keys[0].put(f"{p}.renewed", b"1", ttl_s=1)
        await world.keys[0].put(f"{p}.renewed", b"2", ttl_s=60)
        gone = {f"{p}.early", f"{p}.late"}
        await until(lambda: {c.key for c in told if c and c.value is None} >= gone)
        assert {c.key for c in told if c and c.value is None} == gone
        assert watch.keys() == (f"{p}.renewed",)

    in_storage(worlds, scenario)


def test_watches_of_one_prefix_are_told_apart_and_stop_apart(worlds: StorageWorlds) -> None:
    async def scenario(world: StorageWorld) -> None:
        p, first, second = fresh(), list[Change | None](), list[Change | None]()
        await world.keys[0].put(f"{p}.a", b"1")
        one = await world.keys[0].watch(p, first.append)
        await one.listed()
        two = await world.keys[0].watch(p, second.append)
        await two.listed()
        assert first == second
        assert second[-1] is None
        await one.stop()
        await one.stop()
        await world.keys[1].put(f"{p}.b", b"2")
        await until(lambda: len(second) == 3)
        assert len(first) == 2
        assert (one.get(f"{p}.a"), one.keys(), one.current) == (None, (), False)
        await two.stop()
        await world.keys[1].put(f"{p}.c", b"3")
        three = await world.keys[0].watch(p)
        await three.listed()
        assert three.keys() == (f"{p}.a", f"{p}.b", f"{p}.c")
        assert len(second) == 3

    in_storage(worlds, scenario)


def test_a_watch_handler_that_fails_is_counted_and_the_next_change_comes(
    worlds: StorageWorlds,
) -> None:
    async def scenario(world: StorageWorld) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        p, told = fresh(), list[bytes | None]()

        def handler(change: Change | None) -> None:
            if change is not None:
                if change.value == b"bad":
                    raise ZeroDivisionError
                told.append(change.value)

        watch = await world.keys[0].watch(p, handler)
        await watch.listed()
        for number, value in enumerate((b"one", b"bad", b"two")):
            await world.keys[1].put(f"{p}.{number}", value)
        await until(lambda: told == [b"one", b"two"])
        assert counted(world.keys[0], "handler_failures") == 1

    in_storage(worlds, scenario)


def counted(keys: KeyValue, what: str) -> int:
    return int(keys.counters[what])  # type: ignore[attr-defined]


# Logs


def test_a_log_has_one_order_for_everybody(worlds: StorageWorlds) -> None:
    async def scenario(world: StorageWorld) -> None:
        before = await world.logs[0].end()
        told: list[LogEntry] = []
        interest = await world.logs[2].subscribe(Revision(before + 1), told.append)
        revisions = await asyncio.gather(*(world.logs[n % 3].append(b"%d" % n) for n in range(60)))
        by_revision = sorted((revision, b"%d" % n) for n, revision in enumerate(revisions))
        await until(lambda: len(told) == 60)
        assert [(entry.revision, entry.data) for entry in told] == by_revision
        assert await world.logs[1].end() == by_revision[-1][0]
        read: list[LogEntry] = []
        while len(read) < 60:  # A replica may lag.
            start = Revision(read[-1].revision + 1 if read else before + 1)
            read += await world.logs[1].read(start, count=25)
        assert read == told
        await interest.stop()
        await interest.stop()
        await world.logs[0].append(b"unheard")
        assert len(told) == 60

    in_storage(worlds, scenario)


def test_reading_behind_the_end_of_a_log_gives_nothing(worlds: StorageWorlds) -> None:
    async def scenario(world: StorageWorld) -> None:
        await world.logs[0].append(b"x")
        end = await world.logs[0].end()
        assert await world.logs[0].read(Revision(end + 1)) == ()

    in_storage(worlds, scenario)


def test_one_request_is_appended_once(worlds: StorageWorlds) -> None:
    async def scenario(world: StorageWorld) -> None:
        request = secrets.token_hex(8)
        first = await world.logs[0].append(b"once", request_id=request)
        assert await world.logs[1].append(b"once", request_id=request) == first
        assert await world.logs[1].end() == first

    in_storage(worlds, scenario)


# Blobs


@pytest.mark.parametrize("size", [0, 1, 262_144, 5_000_001])
def test_a_blob_comes_back_whole(worlds: StorageWorlds, size: int) -> None:
    async def scenario(world: StorageWorld) -> None:
        name, data = f"{fresh()}.blob", secrets.token_bytes(size)
        info = await world.blobs[0].put(name, data)
        assert await world.blobs[1].get(name) == data
        assert info.size_bytes == size
        assert await world.blobs[2].infos(name.partition(".")[0]) == (info,)
        await world.blobs[2].delete(name)
        assert await world.blobs[0].get(name) is None
        assert await world.blobs[0].infos(name.partition(".")[0]) == ()

    in_storage(worlds, scenario)


def test_the_last_blob_wins_and_readers_see_one_or_the_other(worlds: StorageWorlds) -> None:
    async def scenario(world: StorageWorld) -> None:
        name = fresh()
        versions = [bytes([n]) * 600_000 for n in range(4)]
        await world.blobs[0].put(name, versions[0])
        for version in versions[1:]:
            _, found = await asyncio.gather(
                world.blobs[0].put(name, version), world.blobs[1].get(name)
            )
            assert found in versions
        assert await world.blobs[2].get(name) == versions[-1]

    in_storage(worlds, scenario)


def test_a_blob_that_is_too_large_is_refused(worlds: StorageWorlds) -> None:
    async def scenario(world: StorageWorld) -> None:
        with pytest.raises(ValueError, match="bytes"):
            await world.blobs[0].put(fresh(), bytes(BLOB_BYTES_MAX + 1))

    in_storage(worlds, scenario)


class LaterClock(SystemClock):
    """The real clock, `later_ms` ahead."""

    later_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.later_ms


@pytest.mark.integration
def test_pieces_that_a_dead_writer_left_are_swept_and_no_others(three: BrokerCluster) -> None:
    """They take room that nobody can see; and what is being written right now must stay."""

    async def scenario(world: StorageWorld) -> None:
        kept = await world.blobs[0].put(fresh(), b"kept" * 100_000)
        clock = LaterClock()
        writer = three.fabric(0)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(writer.run())
            blobs = NatsBlobs(writer, BLOBS, clock=clock)
            await blobs.open()
            await blobs.sweep()
            clock.later_ms += 2 * SWEEP_AFTER_MS
            await blobs.sweep()  # What other tests' writers left.

            async def nothing_unnamed() -> bool:
                await blobs.sweep()
                return not blobs._unnamed_since

            await eventually(nothing_unnamed)  # The marks over it end by themselves.
            await blobs._write_pieces("f" * 32, [b"piece"] * 3, None)
            assert await blobs.sweep() == 0
            clock.later_ms += SWEEP_AFTER_MS - 1_000
            assert await blobs.sweep() == 0
            clock.later_ms += 1_000
            assert await blobs.sweep() == 1
            left = await blobs._stream.last_of(BLOBS.piece("f" * 32, 0), "test")
            assert left is None or left.payload == b""
            running.cancel()
        assert await world.blobs[1].get(kept.name) == b"kept" * 100_000

    in_storage(lambda: storage_on_brokers(three), scenario)
