"""The contract of `ports.Dht`, held against every backend: the same tests on each.

`mock` and the tables on the memory fabric live in virtual time; `real` and `hybrid` on three real
brokers. Nodes 0 and 1 are voters, node 2 is an edge.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.config.schema import ClusterSpec
from bzzz_core.dht.recovery import LOST
from bzzz_core.errors import BzzzError, EntryRefused, KeyNotFound
from bzzz_core.ports import VALUE_BYTES_MAX, Dht
from bzzz_core.ucxl.address import Address
from tests.fakes import dht_worlds, virtual_time
from tests.fakes.broker_cluster import BrokerCluster
from tests.fakes.dht_worlds import DhtWorld

Scenario = Callable[[DhtWorld], Awaitable[None]]
Play = Callable[[Scenario], None]
REAL = [pytest.mark.integration]


@pytest.fixture(
    params=[
        "mock",
        "memory",
        "hybrid on memory",
        pytest.param("real", marks=REAL),
        pytest.param("hybrid", marks=REAL),
    ]
)
def play(request: pytest.FixtureRequest) -> Iterator[Play]:
    kind = request.param
    if kind in ("real", "hybrid"):
        cluster: BrokerCluster = request.getfixturevalue("brokers")

        def on_brokers(scenario: Scenario) -> None:
            async def body() -> None:
                async with dht_worlds.broker_world(cluster, hybrids=kind == "hybrid") as world:
                    await scenario(world)

            asyncio.run(body())

        yield on_brokers
        return

    def in_memory(scenario: Scenario) -> None:
        async def body() -> None:
            clock = virtual_time.VirtualClock()
            made = (
                dht_worlds.mock_world(clock)
                if kind == "mock"
                else dht_worlds.memory_world(clock, hybrids=kind == "hybrid on memory")
            )
            async with made as world:
                await scenario(world)

        virtual_time.run(body())

    yield in_memory


async def becomes(
    world: DhtWorld, ask: Callable[[], Awaitable[object]], wanted: object, *, after_ms: int = 0
) -> None:
    """Ask until the answer is the wanted one, soon or soon after a time; no answer is none yet."""
    deadline_ms = world.clock.now_ms() + after_ms + world.soon_ms
    while True:
        try:
            found = await ask()
        except (KeyNotFound, *LOST) as exc:
            found = repr(exc)
        if found == wanted:
            return
        assert world.clock.now_ms() < deadline_ms, f"still {found!r}, not {wanted!r}"
        await world.clock.sleep_ms(5)


def reading(table: Dht, key: str) -> Callable[[], Awaitable[object]]:
    return lambda: table.get_value(key)


def finding(table: Dht, key: str) -> Callable[[], Awaitable[object]]:
    return lambda: table.find_providers(key)


def test_what_a_node_puts_it_reads_at_once_and_everybody_reads_soon(play: Play) -> None:
    async def scenario(world: DhtWorld) -> None:
        for number, table in enumerate(world.tables):
            key = world.key(f"of {number}")
            for value in (b"first", b"", bytes(range(256))):
                await table.put_value(key, value)
                assert await table.get_value(key) == value
            for other in world.tables:
                await becomes(world, reading(other, key), bytes(range(256)))

    play(scenario)


def test_what_nobody_put_is_not_found_and_that_is_a_key_error(play: Play) -> None:
    async def scenario(world: DhtWorld) -> None:
        for table in world.tables:
            with pytest.raises(KeyNotFound, match="nothing is stored under"):
                await table.get_value(world.key("nothing"))
            with pytest.raises(KeyError):
                await table.get_value(world.key("nothing"))
            assert await table.find_providers(world.key("nothing")) == []

    play(scenario)


@pytest.mark.parametrize(
    "name", ["", "a.b.*.>", "ucxl://a:r@p:t/x*^", "ключ 🔑", "\x00\n", "x" * 900]
)
def test_any_text_is_a_key(play: Play, name: str) -> None:
    async def scenario(world: DhtWorld) -> None:
        first, second, _ = world.tables
        key = world.key(name)
        await first.put_value(key, name.encode())
        await first.provide(key, "somebody")
        await becomes(world, reading(second, key), name.encode())
        await becomes(world, finding(second, key), ["somebody"])

    play(scenario)


def test_what_cannot_be_an_entry_is_refused(play: Play) -> None:
    async def scenario(world: DhtWorld) -> None:
        table = world.tables[0]
        for key in ("", "\ud800", "x" * 1_025, "é" * 513):
            for call in (table.get_value(key), table.put_value(key, b""), table.provide(key, "p")):
                with pytest.raises(EntryRefused):
                    await call
        for provider in ("", "x" * 257, "two\nlines"):
            with pytest.raises(EntryRefused):
                await table.provide(world.key("k"), provider)
        key = world.key("large")
        with pytest.raises(EntryRefused):
            await table.put_value(key, bytes(VALUE_BYTES_MAX + 1))
        with pytest.raises(KeyNotFound):
            await table.get_value(key)
        await table.put_value(key, bytes(VALUE_BYTES_MAX))
        await becomes(world, reading(world.tables[1], key), bytes(VALUE_BYTES_MAX))

    play(scenario)


def test_many_workers_at_once_disturb_nobody(play: Play) -> None:
    async def scenario(world: DhtWorld) -> None:
        raced = world.key("raced")

        async def work(worker: int) -> None:
            table = world.tables[worker % len(world.tables)]
            for number in range(12):
                key = world.key(f"{worker}/{number}")
                await table.put_value(key, f"{worker}/{number}".encode())
                await table.put_value(raced, f"{worker}".encode())
                await table.provide(raced, f"worker {worker}")
                assert await table.get_value(key) == f"{worker}/{number}".encode()

        async with asyncio.TaskGroup() as workers:
            for worker in range(12):
                workers.create_task(work(worker))
        for table in world.tables:
            for worker in range(12):
                key = world.key(f"{worker}/11")
                await becomes(world, reading(table, key), f"{worker}/11".encode())

        async def different() -> int:
            return len({await table.get_value(raced) for table in world.tables})

        await becomes(world, different, 1)
        for table in world.tables:
            wanted = sorted(f"worker {worker}" for worker in range(12))
            await becomes(world, finding(table, raced), wanted)

    play(scenario)


def test_node_that_joins_by_one_broker_finds_everything(play: Play) -> None:
    async def scenario(world: DhtWorld) -> None:
        for number in range(20):
            await world.tables[0].put_value(world.key(f"{number}"), b"%d" % number)
        await world.tables[0].provide(world.key("held"), "first")
        async with world.join() as joined:
            for number in range(20):
                assert await joined.get_value(world.key(f"{number}")) == b"%d" % number
            assert await joined.find_providers(world.key("held")) == ["first"]
            await joined.put_value(world.key("from the new one"), b"x")
            for table in world.tables:
                await becomes(world, reading(table, world.key("from the new one")), b"x")

    play(scenario)


def test_whole_configuration_is_stored_and_read(play: Play) -> None:
    spec = ClusterSpec.model_validate({"hosts": [{"name": "n1", "address": "192.0.2.1"}]})
    leaves = dict(leaves_of(spec.model_dump(mode="json")))
    assert len(leaves) > 30

    async def scenario(world: DhtWorld) -> None:
        def address(path: tuple[str, ...]) -> str:
            return str(
                Address(agent="any", role="config", project=world.prefix, task="set", path=path)
            )

        async with asyncio.TaskGroup() as writes:
            for path, value in leaves.items():
                table = world.tables[len(path) % 3]
                writes.create_task(table.put_value(address(path), json.dumps(value).encode()))
        for table in world.tables:
            found: dict[str, Any] = {}
            for path, value in leaves.items():
                await becomes(world, reading(table, address(path)), json.dumps(value).encode())
                place = found
                for name in path[:-1]:
                    place = place.setdefault(name, {})
                place[path[-1]] = json.loads(await table.get_value(address(path)))
            assert ClusterSpec.model_validate(found) == spec

    play(scenario)


def test_providers_of_several_nodes_are_found_together_and_taken_back_apart(play: Play) -> None:
    async def scenario(world: DhtWorld) -> None:
        key = world.key("held")
        await world.tables[0].provide(key, "b")
        await world.tables[0].provide(key, "a")
        await world.tables[1].provide(key, "c")
        await world.tables[2].provide(key, "c")
        for table in world.tables:
            await becomes(world, finding(table, key), ["a", "b", "c"])
        await world.tables[0].withdraw(key, "a")
        await world.tables[1].withdraw(key, "c")
        for table in world.tables:
            await becomes(world, finding(table, key), ["b", "c"])  # Node 2 still says so.
        await world.tables[2].withdraw(key, "c")
        await world.tables[2].withdraw(key, "never told")
        for table in world.tables:
            await becomes(world, finding(table, key), ["b"])

    play(scenario)


def test_provider_is_renewed_while_its_node_runs_and_expires_after_it(play: Play) -> None:
    async def scenario(world: DhtWorld) -> None:
        key = world.key("held")
        await world.tables[0].provide(key, "stays")
        async with world.join() as joined:
            await joined.provide(key, "goes")
            for table in world.tables:
                await becomes(world, finding(table, key), ["goes", "stays"])
        started_ms = world.clock.now_ms()
        for table in world.tables:
            await becomes(world, finding(table, key), ["stays"], after_ms=world.lifetime_s * 1000)
        while world.clock.now_ms() < started_ms + 2 * world.lifetime_s * 1000:
            for table in world.tables:
                assert await table.find_providers(key) == ["stays"]
            await world.clock.sleep_ms(100)

    play(scenario)


def test_call_that_is_cancelled_ends_and_the_table_works_on(play: Play) -> None:
    async def scenario(world: DhtWorld) -> None:
        key = world.key("cancelled")
        for table in world.tables:
            for call in (table.put_value(key, b"x"), table.get_value(key), table.provide(key, "p")):
                async with asyncio.TaskGroup() as tasks:
                    task = tasks.create_task(ignoring_errors(call))
                    await asyncio.sleep(0)
                    task.cancel()
                assert task.done()
            await table.put_value(key, b"after")
            assert await table.get_value(key) == b"after"

    play(scenario)


def test_call_ends_at_its_deadline_even_if_nothing_answers(play: Play) -> None:
    async def scenario(world: DhtWorld) -> None:
        async with world.stranded() as table:
            key = world.key("stranded")
            calls: list[Callable[[], Awaitable[object]]] = [
                lambda: table.get_value(key, timeout_ms=50),
                lambda: table.find_providers(key, timeout_ms=50),
                lambda: table.put_value(key, b"x", timeout_ms=50),
                lambda: table.provide(key, "p", timeout_ms=50),
                lambda: table.withdraw(key, "p", timeout_ms=50),
            ]
            for call in calls:
                started_ms = SystemClock().now_ms(), world.clock.now_ms()
                await ignoring_errors(call())
                assert SystemClock().now_ms() - started_ms[0] < world.soon_ms / 10
                assert world.clock.now_ms() - started_ms[1] < world.soon_ms / 10

    play(scenario)


async def ignoring_errors(call: Awaitable[object]) -> None:
    """Wait for a call that may fail as the contract says, and in no other way."""
    with contextlib.suppress(BzzzError):
        await call


def leaves_of(document: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(document, dict) and document:
        for name, value in document.items():
            yield from leaves_of(value, (*path, name))
    else:
        yield path, document
