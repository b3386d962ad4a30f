"""What a new leader does between its election and its first answer to anybody.

    take over      only after a transfer: the stream holds what the leader before left (`handover`)
    first write    under its token, over every stream that leaders write; nobody older can write now
    look again     the voters are still those that elected it, or it goes
    catch up       whoever leads parts of the node reads to the end of what it needs

Each step is tried again for as long as this node leads; a leader that comes to no end of it goes by
the machine's own rule.

Rules: steps raise what the store raises; what no waiting cures is not hidden.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias, TypeVar

from bzzz_core.election.handover import take_over
from bzzz_core.election.messages import Stock
from bzzz_core.errors import BzzzError
from bzzz_core.model import FencingToken, Revision
from bzzz_core.ports import Clock, Records

AGAIN_MS: Final = 50

Step: TypeAlias = Callable[[FencingToken], Awaitable[None]]
FirstWrite: TypeAlias = Callable[[FencingToken, bytes], Awaitable[Revision]]
"""Takes over every stream that leaders write, writes the announcement to the log under the guard of
the token, and returns its revision. Raises `Deposed` if the guard is refused; it may be called
again with the same token."""
Result = TypeVar("Result")


class OfficeOver(Exception):
    """This node leads no more; what it was doing as a leader is moot."""


class VotersMoved(Exception):
    """Other voters were committed before this leader served."""


class Opening:
    """Opens one leadership."""

    def __init__(
        self,
        *,
        records: Records,
        clock: Clock,
        leads: Callable[[FencingToken], bool],
        first_write: FirstWrite,
        confirm_voters: Callable[[], Awaitable[bool | None]],
        before_serving: Sequence[Step],
        delayed: Callable[[str], None],
    ) -> None:
        """Take what the steps need.

        Args:
            records: The control stream.
            clock: For the waits between attempts.
            leads: Whether this node still leads by a token.
            first_write: Writes the announcement under the token and returns its revision.
            confirm_voters: Whether the committed voters are those known; None: nobody could say.
            before_serving: What else has to be done first, in order.
            delayed: Told why a step has to be tried again.
        """
        self._records = records
        self._clock = clock
        self._leads = leads
        self._first_write = first_write
        self._confirm_voters = confirm_voters
        self._before_serving = before_serving
        self._delayed = delayed

    async def run(self, token: FencingToken, story: bytes, left: Stock | None) -> Revision:
        """Return the revision of the first write once this leader may serve.

        Raises:
            OfficeOver: It does not lead any more.
            VotersMoved: It was elected by voters that are no more.
            Deposed: The store refused its token.
            IntegrityError: The stream holds something else than was handed over.
        """
        if left is not None:
            await self.insist(token, lambda: take_over(self._records, left))
        revision = await self.insist(token, lambda: self._first_write(token, story))
        while (confirmed := await self._confirm_voters()) is None:
            await self._wait(token, "the voters' record cannot be read")
        if not confirmed:
            raise VotersMoved
        for step in self._before_serving:
            await self.insist(token, lambda step=step: step(token))  # type: ignore[misc]
        return revision

    async def insist(self, token: FencingToken, work: Callable[[], Awaitable[Result]]) -> Result:
        """Do `work`, again and again as long as this node leads and trying again may help.

        Raises:
            OfficeOver: It does not lead any more.
            BzzzError: Trying again cannot help.
        """
        while True:
            try:
                return await work()
            except BzzzError as exc:
                if not exc.retryable:
                    raise
                await self._wait(token, str(exc))

    async def _wait(self, token: FencingToken, why: str) -> None:
        self._delayed(why)
        await self._clock.sleep_ms(AGAIN_MS)
        if not self._leads(token):
            raise OfficeOver
