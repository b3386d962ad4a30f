"""The event stream of real agents: a survivor tells of the new leader; who was away goes on."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bzzz_core.api.client import ApiClient
from bzzz_core.api.documents import MemberStatus, Status
from bzzz_core.api.event_documents import Beat, Delta, Lines, Message, Snapshot
from bzzz_core.api.event_position import Position
from bzzz_core.api.event_stream import STATE, Follow
from bzzz_core.config.secrets import Secret
from bzzz_core.model import MemberState
from bzzz_tui.store import Heard, Store
from tests.integration.test_demo import demo, settled

pytestmark = pytest.mark.integration


class Watching:
    """Folds an event stream into the monitor's store."""

    def __init__(self) -> None:
        self.store = Store(now_ms=0)
        self.position: Position | None = None
        self.messages: list[Message] = []

    def take(self, message: Message) -> None:
        self.messages.append(message)
        before, self.position = self.position, Position.after(self.position, message)
        assert self.position is not None, f"{message} does not build on {before}"
        self.store.apply(Heard(source="x", message=message, received_ms=len(self.messages)))

    def state(self, name: str) -> MemberState:
        return next(r.member.state for r in self.store.rows.values() if r.member.name == name)


def client_of(agent: dict[str, Any]) -> ApiClient:
    token = Path(agent["token_file"]).read_text().strip()
    return ApiClient(agent["api_url"], token=Secret(token))


async def follow_a_failover(agents: list[dict[str, Any]], leader: str) -> Watching:
    survivor = next(agent for agent in agents if agent["name"] != leader)
    victim = next(agent for agent in agents if agent["name"] == leader)
    watching = Watching()
    async with client_of(survivor) as client, asyncio.timeout(90):
        asked = Follow(beat_ms=1_000, topics=(*STATE, "logs"))
        async with aclosing(client.follow(asked)) as messages:
            watching.take(await anext(messages))
            assert watching.store.status is not None
            assert watching.store.status.leader == leader
            assert "halt" in watching.store.known
            os.kill(victim["pid"], signal.SIGKILL)
            async for message in messages:
                watching.take(message)
                status: Status | None = watching.store.status
                led = status is not None and status.leader not in {None, leader}
                if led and watching.state(leader) is MemberState.DEAD:
                    break
        # Gone and back again: only what differs is told.
        asked = Follow(beat_ms=1_000, resume=watching.position)
        async with aclosing(client.follow(asked)) as messages:
            message = await anext(messages)
            assert isinstance(message, Delta | Beat)
            watching.take(message)
    return watching


@pytest.mark.timeout(180)
def test_a_survivor_tells_of_the_new_leader_and_of_the_dead_one(tmp_path: Path) -> None:
    with demo(tmp_path, agents=3) as (_, agents):
        before = settled(agents)
        leader = before["leader"]
        watching = asyncio.run(follow_a_failover(agents, leader))
    kinds = [type(message) for message in watching.messages]
    assert kinds.count(Snapshot) == 1
    assert Delta in kinds
    assert Lines in kinds, "an election is in the log"
    status: Status | None = watching.store.status
    assert status is not None
    assert status.term > before["term"]
    texts = [happening.text for happening in watching.store.events]
    assert f"{status.leader} leads in term {status.term}" in texts
    assert f"{leader} is held to be dead" in texts
    sizes = [len(msgspec.json.encode(m)) for m in watching.messages if isinstance(m, Beat)]
    assert all(size < 150 for size in sizes)
    assert MemberStatus in {type(row.member) for row in watching.store.rows.values()}
