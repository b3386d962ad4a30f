"""What a check is, and what it finds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bzzz_core.api.event_documents import CheckState


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found."""

    state: CheckState
    """`unknown`: it could not be told, which is neither good nor bad."""
    words: str
    """With figures; where it is not well, what to look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that is looked at again and again."""

    name: str
    look: Callable[[], Awaitable[Finding]]
    """Looks once. A `BzzzError` or `OSError` that it raises counts as critical. It must not keep
    the event loop busy."""
    interval_ms: int
    """Between the end of a look and the begin of the next one."""
    timeout_ms: int
    """A look that takes longer counts as critical."""
    critical: bool = False
    """Whether the agent ends itself if this stays critical: only for what a new start mends."""
    needed: bool = False
    """Whether the node is not ready while this is critical."""
    failures: int = 2
    """Looks in a row that are not well before the check says so."""
    successes: int = 1
    """Looks in a row that are well before it says so again."""


def ok(words: str) -> Finding:
    """Return that all is well."""
    return Finding("ok", words)


def warning(words: str) -> Finding:
    """Return that somebody should look at it in time."""
    return Finding("warning", words)


def critical(words: str) -> Finding:
    """Return that it does not work."""
    return Finding("critical", words)


def unknown(words: str) -> Finding:
    """Return that nothing can be said."""
    return Finding("unknown", words)


def below(value: float, *, warn: float, fail: float, words: str) -> Finding:
    """Judge what must not become small: `fail` or less is critical, `warn` or less a warning."""
    return critical(words) if value <= fail else warning(words) if value <= warn else ok(words)


def above(value: float, *, warn: float, fail: float, words: str) -> Finding:
    """Judge what must not become large: `fail` or more is critical, `warn` or more a warning."""
    return critical(words) if value >= fail else warning(words) if value >= warn else ok(words)
