"""How any node asks the leader to do what only a leader does.

A question travels on `bz.lead.<asking node>.<operation>`: the broker lets a node publish below its
own id alone, so the subject proves who asks. Every voter hears it and only the leader that serves
answers, so nobody needs to know who that is; while there is none, the question ends with
`NotLeader` when its time is over.

Whoever is no member is refused, whatever it asks: the leader goes by the registry, which it writes,
and does not wait until the brokers have shut out a node that was revoked. Machines that want to
join ask no question here; a voter asks for them.

Nobody may take the leader's time from the others: of each asker a few questions wait or are worked
on at a time, and so many a second. What is over that is refused at once and counted, and asked
again: silence would look like the want of a leader. Only a flood that refusals cannot keep up with
is dropped. What must be heard even while everything else hangs, the emergency stop, has a place of
its own: its own limits, and workers that do nothing else.

A question carries the trace of the request it is put for, and the leader answers under it: what it
logs and writes meanwhile names the same request.

A leader that is deposed while it works answers with the failure of its guarded write. An answer
that does not come leaves open whether the work was done; handlers are therefore idempotent, or say
who may ask twice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Annotated, Final

import msgspec

from bzzz_core.enrolment.limit import AttemptLimit
from bzzz_core.errors import (
    BzzzError,
    NotLeader,
    RateLimited,
    RequestInvalid,
    RequestTimeout,
    TransportError,
    error_of,
)
from bzzz_core.fabric.layout import lead_subject
from bzzz_core.model import FencingToken, NodeId
from bzzz_core.ports import Clock, Fabric, Message
from bzzz_core.telemetry import logs, tracing

Handler = Callable[[NodeId, bytes], Awaitable[bytes]]
Admit = Callable[[NodeId, str], Awaitable[None]]
"""(who asks, the operation)."""
Settled = Callable[[], Awaitable[None]]
BODY_BYTES_MAX: Final = 1_001_000
_WAITING_MAX: Final = 64
_WORKERS: Final = 8
_WORKERS_OF_OWN_PLACE: Final = 2
_REFUSALS_WAITING_MAX: Final = 64
_OF_ONE_ASKER_MAX: Final = 4
_BURST: Final = 64
_REFILL_MS: Final = 10
"""A hundred questions a second and asker: more than a busy node has, less than a leader can do."""
_TRY_MS: Final = 5_000
_AGAIN_MS: Final = 100
_STOP_S_MAX: Final = 1.0


class _Answer(msgspec.Struct, frozen=True):
    body: bytes = b""
    code: str = ""
    message: Annotated[str, msgspec.Meta(max_length=4_000)] = ""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Answer)


class _Place:
    """Where questions wait for the leader: how many at a time and a second, of all and of each."""

    def __init__(self, *, workers: int) -> None:
        """Hold nothing yet; `workers` questions are worked on at a time."""
        self.workers = workers
        self.questions: asyncio.Queue[tuple[NodeId, Handler, Message]] = asyncio.Queue(_WAITING_MAX)
        self._limit = AttemptLimit(burst=_BURST, refill_ms=_REFILL_MS)
        self._open: Counter[NodeId] = Counter()
        """Questions of each asker that wait or are worked on."""

    def enter(self, asker: NodeId, handler: Handler, message: Message, now_ms: int) -> None:
        """Let a question wait; `leave` is called when it is answered.

        Raises:
            RateLimited: There is no room for it.
        """
        if self._open[asker] >= _OF_ONE_ASKER_MAX:
            raise RateLimited(
                f"the leader holds {_OF_ONE_ASKER_MAX} questions of this node already; ask again"
                " when one of them is answered"
            )
        if self.questions.full():
            raise RateLimited(f"{_WAITING_MAX} questions wait for the leader; ask again soon")
        self._limit.spend(asker, now_ms)
        self._open[asker] += 1
        self.questions.put_nowait((asker, handler, message))

    def leave(self, asker: NodeId) -> None:
        """Count a question as answered."""
        self._open[asker] -= 1
        if not self._open[asker]:
            del self._open[asker]


class LeaderRequests:
    """Both ends of the question: `ask` on every node, `serve` on voters."""

    def __init__(
        self,
        *,
        me: NodeId,
        fabric: Fabric,
        clock: Clock,
        leads: Callable[[], FencingToken | None],
        admit: Admit,
        settled: Settled,
    ) -> None:
        """Subscribe nothing yet.

        Args:
            me: This node.
            fabric: Where questions are put and heard.
            clock: For limits and waits.
            leads: Gives the token while this node serves as leader.
            admit: Raises unless a node may put a question to this leader at all.
            settled: Returns when what an answer stands for is written down.
        """
        self._log = logs.get("leadership")
        self._me = me
        self._fabric = fabric
        self._clock = clock
        self._leads = leads
        self._admit = admit
        self._settled = settled
        self._handlers: dict[str, Handler] = {}
        self._common = _Place(workers=_WORKERS)
        self._own_places: dict[str, _Place] = {}
        self._refusals: asyncio.Queue[tuple[Message, _Answer]] = asyncio.Queue(
            _REFUSALS_WAITING_MAX
        )
        self.counters: Counter[str] = Counter()

    def serve(self, operation: str, handler: Handler, *, own_place: bool = False) -> None:
        """Let `handler` answer `operation` while this node leads; before `run`.

        Args:
            operation: The question's name.
            handler: Gets who asks and the question's body; returns the answer's.
            own_place: Whether it is heard and worked on however many other questions hang.
        """
        assert operation not in self._handlers, f"{operation} is served twice"
        self._handlers[operation] = handler
        if own_place:
            self._own_places[operation] = _Place(workers=_WORKERS_OF_OWN_PLACE)

    async def run(self) -> None:
        """Hear questions until cancelled; voters only."""
        interest = await self._fabric.subscribe(lead_subject(NodeId("*"), "*"), self._hear)
        try:
            async with asyncio.TaskGroup() as workers:
                for place in (self._common, *self._own_places.values()):
                    for _ in range(place.workers):
                        workers.create_task(self._work(place), name="leader-request")
                workers.create_task(self._refuse(), name="leader-refusals")
        finally:
            # Where the connection hangs, an end must not: whoever ends us may end it, too.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STOP_S_MAX):
                    await interest.stop()

    async def ask(self, operation: str, body: bytes, *, timeout_ms: int) -> bytes:
        """Return the leader's answer, trying again while nobody leads.

        Raises:
            NotLeader: Nobody served as leader for `timeout_ms`.
            RateLimited: The leader had no room for it for `timeout_ms`.
            RequestTimeout: No answer in time; the leader may have done it.
            BzzzError: What the leader's handler failed with.
        """
        if len(body) > BODY_BYTES_MAX:
            raise RequestInvalid(f"a question to the leader has at most {BODY_BYTES_MAX} bytes")
        deadline_ms = self._clock.now_ms() + timeout_ms
        why: BzzzError = NotLeader("no leader serves right now")
        while (left_ms := deadline_ms - self._clock.now_ms()) > 0:
            try:
                return await self._ask_once(operation, body, min(left_ms, _TRY_MS))
            except RequestTimeout:
                why = RequestTimeout(
                    f"no leader answered {operation} in {timeout_ms / 1000:.0f} s; whether it was"
                    " done is open. `bzzz-agent leader show` says who leads"
                )
            except (NotLeader, TransportError) as exc:
                # A refusal says nothing about an earlier try that may have been carried out.
                why = why if isinstance(why, RequestTimeout) else exc
            await self._clock.sleep_ms(_AGAIN_MS)
        raise why

    async def _ask_once(self, operation: str, body: bytes, timeout_ms: int) -> bytes:
        handler = self._handlers.get(operation)
        if handler is not None and self._leads() is not None:
            return await self._answer(handler, self._me, body)
        subject = lead_subject(self._me, operation)
        data = await self._fabric.request(subject, body, timeout_ms=timeout_ms)
        try:
            answer = _decoder.decode(data)
        except ValueError as exc:
            raise TransportError("the leader's answer is malformed") from exc
        if answer.code:
            raise error_of(answer.code, answer.message)
        return answer.body

    def _hear(self, message: Message) -> None:
        """Take a question if it is for us; it was published by the node its subject names."""
        *_, asker, operation = message.subject.split(".")
        handler = self._handlers.get(operation)
        if self._leads() is None or not message.reply:
            return
        place = self._own_places.get(operation, self._common)
        try:
            place.enter(
                NodeId(asker), handler or _unknown(operation), message, self._clock.now_ms()
            )
        except RateLimited as exc:
            self.counters["refused"] += 1
            self._refuse_soon(message, exc)
            return
        if handler is None:
            self.counters["unknown"] += 1

    def _refuse_soon(self, message: Message, why: RateLimited) -> None:
        try:
            self._refusals.put_nowait((message, _Answer(code=why.code, message=str(why))))
        except asyncio.QueueFull:
            self.counters["dropped"] += 1

    async def _answer(self, handler: Handler, asker: NodeId, body: bytes) -> bytes:
        """Return the answer or fail, once what was done for it is in the audit for good."""
        try:
            return await handler(asker, body)
        finally:
            await self._settled()

    async def _work(self, place: _Place) -> None:
        while True:
            asker, handler, message = await place.questions.get()
            await asyncio.sleep(0)  # A handler that never waits must not hold up the heartbeats.
            try:
                with tracing.request(trace=message.trace):
                    answer = await self._answer_or_failure(handler, asker, message)
            finally:
                place.leave(asker)
            await self._reply(message, answer)

    async def _refuse(self) -> None:
        while True:
            message, answer = await self._refusals.get()
            await self._reply(message, answer)

    async def _reply(self, message: Message, answer: _Answer) -> None:
        try:
            await self._fabric.reply(message, _encoder.encode(answer))
        except (TransportError, ValueError):  # Gone, or it asked for the answer elsewhere.
            self.counters["unanswered"] += 1

    async def _answer_or_failure(
        self, handler: Handler, asker: NodeId, message: Message
    ) -> _Answer:
        operation = message.subject.rpartition(".")[2]
        try:
            await self._admit(asker, operation)
            answer = _Answer(await self._answer(handler, asker, message.data))
        except BzzzError as exc:
            self.counters["failed"] += 1
            answer = _Answer(code=exc.code, message=str(exc)[:4_000])
        else:
            self.counters["answered"] += 1
        self._log.debug("answered", operation=operation, asker=asker, code=answer.code)
        return answer


def _unknown(operation: str) -> Handler:
    async def answer(_asker: NodeId, _body: bytes) -> bytes:
        raise RequestInvalid(f"the leader does not know {operation[:64]}; it may be older than you")

    return answer
