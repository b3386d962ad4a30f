"""Makes the newest vote durable, in a thread; its ballot leaves only afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bzzz_core.election.clerk import Report
from bzzz_core.election.events import VoteSaved
from bzzz_core.model import Vote
from bzzz_core.ports import VoteStore


class VoteBox:
    """One voter's votes on their way to the disk."""

    def __init__(
        self, votes: VoteStore, *, saved: Callable[[VoteSaved], None], report: Report
    ) -> None:
        """Save nothing yet; `saved` is told of each vote that is durable."""
        self._votes = votes
        self._saved = saved
        self._report = report
        self._waiting: asyncio.Queue[Vote] = asyncio.Queue(1)

    async def load(self) -> Vote | None:
        """Return the last vote, an empty one on the first start; None if it was lost."""
        vote = await asyncio.to_thread(self._votes.load)
        if vote is None:
            self._report("vote file lost: abstaining", {})
        return vote

    def put(self, vote: Vote) -> None:
        """Have a vote saved in the place of one that still waits: its ballot never leaves."""
        if self._waiting.full():  # Whoever asks for votes faster than the disk makes no heap.
            self._waiting.get_nowait()
        self._waiting.put_nowait(vote)

    async def run(self) -> None:
        """Save until cancelled."""
        while True:
            vote = await self._waiting.get()
            try:
                await asyncio.to_thread(self._votes.save, vote)
            except OSError as exc:
                # The ballot never leaves; a later vote may be luckier.
                self._report("vote not saved", {"term": vote.term, "reason": str(exc)})
            else:
                self._saved(VoteSaved(vote))
