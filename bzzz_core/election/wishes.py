"""What operators, and services on their behalf, ask of an election.

A wish becomes an event for the machine; the answer is what came of it, within a bounded time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from bzzz_core.election.candidate import MANDATE_DETECTS
from bzzz_core.election.duties import Duties
from bzzz_core.election.events import Event, HandOver, Resign, Stand, StepDown, Suspend
from bzzz_core.election.machine import View
from bzzz_core.election.stages import Role
from bzzz_core.election.voters import VoterSetWatch
from bzzz_core.errors import NotLeader, RateLimited, TransferFailed
from bzzz_core.model import FencingToken, NodeId, Term, VoterSet
from bzzz_core.ports import Clock

TAKEOVER_MS: Final = 10_000
"""How long a successor may take until it serves: a stream without leader takes 4 to 9 s."""
REST_MS: Final = 3_000
"""How long a leader stays at least before it hands over. Each leader keeps to it, so wishes alone
never move leadership more often; an operator who asks earlier waits that much longer."""
_LOOK_MS: Final = 20


class Wishes:
    """Asks one node's election for something."""

    def __init__(
        self,
        *,
        clock: Clock,
        detect_ms: int,
        view: Callable[[], View],
        token: Callable[[], FencingToken | None],
        feed: Callable[[Event], None],
        sent: Callable[[], Awaitable[None]],
        duties: Duties,
        watch: VoterSetWatch,
    ) -> None:
        """Take what the wishes need.

        Args:
            clock: For the waits.
            detect_ms: The election's own measure of patience.
            view: What this node believes.
            token: What it writes with while it serves.
            feed: Tells the machine; does nothing while the election is off.
            sent: Returns when everything that was to be sent has left.
            duties: Carries out what a leader does.
            watch: Knows the committed voters.
        """
        self._clock = clock
        self._detect_ms = detect_ms
        self._view = view
        self._token = token
        self._feed = feed
        self._sent = sent
        self._duties = duties
        self._watch = watch
        self._handing: asyncio.Future[str] | None = None

    async def resign(self) -> None:
        """Stop leading and return when the others were told; does nothing on a follower."""
        self._feed(Resign())
        await self._sent()

    async def transfer(self, to: NodeId | None = None) -> View:
        """Hand leadership over, to the fittest if nobody is named; return what came of it.

        Raises:
            NotLeader: This node does not lead.
            RateLimited: It leads for less than `REST_MS`; it leads on, and may be asked again.
            TransferFailed: It leads on, or nobody took over in time; the message says which.
        """
        view = self._view()
        before = view.term
        if self._token() is None or self._handing is not None:
            raise NotLeader("this node does not lead now, or is handing over already")
        if (led_ms := self._clock.now_ms() - view.since_ms) < REST_MS:
            left_s = (REST_MS - led_ms) / 1000
            raise RateLimited(f"this leader has just begun; it may hand over in {left_s:.1f} s")
        self._handing = asyncio.get_running_loop().create_future()
        try:
            self._feed(HandOver(to))
            why = await self._handing
        finally:
            self._handing = None
        if why != StepDown.TRANSFERRED:
            raise TransferFailed(f"leadership was not handed over: {why}")
        return await self._await_leader(before, TAKEOVER_MS)

    def settle(self, why: str) -> None:
        """Say what came of handing over."""
        if self._handing is not None and not self._handing.done():
            self._handing.set_result(why)

    async def stand(self) -> View:
        """Stand for want of a leader; return who leads then.

        Raises:
            TransferFailed: A leader is heard, this node must not vote, or nobody won in time.
        """
        view = self._view()
        if view.role is Role.EDGE or view.abstains:
            raise TransferFailed("this node has no vote now; ask another voter")
        if view.leader is not None:
            raise TransferFailed("there is a leader; use transfer to have another one")
        self._feed(Stand())
        return await self._await_leader(view.term, MANDATE_DETECTS * self._detect_ms)

    async def change_voters(self, wanted: VoterSet) -> None:
        """Commit another voter set as the leader, and lead no more.

        Raises:
            NotLeader: This node does not lead.
            Deposed: Another leader serves; nothing was written.
            BzzzError: It is unknown whether the set is committed; read it.
        """
        token = self._token()
        if token is None or self._watch.changed.is_set():
            raise NotLeader("only the leader changes the voters, and this node does not lead now")
        number, term = self._watch.known.number + 1, self._view().term
        self._feed(Suspend())
        successor = msgspec.structs.replace(wanted, number=number, term=term)
        try:
            await self._duties.commit_voters(token, successor)
        finally:
            self._feed(Resign(StepDown.VOTERS_CHANGED))
        await self._sent()
        self._watch.take(successor)

    async def _await_leader(self, above: Term, within_ms: int) -> View:
        deadline_ms = self._clock.now_ms() + within_ms
        while self._clock.now_ms() < deadline_ms:
            view = self._view()
            if view.term > above and view.leader is not None and view.served:
                return view
            await self._clock.sleep_ms(_LOOK_MS)
        raise TransferFailed(
            f"nobody leads yet after {within_ms} ms; an ordinary election goes on if it may"
        )
