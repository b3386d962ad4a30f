"""The configuration of a running agent: noticed, checked, taken or refused, told and audited.

A reload is asked for by a signal, by the API, by a change of the cluster-wide configuration, or by
the watch: every `validation.watch_ms` the watched files are compared by time, size and content with
what they were; while a command is at work on them, it is left to the command to ask, which can say
who it is for. `bzzz_core.config.changes` decides what is taken. Subscribers are told one after the
other, in the order in which they came; one that fails or hangs keeps nobody from hearing.

A new configuration that cannot be, or whose secrets cannot be read, changes nothing: the agent goes
on with the one it has, and says why in its log, in the audit and in `refused`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from bzzz_core.config.changes import Changed, decide
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.secrets import check_references
from bzzz_core.errors import BzzzError, ConfigError
from bzzz_core.ports import Clock
from bzzz_core.telemetry import tracing

Handler = Callable[[AgentConfig], Awaitable[None]]
_ASKED_MAX: Final = 16
_HANDLER_S_MAX: Final = 5.0
"""How long a subscriber may take; the next reload waits for all of them."""
_LEFT_ALONE_MS_MAX: Final = 10_000
"""How long the watch leaves a change to the command that makes it; that one may be stopped."""


class Audit(Protocol):
    """Where acts are written down."""

    def __call__(self, what: str, *, actor: str, **fields: object) -> None:
        """Record one act."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one reload."""

    applied: tuple[Changed, ...] = ()
    waiting: tuple[Changed, ...] = ()
    """What a restart is due for, since the agent started."""
    refused: str = ""
    failed: tuple[str, ...] = ()
    """What subscribers could not do with the values that were taken."""


