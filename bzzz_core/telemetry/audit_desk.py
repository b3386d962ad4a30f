"""Takes what an agent has to audit, and writes it in order while the event loop goes on.

An entry costs an fsync, milliseconds on a good disk and seconds on a bad one; an event loop that
waited for it would send no heartbeat meanwhile. So acts are taken in memory and one thread writes
them, as many at a time as there are. Whoever answers for an act waits for `settled` first: then the
act is on the disk, as if it had been written at once.

Rules: an act is never left out while fewer than `ACTS_MAX` lines wait. What ends in `refused` is
no act, and anybody who can ask can be refused a hundred times a second: of one actor and reason
`REFUSALS_MAX` lines are written each `QUIET_MS`, the others counted in one more; and refusals take
no more than half of the room. So a flood neither fills the disk nor rotates away what was before.
Each refusal is counted against whoever was refused, written or not (`trust.denials`).
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Final, Self

from bzzz_core.config.schema import AgentConfig
from bzzz_core.ports import Clock
from bzzz_core.telemetry import tracing
from bzzz_core.telemetry.audit import Audit
from bzzz_core.telemetry.audit_pending import audit_of
from bzzz_core.trust.audit_chain import Act
from bzzz_core.trust.denials import Denials, Denied

ACTS_MAX: Final = 2_048
REFUSALS_MAX: Final = 5
QUIET_MS: Final = 60_000
_ACTORS_MAX: Final = 256
"""Beyond so many kinds of refusal within `QUIET_MS` all others count as one."""
_REFUSED: Final = "refused"
_REJECTED: Final = "rejected"
_OTHERS: Final = ("refused", "others", "")


@dataclass(slots=True)
class _Spell:
    """Refusals of one kind."""

    since_ms: int
    written: int = 0
    unwritten: int = 0


class AuditDesk:
    """One agent's way to its audit; every method may be called from any thread."""

    def __init__(
        self, audit: Audit, *, clock: Clock, trace: Callable[[], str] = lambda: ""
    ) -> None:
        """Write nothing yet.

        Args:
            audit: The chain.
            clock: For the quiet rule and the count of refusals.
            trace: Gives the number of the request that the caller works for.
        """
        self._audit = audit
        self._trace = trace
        self.denials = Denials()
        self._clock = clock
        self._lock = Lock()
        self._writing = Lock()
        self._acts: list[Act] = []
        self._lost = 0
        self._owed = 0
        """Lines that were taken and are not on the disk."""
        self._spells: OrderedDict[tuple[str, str, str], _Spell] = OrderedDict()
        """By (what, actor, cause), the oldest first."""
        self.counters: Counter[str] = Counter()
        """taken: what was noted, `lost` of it, because too much of it waited for the disk."""
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="audit")

    @classmethod
    def of_agent(cls, config: AgentConfig, *, clock: Clock) -> Self:
        """Return the desk of a configured node.

        Raises:
            TrustError: The node's key, which signs the audit, is missing or damaged.
        """
        return cls(audit_of(config), clock=clock, trace=lambda: tracing.current().trace)

    @property
    def chain(self) -> Audit:
        """Return the chain that is written."""
        return self._audit

    @property
    def lost(self) -> int:
        """Return how many acts are in no audit, whatever the reason."""
        return self.counters["lost"] + self._audit.lost

    def note(self, what: str, *, actor: str, **fields: object) -> None:
        """Take a line; returns at once."""
        with self._lock:
            now_ms = self._clock.now_ms()
            self._end_spells(now_ms - QUIET_MS)
            refused = what.endswith(_REFUSED)
            if refused or what.endswith(_REJECTED):
                self._count(what, str(fields.get("sender") or actor), now_ms)
            if refused and not self._spend((what, actor, _cause(fields))):
                return
            self._take(self._audit.act(what, actor, fields, trace=self._trace()))

    async def settled(self) -> None:
        """Return once everything noted so far is durable, or logged as not writable."""
        with self._lock:
            self._end_spells(self._clock.now_ms() - QUIET_MS)
            if not self._owed:
                return
        await asyncio.wrap_future(self._writer.submit(self._write))

    def denied(self) -> tuple[Denied, ...]:
        """Return who was refused what lately."""
        with self._lock:
            return self.denials.denied(self._clock.now_ms())

    @property
    def alarms(self) -> tuple[str, ...]:
        """Return who was refused too much."""
        minutes = self.denials.window_ms // 60_000
        return tuple(
            f"{one.actor} was refused {one.count} times in {minutes} min"
            f" ({', '.join(kind for kind, _ in one.kinds[:3])}): bzzz-agent audit denials"
            for one in self.denied()
            if one.past
        )

    def close(self) -> None:
        """Write what is left, with what the quiet rule has kept back so far."""
        with self._lock:
            self._end_spells(self._clock.now_ms())
        self._write()
        self._audit.close()

    def _count(self, what: str, who: str, now_ms: int) -> None:
        if self.denials.note(what, who, now_ms):
            limit = {"threshold": self.denials.threshold}
            self._take(self._audit.act("denials past the threshold", who, limit))

    def _take(self, act: Act) -> None:
        if len(self._acts) >= ACTS_MAX:
            self._lost += 1
            self.counters["lost"] += 1
            return
        self._acts.append(act)
        self.counters["taken"] += 1
        self._owed += 1
        if len(self._acts) == 1:  # Else somebody has asked for it already.
            self._writer.submit(self._write)

    def _spend(self, kind: tuple[str, str, str]) -> bool:
        """Return whether a refusal is worth a line."""
        if kind not in self._spells and len(self._spells) >= _ACTORS_MAX:
            kind = _OTHERS
        spell = self._spells.setdefault(kind, _Spell(self._clock.now_ms()))
        if spell.written >= REFUSALS_MAX or len(self._acts) >= ACTS_MAX // 2:
            spell.unwritten += 1
            return False
        spell.written += 1
        return True

    def _end_spells(self, until_ms: int) -> None:
        """Say how many refusals were kept back of kinds that began no later than `until_ms`."""
        while self._spells:
            kind, spell = next(iter(self._spells.items()))
            if spell.since_ms > until_ms:
                return
            del self._spells[kind]
            if spell.unwritten:
                what, actor, _ = kind
                self._take(self._audit.act(what, actor, {"repeated": spell.unwritten}))

    def _write(self) -> None:
        with self._writing:  # The order on the disk is the order in which lines were taken.
            with self._lock:
                some, self._acts = self._acts, []
                lost, self._lost = self._lost, 0
            if lost:
                some.append(self._audit.act("audit lines lost", "", {"count": lost}))
            if some:
                self._audit.write(some)
            with self._lock:
                self._owed -= len(some) - bool(lost)


def _cause(fields: Mapping[str, object]) -> str:
    """Return why or for what something was refused, as whoever notes it says it."""
    return str(next((fields[name] for name in ("code", "asked", "reason") if name in fields), ""))
