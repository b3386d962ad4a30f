"""Runs the components of a process and ends them by the plan.

A component is work that goes on until it is cancelled, or something to do at the end, or both. All
run as tasks of one `Lifecycle`; the first that fails asks for the end of the whole, with its
failure as the reason, and the others are ended in order all the same.

To end a component is to await its `stop`, then to cancel its work. One that takes longer than its
place allows is *forced*: both are cancelled (again). One that survives even that is *abandoned*:
the end goes on, and the process ends without it (`last_resort`).

Tasks lie in no TaskGroup here, for a group waits for every task it has and cancels all at once;
the end of `run` is what owns them instead: when it returns, each has ended or is named in
`abandoned`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from bzzz_core.errors import BzzzError
from bzzz_core.ports import Clock
from bzzz_core.shutdown.plan import FORCE_MS, Phase, Place, Urgency, deadline_ms, place_of, steps
from bzzz_core.shutdown.request import StopRequest
from bzzz_core.telemetry import logs

OK: Final = "ok"
FORCED: Final = "forced"
ABANDONED: Final = "abandoned"
FAILED: Final = "failed"


@dataclass(slots=True, kw_only=True)
class _Component:
    name: str
    place: Place
    work: Coroutine[Any, Any, None] | None = None
    stop: Callable[[], Awaitable[None]] | None = None
    ready: Callable[[], Awaitable[None]] | None = None
    task: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How one component ended."""

    name: str
    phase: Phase
    result: str
    """One of `OK`, `FORCED`, `ABANDONED`, `FAILED`."""
    took_ms: int


