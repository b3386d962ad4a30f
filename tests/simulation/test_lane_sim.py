"""Two nodes depose each other over a store that loses, delays and doubles; the log stays right.

Checked over the whole history, not from what the lanes believe:

- what was acknowledged is there, at the revision told, once;
- what was refused (`Deposed`, `QuorumUnavailable`) is not there and never comes;
- of one leadership, entries and records lie in the order in which they were asked for, so that no
  record is undone by an older one;
- every message was written under the newest `_term` of its time.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from bzzz_core.errors import BzzzError, Deposed, QuorumUnavailable, RequestTimeout
from bzzz_core.fabric.batch import decode_batch
from bzzz_core.leading import LeadersLog
from bzzz_core.model import FencingToken, Revision
from bzzz_core.ports import Guard
from tests.fakes import virtual_time
from tests.fakes.lossy_records import LossyRecords, LossyStore, Trouble
from tests.fakes.virtual_time import VirtualClock

KEYS = ("config", "nodes")
ROUNDS = 40


@dataclass
class Story:
    """What the writers were told."""

    acknowledged: dict[bytes, Revision] = field(default_factory=dict)
    refused: set[bytes] = field(default_factory=set)
    unknown: set[bytes] = field(default_factory=set)
    trouble: list[str] = field(default_factory=list)


async def one_write(log: LeadersLog, token: FencingToken, number: int, story: Story) -> None:
    content = b"%d %d" % (token.sequence, number)
    key = KEYS[number % 7] if number % 7 < len(KEYS) else None
    try:
        if key is None:
            revision = await log.append(token, content)
        else:
            revision = await log.put(token, key, content)
    except RequestTimeout:
        story.unknown.add(content)
    except (Deposed, QuorumUnavailable):
        story.refused.add(content)
    else:
        story.acknowledged[content] = revision


async def win(records: LossyRecords) -> FencingToken | None:
    """Take the term, or find that this time it was not us."""
    try:
        before = await records.read("_term")
        at = before.revision if before else Revision(0)
        return FencingToken(records.stream, await records.write("_term", b"", Guard("_term", at)))
    except BzzzError:
        return None


async def lead_again_and_again(store: LossyStore, records: LossyRecords, story: Story) -> None:
    clock, draw = store.clock, store.random
    steps_down = asyncio.Event()

    def trouble(_: FencingToken, reason: str) -> None:
        story.trouble.append(reason)
        steps_down.set()

    log = LeadersLog(records, clock=clock, trouble=trouble)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(log.run())
        for _ in range(ROUNDS):
            await clock.sleep_ms(draw.randint(0, 20_000))
            token = await win(records)
            if token is None:
                continue
            steps_down.clear()
            async with asyncio.TaskGroup() as writers:
                for number in range(draw.randint(1, 150)):
                    if steps_down.is_set():
                        break
                    writers.create_task(one_write(log, token, number, story))
                    if draw.random() < 0.3:
                        await clock.sleep_ms(draw.randint(0, 200))
        running.cancel()


def play(seed: int, trouble: Trouble) -> tuple[LossyStore, Story]:
    story = Story()

    async def main() -> LossyStore:
        store = LossyStore(clock=VirtualClock(), seed=seed, trouble=trouble)
        async with asyncio.TaskGroup() as network, asyncio.TaskGroup() as nodes:
            for _ in range(2):
                records = LossyRecords(store, network)
                nodes.create_task(lead_again_and_again(store, records, story))
        return store

    return virtual_time.run(main()), story


def judge(store: LossyStore, story: Story) -> None:
    found: dict[bytes, Revision] = {}
    last: dict[tuple[int, str | None], int] = {}
    term = Revision(0)
    for record, guard in zip(store.history, store.guards, strict=True):
        if record.key == "_term":
            term = record.revision
            continue
        assert guard == Guard("_term", term), "written by a deposed leader"
        entries = decode_batch(record.value).entries if record.key == "log" else (record.value,)
        for content in entries:
            assert content not in found, f"{content!r} was written twice"
            found[content] = record.revision
            of, number = map(int, content.split())
            assert of == term
            assert number > last.get((of, None), -1), f"{content!r} lies behind a later write"
            last[of, None] = number
    for content, revision in story.acknowledged.items():
        assert found.get(content) == revision, f"{content!r} was acknowledged and is not there"
    for content in story.refused:
        assert content not in found, f"{content!r} was refused and is there"


BAD = Trouble()
WORSE = Trouble(lost=0.4, late=0.3, leaderless=0.1)


@pytest.mark.parametrize("trouble", [BAD, WORSE], ids=["bad", "worse"])
@pytest.mark.parametrize("seed", range(30))
def test_two_leaders_on_a_bad_network(seed: int, trouble: Trouble) -> None:
    store, story = play(seed, trouble)
    judge(store, story)
    assert story.acknowledged, "a history in which nothing happened proves nothing"


def test_the_troubles_that_matter_do_occur() -> None:
    """Otherwise the histories above would prove little."""
    stories = [play(seed, WORSE)[1] for seed in range(10)]
    assert sum(len(story.unknown) for story in stories) > 20
    assert sum(len(story.refused) for story in stories) > 200
    reasons = {reason for story in stories for reason in story.trouble}
    assert reasons >= {"deposed", "writes hang"}


def test_a_calm_network_writes_everything() -> None:
    calm = Trouble(lost=0, late=0, doubled=0, unanswered=0, leaderless=0, busy=0)
    store, story = play(1, calm)
    judge(store, story)
    assert not story.unknown
    assert len(story.acknowledged) > 1_000
