"""What stands at the top of every view: the facts of the cluster, and what must not be overlooked.

Pure functions of the store and the time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from bzzz_core import __version__
from bzzz_core.api.documents import Status
from bzzz_core.api.event_documents import ALERTS
from bzzz_tui.monitor.times import moment
from bzzz_tui.parts import Fact, Line
from bzzz_tui.store import Link, LinkPhase, Store
from bzzz_tui.wording import UNKNOWN, Glyphs, Tone, clean, span

STALE_MS: Final = 3_000
"""Older data is shown as old: three times the default refresh."""


def top_facts(
    store: Store,
    now_ms: int,
    *,
    context: str = "",
    can_write: bool = False,
    stale_ms: int = STALE_MS,
) -> list[Fact]:
    """Return the facts of the top line.

    Args:
        store: What is known.
        now_ms: The time.
        context: What the cluster is called here; empty: not known yet.
        can_write: Changes are allowed.
        stale_ms: From this age on data is old.
    """
    status, age_ms = store.head, store.age_ms(now_ms)
    right = [("RW", Tone.WARN)] if can_write else [("RO", Tone.INFO)]
    if status is None:
        facts = [Fact(0, [(_link_words(store.link, now_ms), Tone.WARN)])]
        return (
            [Fact(1, [(clean(context), Tone.PLAIN)]), Fact(4, right), *facts] if context else facts
        )
    alive, voters = store.voters()
    quorum = Tone.OK if alive == voters else Tone.WARN if store.has_quorum() else Tone.BAD
    up, count = store.alive()
    nodes = Tone.OK if up == count else Tone.WARN
    old = Tone.BAD if age_ms is None or age_ms >= stale_ms else Tone.PLAIN
    # Between two answers the age swings from 0 to the refresh time; that is no news.
    age = UNKNOWN if age_ms is None else span(max(1, age_ms / 1_000))
    # What the node does not tell of is not known; an older agent has at least its own alarms.
    alerts = len(store.alerts) if ALERTS in store.known else len(status.alarms)
    critical = any(alert.severity == "critical" for alert in store.alerts.values())
    wrong = Tone.BAD if critical else Tone.WARN if alerts else Tone.PLAIN
    facts = [
        Fact(1, [(clean(context or status.cluster.name), Tone.PLAIN)]),
        Fact(1, right),
        _leader_fact(status),
        Fact(2, [("quorum ", Tone.MUTED), (f"{alive}/{voters}", quorum)]),
        Fact(3, [("nodes ", Tone.MUTED), (f"{up}/{count}", nodes)]),
        Fact(
            1 if alerts else 5,
            [("alerts ", Tone.MUTED), (str(alerts), wrong)],
        ),
        Fact(0, [("age ", Tone.MUTED), (age, old)]),
        Fact(6, [("via ", Tone.MUTED), (store.source or UNKNOWN, Tone.PLAIN)]),
    ]
    if status.version != __version__:
        words = f"agent {clean(status.version)}, this program {__version__}"
        facts.append(Fact(2, [(words, Tone.WARN)], [("other version", Tone.WARN)]))
    if store.link.note:
        facts.append(Fact(4, [(clean(store.link.note), Tone.MUTED)]))
    return facts


def _leader_fact(status: Status) -> Fact:
    if status.leader is None:
        return Fact(0, [("no leader", Tone.BAD), (f" (term {status.term})", Tone.MUTED)])
    since = led_for(status)
    name: Line = [("leader ", Tone.MUTED), (clean(status.leader), Tone.ACCENT)]
    long = f" (term {status.term}{', ' + since if since else ''})"
    return Fact(0, [*name, (long, Tone.MUTED)], [*name, (f" (term {status.term})", Tone.MUTED)])


def banner(
    store: Store, now_ms: int, glyphs: Glyphs, stale_ms: int = STALE_MS
) -> tuple[str, Tone] | None:
    """Return what must not be overlooked, or None when nothing must not."""
    halted, other = _halted(store, glyphs), _wrong(store, now_ms, glyphs, stale_ms)
    if halted is None or other is None:
        return other if halted is None else (halted, Tone.BAD)
    return f"{glyphs.bad} HALTED {glyphs.dot} {other[0]}", Tone.BAD


def _halted(store: Store, glyphs: Glyphs) -> str | None:
    """Return who stopped all work, when and why; None: nobody did, as far as is known."""
    halt = store.halt
    if halt is None or not halt.halted:
        return None
    where = " on this node alone" if halt.local else ""
    by = f" by {clean(halt.by)}" if halt.by else ""
    today = store.head.at if store.head is not None else None
    at = f" at {moment(halt.at, today=today)}" if halt.at else ""
    why = f": {clean(halt.reason)}" if halt.reason else ""
    return f"{glyphs.bad} HALTED{where}{by}{at}{why}"


def _wrong(store: Store, now_ms: int, glyphs: Glyphs, stale_ms: int) -> tuple[str, Tone] | None:
    """Return what is wrong with the connection or the quorum; None: nothing is."""
    link, age_ms = store.link, store.age_ms(now_ms)
    data = "" if age_ms is None else f"data is {span(age_ms / 1_000)} old"
    if link.phase is LinkPhase.LOST:
        words = [f"{glyphs.bad} DISCONNECTED", data]
        if link.retry_at_ms is not None:
            words.append(f"next attempt in {max(0, link.retry_at_ms - now_ms + 999) // 1_000}s")
        return f" {glyphs.dot} ".join([*filter(None, words), clean(link.reason)]), Tone.BAD
    if store.head is None:
        return None
    if age_ms is not None and age_ms >= stale_ms:
        words = [f"{glyphs.warn} STALE", data, f"asking {link.host}"]
        return f" {glyphs.dot} ".join(words), Tone.WARN
    if store.has_quorum():
        return None
    alive, voters = store.voters()
    if store.head.term == 0:
        words = [f"{glyphs.warn} FORMING", f"{alive} of {voters} voters answer so far"]
        return f" {glyphs.dot} ".join(words), Tone.WARN
    words = [
        f"{glyphs.bad} QUORUM LOST",
        f"{alive} of {voters} voters answer, {store.head.fabric.quorum} needed",
        "nothing can be written",
    ]
    return f" {glyphs.dot} ".join(words), Tone.BAD


def led_for(status: Status) -> str:
    """Return for how long the leader leads, by the answering node's own wall clock."""
    if status.leader_since_at is None:
        return ""
    try:
        now = datetime.fromisoformat(status.at)
        then = datetime.fromisoformat(status.leader_since_at)
        led = now.astimezone(UTC) - then.astimezone(UTC)
    except ValueError:
        return ""
    return span(max(timedelta(), led).total_seconds())


def _link_words(link: Link, now_ms: int) -> str:
    waited = span((now_ms - link.since_ms) / 1_000)
    if link.phase is LinkPhase.LOST:
        return f"no host answers ({waited})"
    words = link.reason or (f"connecting to {link.host}" if link.host else "connecting")
    return f"{clean(words)} ({waited})"