class LiveConfig:
    """The one place where a running agent's configuration changes."""

    def __init__(
        self,
        load: Callable[[], AgentConfig],
        *,
        clock: Clock,
        audit: Audit,
        watched: Sequence[Path] = (),
        being_changed: Callable[[], bool] = lambda: False,
        report: Callable[[str, dict[str, object]], None] = lambda _what, _fields: None,
        current: AgentConfig | None = None,
        check: Callable[[AgentConfig], Awaitable[None]] | None = None,
    ) -> None:
        """Load the configuration once.

        Args:
            load: Reads all sources anew.
            clock: For the watch.
            audit: Hears of every change.
            watched: Files whose change means a reload.
            being_changed: Whether somebody is at work on them who will ask for the reload.
            report: Hears what is worth a line in the log.
            current: What the agent starts with, if it was loaded already.
            check: Raises ConfigError if a configuration that can be loaded cannot be used; None:
                every secret that it refers to must be readable.

        Raises:
            ConfigError: There is nothing to start with.
        """
        self._load = load
        self._clock = clock
        self._audit = audit
        self._watched = tuple(watched)
        self._being_changed = being_changed
        self._report = report
        self._check = check or _check_secrets
        self._current = current or load()
        self._waiting: tuple[Changed, ...] = ()
        self._refused = ""
        self._seen = _state_of(self._watched)
        self._subscribers: list[tuple[str, Handler]] = []
        self._asked: asyncio.Queue[tuple[str, str]] = asyncio.Queue(_ASKED_MAX)
        self._one_at_a_time = asyncio.Lock()
        self.counters: Counter[str] = Counter()

    @property
    def current(self) -> AgentConfig:
        """Return what the agent runs with: a value that waits for a restart is not in it."""
        return self._current

    @property
    def waiting(self) -> tuple[Changed, ...]:
        """Return what a restart is due for."""
        return self._waiting

    @property
    def refused(self) -> str:
        """Return why the newest configuration was not taken; empty if it was."""
        return self._refused

    def subscribe(self, handler: Handler, *, below: str = "") -> None:
        """Tell `handler` the new configuration whenever a leaf at or below a key was taken.

        A handler that cannot use it raises a BzzzError, which is reported.
        """
        self._subscribers.append((below, handler))

    def ask(self, actor: str, *, trace: str = "") -> None:
        """Let `run` reload soon; safe from a signal handler. Too many at once count as one.

        Args:
            actor: Who wants it, for the audit.
            trace: Of the request behind it, wherever it was made.
        """
        if not self._asked.full():
            self._asked.put_nowait((actor, trace))

    async def run(self) -> None:
        """Watch and reload until cancelled."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._watch(), name="config-watch")
            while True:
                actor, trace = await self._asked.get()
                with tracing.request(trace=trace):
                    await self.reload(actor)

    async def reload(self, actor: str) -> Outcome:
        """Read all sources, take what can be taken, tell who wants to know.

        Args:
            actor: Who wants it, for the audit.
        """
        async with self._one_at_a_time:
            self.counters["reloads"] += 1
            self._seen = _state_of(self._watched)
            try:
                wanted = self._load()
                await self._check(wanted)
            except ConfigError as exc:
                return self._refuse(str(exc), actor, self._waiting)
            decision = decide(self._current, wanted)
            if decision.refused:
                return self._refuse(decision.refused, actor, decision.waiting)
            self._refused = ""
            self._note_waiting(decision.waiting, actor)
            for change in decision.applied:
                self._audit(
                    "config changed", actor=actor, key=change.key, old=change.old, new=change.new
                )
                self._report("configuration changed", {"key": change.key, "actor": actor})
            self.counters["applied"] += len(decision.applied)
            self._current = decision.current
            failed = await self._tell(decision.applied)
            return Outcome(decision.applied, decision.waiting, failed=failed)

    def would_take(self, wanted: AgentConfig) -> Outcome:
        """Return what a reload would do with a configuration; nothing is done."""
        decision = decide(self._current, wanted)
        return Outcome(decision.applied, decision.waiting, decision.refused)

    async def _watch(self) -> None:
        left_alone_ms = 0
        while True:
            pause_ms = self._current.validation.watch_ms
            await self._clock.sleep_ms(pause_ms)
            if _state_of(self._watched) == self._seen:
                left_alone_ms = 0
            elif self._being_changed() and left_alone_ms < _LEFT_ALONE_MS_MAX:
                left_alone_ms += pause_ms
            else:
                left_alone_ms = 0
                await self.reload("file change")

    async def _tell(self, applied: tuple[Changed, ...]) -> tuple[str, ...]:
        failed = []
        for below, handler in self._subscribers:
            if any(_at_or_below(change.key, below) for change in applied):
                reason = await self._told(handler)
                if reason:
                    failed.append(f"{below or 'configuration'}: {reason}")
                    self.counters["failed"] += 1
                    self._report("configuration not followed", {"reason": reason})
        return tuple(failed)

    async def _told(self, handler: Handler) -> str:
        """Tell one subscriber; return why it does not follow, empty if it does."""
        limit = asyncio.timeout(_HANDLER_S_MAX)
        try:
            async with limit:
                await handler(self._current)
        except BzzzError as exc:
            return str(exc)
        except TimeoutError:
            if not limit.expired():
                raise
            name = getattr(handler, "__qualname__", repr(handler))
            return f"{name} did not take it within {_HANDLER_S_MAX:.0f} s"
        return ""

    def _refuse(self, why: str, actor: str, waiting: tuple[Changed, ...]) -> Outcome:
        self.counters["refused"] += 1
        if why != self._refused:
            self._audit("config refused", actor=actor, reason=why)
            self._report("configuration refused; the old one stays in force", {"reason": why})
        self._refused = why
        return Outcome(waiting=waiting, refused=why)

    def _note_waiting(self, waiting: tuple[Changed, ...], actor: str) -> None:
        for change in waiting:
            if change not in self._waiting:
                self._audit(
                    "config waits for a restart",
                    actor=actor,
                    key=change.key,
                    old=change.old,
                    new=change.new,
                )
                self._report("restart needed", {"key": change.key, "actor": actor})
        self._waiting = waiting


async def _check_secrets(config: AgentConfig) -> None:
    """Fetch every secret, in a thread.

    A vault with a passphrase takes 0.4 s to open, longer than a leader's event loop may stand
    still.
    """
    if config.validation.check_secrets:
        await asyncio.to_thread(check_references, config)


def _at_or_below(key: str, above: str) -> bool:
    return not above or key == above or key.startswith(f"{above}.")


def _state_of(paths: Sequence[Path]) -> tuple[object, ...]:
    """Return what differs whenever one of the files does; a file that is away is a state too."""
    return tuple(_state(path) for path in paths)


def _state(path: Path) -> object:
    try:
        found = path.stat()
        content = hashlib.sha256(path.read_bytes()).digest()
    except OSError as exc:
        return exc.errno
    return (found.st_mtime_ns, found.st_size, found.st_mode, content)