class Lifecycle:
    """The components of one process, from their start to their end."""

    def __init__(self, *, clock: Clock) -> None:
        """Hold nothing yet."""
        self._clock = clock
        self._log = logs.get("lifecycle")
        self._components: dict[str, _Component] = {}
        self._hooks: list[tuple[Phase, Callable[[], None]]] = []
        self._stopping = False
        self._hurried_ms: int | None = None
        self._bugs: list[BaseException] = []
        self._beside: set[asyncio.Task[None]] = set()
        self._waiting: set[asyncio.Event] = set()
        self.endings: list[Ending] = []
        """What has ended so far, in its order."""

    @property
    def places(self) -> dict[str, Place]:
        """Return when each component ends."""
        return {name: component.place for name, component in self._components.items()}

    @property
    def abandoned(self) -> list[str]:
        """Return the components that did not end."""
        return [ending.name for ending in self.endings if ending.result == ABANDONED]

    def add(
        self,
        name: str,
        work: Coroutine[Any, Any, None] | None = None,
        *,
        stop: Callable[[], Awaitable[None]] | None = None,
        ready: Callable[[], Awaitable[None]] | None = None,
        place: Place | None = None,
    ) -> None:
        """Add a component, before `run`.

        Args:
            name: As the log calls it; names its place in the order too.
            work: Goes on until it is cancelled; one that returns has done what it was for.
            stop: What to do first when it is to end.
            ready: Returns once it works; only for the log.
            place: When it ends, if the order of the agent's components does not say it.
        """
        assert name not in self._components, f"there is a component {name} already"
        self._components[name] = _Component(
            name=name, place=place or place_of(name), work=work, stop=stop, ready=ready
        )

    def before(self, phase: Phase, hook: Callable[[], None]) -> None:
        """Call `hook` when a phase begins; it must not block."""
        self._hooks.append((phase, hook))

    async def run(self, stop: StopRequest, *, started: Callable[[], None] = lambda: None) -> None:
        """Start all components, wait until the end is asked for, and end them.

        Args:
            stop: Asks for the end.
            started: Called once all have been started.

        Raises:
            BaseException: What the end was asked for with, or the first component failed with.
        """
        stop.watch(self._on_urgency)
        self._start(stop)
        started()
        try:
            await stop.wait()
            self._stopping = True
            self._log.info("stopping", reason=stop.reason, urgency=stop.urgency)
            for phase in Phase:
                await self._go_through(phase)
        finally:
            await self._sweep()
        if stop.because is not None:
            raise stop.because
        if self._bugs:
            raise self._bugs[0]

    def _start(self, stop: StopRequest) -> None:
        begun_ms = self._clock.now_ms()
        for component in self._components.values():
            if component.work is None:
                continue
            component.task = self._task(component.work, component.name)
            component.task.add_done_callback(partial(self._look, component.name, stop))
            if component.ready is None:
                self._log.info("component started", name=component.name, took_ms=0, result=OK)
            else:
                self._beside.add(self._task(self._tell_ready(component, begun_ms), "start"))

    def _task(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work, name=name)

    def _look(self, name: str, stop: StopRequest, task: asyncio.Task[None]) -> None:
        """Ask for the end of all if a component failed while it was to run."""
        if self._stopping or task.cancelled():
            return
        exc = task.exception()
        if exc is not None:
            stop.ask(f"{name} failed", because=exc)

    async def _tell_ready(self, component: _Component, begun_ms: int) -> None:
        assert component.ready is not None, "only of those that say when they work"
        await component.ready()
        took_ms = self._clock.now_ms() - begun_ms
        self._log.info("component started", name=component.name, took_ms=took_ms, result=OK)

    def _on_urgency(self, urgency: Urgency) -> None:
        if urgency >= Urgency.FAST and self._hurried_ms is None:
            self._hurried_ms = self._clock.now_ms()
            for waiting in self._waiting:
                waiting.set()

    async def _go_through(self, phase: Phase) -> None:
        for due, hook in self._hooks:
            if due is phase:
                hook()
        for step in steps(self.places):
            if step.phase is phase:
                async with asyncio.TaskGroup() as group:
                    for name in step.names:
                        group.create_task(self._end(self._components[name]), name=f"end-{name}")

    async def _end(self, component: _Component) -> None:
        """End one component and say how that went; returns within its time, whatever it does."""
        begun_ms = self._clock.now_ms()
        result = OK
        stopping = self._task(_awaited(component.stop), "stop") if component.stop else None
        for task in (stopping, component.task):
            if task is None:
                continue
            if task is component.task:
                task.cancel()
            if not await self._ends(task, component.place, begun_ms):
                result = FORCED
                task.cancel()
                done, _ = await asyncio.wait({task}, timeout=FORCE_MS / 1000)
                if not done:
                    result = ABANDONED
                    break
            if not task.cancelled() and (exc := task.exception()) is not None:
                result = FAILED
                self._note(component.name, exc)
        took_ms = self._clock.now_ms() - begun_ms
        self.endings.append(Ending(component.name, component.place.phase, result, took_ms))
        say = self._log.info if result == OK else self._log.warning
        say(
            "component stopped",
            name=component.name,
            phase=str(component.place.phase),
            took_ms=took_ms,
            result=result,
        )

    async def _ends(self, task: asyncio.Task[None], place: Place, begun_ms: int) -> bool:
        """Wait for a task as long as its place allows; return whether it has ended."""
        changed = asyncio.Event()
        self._waiting.add(changed)
        hurry = self._task(_awaited(changed.wait), "hurry")
        try:
            while not task.done():
                until_ms = deadline_ms(place, begun_ms=begun_ms, hurried_ms=self._hurried_ms)
                left_ms = until_ms - self._clock.now_ms()
                if left_ms <= 0:
                    return False
                pending = {task} if hurry.done() else {task, hurry}
                await asyncio.wait(
                    pending, timeout=left_ms / 1000, return_when=asyncio.FIRST_COMPLETED
                )
        finally:
            self._waiting.discard(changed)
            hurry.cancel()
        return True

    def _note(self, name: str, exc: BaseException) -> None:
        """Write down why a component did not end well; a bug is raised in the end."""
        ours = isinstance(exc, BzzzError)
        if isinstance(exc, BaseExceptionGroup):
            ours = exc.split(BzzzError)[1] is None
        if ours:
            self._log.warning("component failed at its end", name=name, reason=str(exc))
        else:
            self._bugs.append(exc)

    async def _sweep(self) -> None:
        """Leave no task behind: what still runs is cancelled, and given a moment."""
        left = {c.task for c in self._components.values() if c.task} | self._beside
        left = {task for task in left if not task.done()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=FORCE_MS / 1000)


async def _awaited(work: Callable[[], Awaitable[object]]) -> None:
    await work()
