"""The leader lets no edge tell of providers in another's name; what is garbled misleads nobody."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest

from bzzz_core.dht.entry import announcement_key, encode_announcement, slot_of
from bzzz_core.errors import PermissionDenied
from tests.fakes.broker_cluster import BrokerCluster
from tests.fakes.dht_worlds import Table, asked_buckets, broker_node, questions

pytestmark = pytest.mark.integration
EDGE = 3


def test_no_edge_tells_in_the_name_of_another(brokers: BrokerCluster) -> None:
    async def scenario() -> None:
        fabric = brokers.fabric(EDGE)
        _, providers = asked_buckets(questions(brokers.node(EDGE), fabric))
        told = encode_announcement(["an impostor"])
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(fabric.run())
            async with leading_node(brokers) as honest:
                await fabric.wait_attached()
                own = announcement_key(slot_of("held"), brokers.node(EDGE))
                foreign = announcement_key(slot_of("held"), brokers.node(2))
                await providers.put(own, told, ttl_s=5)
                with pytest.raises(PermissionDenied):
                    await providers.put(foreign, told, ttl_s=5)
                with pytest.raises(PermissionDenied):
                    await providers.delete(foreign)
                assert await honest.find_providers("held") == ["an impostor"]
                await providers.delete(own)
            running.cancel()

    asyncio.run(scenario())


def test_garbled_announcement_is_counted_and_left_out(brokers: BrokerCluster) -> None:
    async def scenario() -> None:
        fabric = brokers.fabric(EDGE)
        _, providers = asked_buckets(questions(brokers.node(EDGE), fabric))
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(fabric.run())
            async with leading_node(brokers) as honest:
                await fabric.wait_attached()
                await honest.provide("garbled", "honest")
                garbled = announcement_key(slot_of("garbled"), brokers.node(EDGE))
                for data in (b"", b"\xff\xff", encode_announcement(["x" * 257]), b"\x80"):
                    await providers.put(garbled, data, ttl_s=5)
                    assert await honest.find_providers("garbled") == ["honest"]
                await providers.delete(garbled)
                await honest.withdraw("garbled", "honest")
            running.cancel()

    asyncio.run(scenario())


def leading_node(brokers: BrokerCluster) -> AbstractAsyncContextManager[Table]:
    return broker_node(brokers, 1, as_hybrid=False, watches=True, leads=True)
