"""Instants of documents, for people: the day where it is not today, the time in UTC. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from bzzz_tui.wording import UNKNOWN


@dataclass(frozen=True, slots=True)
class AsOf:
    """As of when something is shown."""

    age_ms: int = 0
    """How old the data is; it adds to every silence and every age."""
    today: str = ""
    """The answering node's time: a moment of the same day is told without the day."""


def instant(at: str | None) -> datetime | None:
    """Return an instant as UTC; None if there is none or it cannot be read."""
    if not at:
        return None
    try:
        return datetime.fromisoformat(at).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def moment(at: str | None, *, today: str | None = None) -> str:
    """Return `14:03:21`, with the day before it unless that is the day of `today`."""
    then, now = instant(at), instant(today)
    if then is None:
        return UNKNOWN
    same = now is not None and then.date() == now.date()
    return f"{then:%H:%M:%S}" if same else f"{then:%m-%d %H:%M:%S}"


def time_of_day(at: str | None, *, today: str) -> str:
    """Return `14:03:21`, or `11-20` if that was another day than that of `today`; empty: no time.

    For lists of what happened, where times are nearly always of today and take eight columns.
    """
    then, now = instant(at), instant(today)
    if then is None:
        return ""
    return f"{then:%H:%M:%S}" if now and then.date() == now.date() else f"{then:%m-%d}"


def seconds_between(begin: str | None, end: str | None) -> float | None:
    """Return the seconds from one instant to another; None if either is not known."""
    first, last = instant(begin), instant(end)
    return None if first is None or last is None else max(0.0, (last - first).total_seconds())
