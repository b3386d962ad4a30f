"""Votes on their way to the disk."""

from __future__ import annotations

import asyncio
import threading

from bzzz_core.election.vote_box import VoteBox
from bzzz_core.model import NodeId, Revision, StreamId, Term, Vote


class SlowDisk:
    """Lets the first vote through when it is told to."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.saved: list[int] = []

    def load(self) -> Vote | None:
        return None

    def save(self, vote: Vote) -> None:
        self.go.wait()
        self.saved.append(vote.term)


def vote(term: int) -> Vote:
    return Vote(Term(term), NodeId("a"), Revision(0), StreamId("s"))


def test_a_slow_disk_gets_the_newest_vote_and_not_all_of_them() -> None:
    """The ballots of those in between would not leave anyway."""

    async def story() -> list[int]:
        disk, told, last = SlowDisk(), [], asyncio.Event()

        def saved(term: int) -> None:
            told.append(term)
            if term == 1_000:
                last.set()

        box = VoteBox(
            disk, saved=lambda event: saved(event.vote.term), report=lambda _what, _fields: None
        )
        task = asyncio.get_running_loop().create_task(box.run())
        box.put(vote(1))
        await asyncio.sleep(0)
        for term in range(2, 1_001):
            box.put(vote(term))
        disk.go.set()
        await last.wait()
        task.cancel()
        assert told == disk.saved
        return disk.saved

    assert asyncio.run(story()) == [1, 1_000]
