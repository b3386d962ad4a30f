"""How the emergency stop hangs together with the rest of a node."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

from bzzz_core.backbone import Backbone
from bzzz_core.config.schema import AgentConfig
from bzzz_core.errors import RateLimited
from bzzz_core.fabric.layout import lead_subject, permissions
from bzzz_core.fabric.memory import MemoryHub
from bzzz_core.halt.keeper import READ, WRITE, Answer, Known
from bzzz_core.halt.record import Wish
from bzzz_core.halt.wiring import EmergencyStop
from bzzz_core.leader_requests import LeaderRequests
from bzzz_core.model import NodeId
from tests.fakes.halting_nodes import TOKEN, HeldRecords
from tests.fakes.virtual_time import VirtualClock, run

LEADER = NodeId("a" * 26)
EDGE = NodeId("e" * 26)


def config_of(data: Path) -> AgentConfig:
    """Return as much of a configuration as the stop looks at."""
    paths = SimpleNamespace(data=str(data))
    found = SimpleNamespace(
        cluster=SimpleNamespace(id="c1", nodes=()),
        resources=SimpleNamespace(paths=paths),
        system=SimpleNamespace(node_name="bzzz-1"),
        me=SimpleNamespace(id=LEADER),
    )
    return cast("AgentConfig", found)


def backbone_of(requests: LeaderRequests) -> Backbone:
    """Return as much of a leader's backbone as the stop is connected with."""
    records = HeldRecords()
    leadership = SimpleNamespace(
        put=records.put, present_token=lambda: TOKEN, subscribe=lambda _subscriber: None
    )
    membership = SimpleNamespace(hurry=lambda: None, members=tuple)
    found = SimpleNamespace(
        requests=requests,
        leadership=leadership,
        records=records,
        membership=membership,
        numbered=[],
    )
    return cast("Backbone", found)


def test_hanging_questions_of_a_node_do_not_keep_it_from_asking_for_a_stop(tmp_path: Path) -> None:
    async def scenario() -> None:
        hub = MemoryHub(clock=VirtualClock())
        leader, edge = (_requests(hub, node) for node in (LEADER, EDGE))
        never = asyncio.Event()

        async def hang(_asker: NodeId, _body: bytes) -> bytes:
            await never.wait()
            return b""

        leader.serve("bucket", hang)
        EmergencyStop(
            backbone_of(leader),
            config=lambda: config_of(tmp_path),
            audit=lambda *_args, **_fields: None,
            clock=VirtualClock(),
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(leader.run())]
            await VirtualClock().sleep_ms(1)
            fabric = hub.attach(EDGE, allowed=permissions(EDGE, voter=False))
            tasks += [
                group.create_task(
                    fabric.request(lead_subject(EDGE, "bucket"), b"", timeout_ms=60_000)
                )
                for _ in range(4)
            ]
            await VirtualClock().sleep_ms(1)
            wish = Wish(halted=True, by="root", reason="fire", request="12345678")
            body = await edge.ask(WRITE, msgspec.msgpack.encode(wish), timeout_ms=1_000)
            assert msgspec.msgpack.decode(body, type=Answer).number == 1
            body = await edge.ask(READ, msgspec.msgpack.encode(Known(0)), timeout_ms=1_000)
            assert msgspec.msgpack.decode(body, type=Answer).number == 1
            with pytest.raises(RateLimited):  # The others have taken every common place.
                await edge.ask("bucket", b"", timeout_ms=300)
            for task in tasks:
                task.cancel()

    run(scenario())


def _requests(hub: MemoryHub, me: NodeId) -> LeaderRequests:
    async def nothing(*_args: object) -> None:
        return None

    return LeaderRequests(
        me=me,
        fabric=hub.attach(me, allowed=permissions(me, voter=me == LEADER)),
        clock=VirtualClock(),
        leads=lambda: TOKEN if me == LEADER else None,
        admit=nothing,
        settled=nothing,
    )
