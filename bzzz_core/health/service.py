"""Runs the checks, keeps what came of them, and says when the agent has to end for its health.

Each check is a task of its own, so that one that hangs delays no other; a look that does not even
obey to its timeout is told as critical in its place.

*Live* is an agent whose event loop answers and that has not given up on itself. *Ready* is one that
can do its part for the cluster now. Not to be ready is no reason to be ended: a node that waits for
a majority lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from bzzz_core.api.event_documents import CheckDocument, CheckState
from bzzz_core.errors import BzzzError, HealthCritical
from bzzz_core.health.check import Check, Finding, critical
from bzzz_core.health.machine import CheckHistory
from bzzz_core.health.stop_note import WELL_MS
from bzzz_core.ports import Clock
from bzzz_core.telemetry import logs

_SPREAD_MS: Final = 300
"""Between the first looks of the checks, so that they never come all at once."""
_SOON_MS: Final = 5_000
"""After a look that disagrees with the state, and while that is critical: how it goes on is what
somebody waits for."""
_OVERDUE_MS: Final = 5_000
"""After its timeout, a look that goes on is no look any more."""
_WORDS_MAX: Final = 2_000


class Patience(Protocol):
    """How long a check may stay critical; see `StopNote`."""

    def patience_ms(self, check: str) -> int:
        """Return how long."""
        ...

    async def add(self, check: str) -> None:
        """Take note that the agent ends for this check."""
        ...

    async def clear(self) -> None:
        """Take note that this life was a good one."""
        ...


@dataclass(slots=True)
class _Kept:
    check: Check
    history: CheckHistory
    patience_ms: int
    checked_at: str | None = None
    took_ms: float | None = None
    began_ms: int | None = None
    """When the look that goes on now began; None: none does."""


class Health:
    """The checks of one node."""

    def __init__(
        self,
        *,
        clock: Clock,
        now: Callable[[], str],
        patience: Patience,
        give_up: Callable[[HealthCritical], None],
    ) -> None:
        """Hold no check yet.

        Args:
            clock: For intervals and timeouts.
            now: Gives wall-clock UTC, for people.
            patience: How long a critical check may stay so.
            give_up: Told once when the agent has to end; must not block.
        """
        self._clock = clock
        self._now = now
        self._patience = patience
        self._give_up = give_up
        self._log = logs.get("health")
        self._kept: dict[str, _Kept] = {}
        self._group: asyncio.TaskGroup | None = None
        self._subscribers: list[Callable[[CheckDocument], None]] = []
        self._sick = ""
        self._stopping = False

    def add(self, check: Check) -> None:
        """Look at this too, from now on."""
        assert check.name not in self._kept, f"there is a check {check.name} already"
        history = CheckHistory(failures=check.failures, successes=check.successes)
        kept = _Kept(check, history, self._patience.patience_ms(check.name))
        self._kept[check.name] = kept
        if self._group is not None:
            self._group.create_task(self._keep(kept, 0), name=f"check-{check.name}")

    def subscribe(self, subscriber: Callable[[CheckDocument], None]) -> None:
        """Tell of every look at a check from now on; it must not block."""
        self._subscribers.append(subscriber)

    async def run(self) -> None:
        """Look until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for place, kept in enumerate(self._kept.values()):
                    group.create_task(
                        self._keep(kept, place * _SPREAD_MS), name=f"check-{kept.check.name}"
                    )
                await self._clock.sleep_ms(WELL_MS)
                await self._patience.clear()
        finally:
            self._group = None

    def stopping(self) -> None:
        """Be ready no more: the agent is about to end."""
        self._stopping = True

    def documents(self) -> tuple[CheckDocument, ...]:
        """Return all checks with what came of them, by name."""
        return tuple(self._document(self._kept[name]) for name in sorted(self._kept))

    def not_live(self) -> list[str]:
        """Return why the agent should be started anew; empty if nothing is known."""
        return [self._sick] if self._sick else []

    def not_ready(self) -> list[str]:
        """Return why this node cannot do its part, as far as its checks know."""
        if self._stopping:
            return ["the agent is stopping"]
        return [
            f"{document.name}: {document.words}"
            for document in self.documents()
            if document.state == "critical" and self._kept[document.name].check.needed
        ]

    async def _keep(self, kept: _Kept, delay_ms: int) -> None:
        await self._clock.sleep_ms(delay_ms)
        while True:
            begun_ms = kept.began_ms = self._clock.now_ms()
            finding = await self._look(kept.check)
            kept.began_ms = None
            now_ms = self._clock.now_ms()
            kept.took_ms, kept.checked_at = float(now_ms - begun_ms), self._now()
            before = kept.history.state
            if kept.history.take(finding, now_ms):
                self._log_change(kept, before)
            for subscriber in self._subscribers:
                subscriber(self._document(kept))
            if kept.check.critical and kept.history.critical_for_ms(now_ms) >= kept.patience_ms:
                await self._end_for(kept)
            calm = kept.history.agrees(finding) and kept.history.state != "critical"
            interval_ms = kept.check.interval_ms
            await self._clock.sleep_ms(interval_ms if calm else min(_SOON_MS, interval_ms))

    async def _look(self, check: Check) -> Finding:
        try:
            async with asyncio.timeout(check.timeout_ms / 1000):
                return await check.look()
        except TimeoutError:
            return critical(f"no answer within {check.timeout_ms} ms")
        except (BzzzError, OSError) as exc:
            return critical(str(exc))

    def _log_change(self, kept: _Kept, before: CheckState) -> None:
        document = self._document(kept)
        say = self._log.info if document.state == "ok" else self._log.warning
        if before != "unknown" or document.state != "ok":  # That all is well at first is no news.
            say("check", check=document.name, state=document.state, words=document.words)

    async def _end_for(self, kept: _Kept) -> None:
        if self._sick:
            return
        name, words = kept.check.name, kept.history.words
        self._sick = f"{name} is critical: {words}"
        await self._patience.add(name)
        self._give_up(HealthCritical(f"{name} was critical for too long: {words}"))

    def _document(self, kept: _Kept) -> CheckDocument:
        state, words = kept.history.state, kept.history.words
        began_ms, allowed_ms = kept.began_ms, kept.check.timeout_ms + _OVERDUE_MS
        if began_ms is not None and (took_ms := self._clock.now_ms() - began_ms) > allowed_ms:
            state, words = "critical", f"the look at it has not ended for {took_ms // 1000} s"
        return CheckDocument(
            name=kept.check.name,
            state=state,
            words=words[:_WORDS_MAX],
            critical=kept.check.critical,
            checked_at=kept.checked_at,
            took_ms=kept.took_ms,
            failures=kept.history.failures,
        )
