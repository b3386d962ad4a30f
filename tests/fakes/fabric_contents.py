"""Fills a stream and reads all of it back, for tests that compare every message."""

from __future__ import annotations

import json

from bzzz_core.fabric.layout import CONTROL_STREAM, stream_api
from bzzz_core.fabric.records import NatsRecords
from bzzz_core.fabric.streams import StreamKeeper
from bzzz_core.model import Revision
from bzzz_core.ports import Guard

KEYS = 40
ROUNDS = 5

Contents = dict[int, tuple[str, str]]
"""Sequence -> subject and value."""


async def fill(records: NatsRecords, keys: int = KEYS, rounds: int = ROUNDS) -> None:
    """Write every key several times, so that sequences and revisions differ."""
    for turn in range(rounds):
        for number in range(keys):
            key = f"key-{number}"
            found = await records.read(key)
            at = found.revision if found else Revision(0)
            await records.write(key, f"{turn} of {number}".encode(), Guard(key, at))


async def contents(keeper: StreamKeeper, stream: str = CONTROL_STREAM) -> Contents:
    """Return every message of a stream by its sequence."""
    state = await keeper.state(stream)
    assert state is not None
    found: Contents = {}
    for sequence in range(1, state.last_sequence + 1):
        question = json.dumps({"seq": sequence}).encode()
        reply = await keeper.link.request(
            stream_api("MSG.GET", stream), question, headers=None, timeout_ms=2_000
        )
        answer = json.loads(reply.data)
        if "message" in answer:
            found[sequence] = (answer["message"]["subject"], answer["message"].get("data", ""))
    return found
