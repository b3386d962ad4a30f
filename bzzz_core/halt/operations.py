"""The emergency stop on the agent's API.

    GET    /v1/halt    whether work is stopped, since when, by whom and why
    POST   /v1/halt    {"reason": ..., "local": false}: stop it everywhere, or on this node alone
    DELETE /v1/halt    {"revision": ...}: let it go on

Who stops is never sent away: this node stops at once, whoever leads; then the leader is asked to
decide for all. If it does, the answer says within five seconds which nodes have stopped and which
not yet; if nobody leads, this node stays stopped by itself and the answer says that, too. To resume
needs the cluster.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Annotated, Final

import msgspec

from bzzz_core.api.event_documents import HaltDocument, Words
from bzzz_core.api.operations import By, Call, Operation
from bzzz_core.errors import (
    BzzzError,
    ConsistencyError,
    IntegrityError,
    NotLeader,
    TransportError,
)
from bzzz_core.halt.keeper import Answer
from bzzz_core.halt.record import Reason, Wish, decode
from bzzz_core.halt.service import Halt
from bzzz_core.model import Count, MemberState, NodeId, Text
from bzzz_core.ports import Clock

EVERYWHERE_MS: Final = 5_000
"""Within so long a stop reaches every node that can be reached; nobody is waited for longer."""
_DECIDE_MS_MAX: Final = 3_000
"""So long the leader is waited for before this node says that it stands alone."""
_RESUME_MS_MAX: Final = 10_000
_LOOK_MS: Final = 100
_GONE: Final = frozenset({MemberState.DEAD, MemberState.LEFT})


class HaltWish(msgspec.Struct, frozen=True):
    """Body of `POST /v1/halt`."""

    reason: Annotated[Reason, msgspec.Meta(pattern=r"^[^\x00-\x1f]*$")] = ""
    local: bool = False
    """Stop this node alone, and do not ask the cluster."""
    by: By = ""


class ResumeWish(msgspec.Struct, frozen=True):
    """Body of `DELETE /v1/halt`."""

    revision: Count | None = None
    """The decision that is to end; null: the newest one that this node can learn of."""
    by: By = ""


class NotYet(msgspec.Struct, frozen=True):
    """A node that has not followed."""

    node: Text
    state: Text
    """What the answering node believes of it; a dead one follows when it is back."""


class HaltAnswer(msgspec.Struct, frozen=True):
    """What came of a wish to stop or to resume."""

    halt: HaltDocument
    cluster: bool
    """Whether the cluster decided it; false: this node alone."""
    followed: tuple[Text, ...]
    missing: tuple[NotYet, ...]
    took_ms: Count
    notes: tuple[Words, ...] = ()


class HaltApi:
    """Answers for one agent."""

    def __init__(
        self,
        halt: Halt,
        *,
        wish: Callable[[bytes, int], Awaitable[bytes]],
        members: Callable[[], Iterable[tuple[NodeId, str, MemberState]]],
        me: NodeId,
        cluster: str,
        clock: Clock,
    ) -> None:
        """Offer nothing yet.

        Args:
            halt: This node's side.
            wish: Puts `keeper.WRITE` to the leader, with a limit in milliseconds.
            members: Id, name and state of every node that belongs to the cluster.
            me: This node.
            cluster: Identity of the cluster.
            clock: For the five seconds.
        """
        self._halt = halt
        self._wish = wish
        self._members = members
        self._me = me
        self._cluster = cluster
        self._clock = clock

    def operations(self) -> list[Operation]:
        """Return what is offered."""
        return [
            Operation(
                "GET",
                "/v1/halt",
                self._get,
                "status:read",
                "Whether work is stopped, as this node knows it",
                answers=HaltDocument,
            ),
            Operation(
                "POST",
                "/v1/halt",
                self._stop,
                "work:stop",
                "Stop all work, everywhere or on this node alone",
                takes=HaltWish,
                needs_body=False,
                answers=HaltAnswer,
            ),
            Operation(
                "DELETE",
                "/v1/halt",
                self._resume,
                "work:start",
                "Let work go on everywhere",
                takes=ResumeWish,
                needs_body=False,
                answers=HaltAnswer,
            ),
        ]

    async def _get(self, _call: Call) -> HaltDocument:
        return self._halt.document()

    async def _stop(self, call: Call) -> HaltAnswer:
        wish = call.read(HaltWish)
        started_ms, actor = self._clock.now_ms(), call.actor(wish.by)
        self._halt.stop_here(by=actor, reason=wish.reason)
        if wish.local:
            await self._halt.insist()
            return self._alone(started_ms, "only this node was to stop")
        async with asyncio.TaskGroup() as both:
            # Work that does not end here must not keep the others from hearing of the stop.
            both.create_task(self._halt.insist(), name="halt-here")
            deciding = both.create_task(
                self._why_undecided(
                    Wish(halted=True, by=actor, reason=wish.reason, request=secrets.token_hex(16))
                ),
                name="halt-everywhere",
            )
        if why := deciding.result():
            return self._alone(
                started_ms,
                f"the cluster did not decide it ({why}), so only this node has stopped; stop the"
                " others one by one, or try again once there is a leader",
            )
        return await self._gather(started_ms)

    async def _why_undecided(self, wish: Wish) -> str:
        """Let the leader decide on a stop; return why it did not, or nothing."""
        try:
            await self._decide(wish, _DECIDE_MS_MAX)
        except BzzzError as exc:
            return str(exc) or type(exc).__name__
        return ""

    async def _resume(self, call: Call) -> HaltAnswer:
        wish = call.read(ResumeWish)
        started_ms = self._clock.now_ms()
        expected = await self._newest() if wish.revision is None else wish.revision
        await self._decide(
            Wish(
                halted=False,
                by=call.actor(wish.by),
                request=secrets.token_hex(16),
                expected=expected,
            ),
            _RESUME_MS_MAX,
        )
        return await self._gather(started_ms)

    async def _newest(self) -> int:
        try:
            return (await self._halt.fetch()).number
        except (TransportError, ConsistencyError) as exc:
            raise NotLeader(
                f"to resume needs the cluster, and no leader answers ({exc}); nothing was done"
            ) from exc

    async def _decide(self, wish: Wish, timeout_ms: int) -> None:
        """Let the leader decide, and do it here; what this node did by itself is over then."""
        body = await self._wish(msgspec.msgpack.encode(wish), timeout_ms)
        try:
            answer = msgspec.msgpack.decode(body, type=Answer)
        except ValueError as exc:
            raise IntegrityError("the leader's answer is no decision") from exc
        decision = decode(answer.decision, cluster=self._cluster)
        await self._halt.follow(decision, instead_of_own=True)

    async def _gather(self, started_ms: int) -> HaltAnswer:
        """Wait until everybody has followed who can, or the time is over."""
        number = self._halt.decision.number
        followed: set[str] = set()
        while True:
            try:
                answer = await self._halt.fetch(followers=True)
            except BzzzError:
                answer = None  # A leader that ended meanwhile; its successor hears them anew.
            if answer is not None and answer.number == number:
                followed |= set(answer.followers)
            followed |= self._mine()
            waits = [
                node
                for node, _, state in self._members()
                if node not in followed and state not in _GONE
            ]
            left_ms = EVERYWHERE_MS - (self._clock.now_ms() - started_ms)
            if not waits or left_ms <= 0:
                return self._answer(started_ms, followed, cluster=True)
            await self._clock.sleep_ms(min(_LOOK_MS, left_ms))

    def _alone(self, started_ms: int, note: str) -> HaltAnswer:
        return self._answer(started_ms, self._mine(), note, cluster=False)

    def _mine(self) -> set[str]:
        """Return this node, if its work has done as it was told."""
        return {self._me} if self._halt.obeyed else set()

    def _answer(
        self, started_ms: int, followed: set[str], *notes: str, cluster: bool
    ) -> HaltAnswer:
        members = list(self._members())
        trouble = self._halt.trouble
        kept = (f"the next start of this node may not know it: {trouble}",) if trouble else ()
        return HaltAnswer(
            halt=self._halt.document(),
            cluster=cluster,
            followed=tuple(sorted(name for node, name, _ in members if node in followed)),
            missing=tuple(
                NotYet(name, state) for node, name, state in members if node not in followed
            ),
            took_ms=self._clock.now_ms() - started_ms,
            notes=tuple(note[:2_000] for note in (*notes, *kept)),
        )


def unless_halted(operations: Iterable[Operation], halt: Halt) -> list[Operation]:
    """Return operations of which those that change something are refused while work is stopped."""

    def guard(operation: Operation) -> Operation:
        async def handler(call: Call) -> object:
            halt.check()
            return await operation.handler(call)

        return operation if operation.method == "GET" else replace(operation, handler=handler)

    return [guard(operation) for operation in operations]
