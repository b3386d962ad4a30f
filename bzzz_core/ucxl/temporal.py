"""Which version of a thing an address means, and how to find it in a list of versions.

A selector counts from the latest version, from the earliest, or names a time. Choosing is a pure
function over the versions in their order: the order decides, not the clocks that stamped them,
which may have gone back between two versions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from bzzz_core.errors import AddressError

STEPS_MAX: Final = 999_999_999
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FIRST_US: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST_US: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_steps = re.compile(r"0|[1-9][0-9]{0,8}").fullmatch
_timestamp = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    r"(?:\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
).fullmatch


def _instant(at_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at_us)


def _check_steps(steps: int) -> None:
    if not 0 <= steps <= STEPS_MAX:
        raise AddressError(f"steps are a number from 0 to {STEPS_MAX}, not {steps}")


@dataclass(frozen=True, slots=True)
class Latest:
    """The latest version, or one before it."""

    steps: int = 0
    """How many versions before the latest, 0 to `STEPS_MAX`."""

    def __post_init__(self) -> None:
        """Refuse what cannot be written.

        Raises:
            AddressError: The number is out of bounds.
        """
        _check_steps(self.steps)

    def __str__(self) -> str:
        """Return the selector as it stands behind the star."""
        return f"^{self.steps or ''}"


@dataclass(frozen=True, slots=True)
class Earliest:
    """The earliest version, or one after it."""

    steps: int = 0
    """How many versions after the earliest, 0 to `STEPS_MAX`."""

    def __post_init__(self) -> None:
        """Refuse what cannot be written.

        Raises:
            AddressError: The number is out of bounds.
        """
        _check_steps(self.steps)

    def __str__(self) -> str:
        """Return the selector as it stands behind the star."""
        return f"~{self.steps or ''}"


@dataclass(frozen=True, slots=True)
class AsOf:
    """The version that was the latest at a time."""

    at_us: int
    """Microseconds since 1970 in UTC, within the years 1 to 9999."""

    def __post_init__(self) -> None:
        """Refuse what cannot be written.

        Raises:
            AddressError: The time is outside of the calendar.
        """
        if not _FIRST_US <= self.at_us <= _LAST_US:
            raise AddressError("the time is outside of the years 0001 to 9999")

    def __str__(self) -> str:
        """Return the selector as it stands behind the star."""
        instant = _instant(self.at_us)
        fraction = f".{instant.microsecond:06}".rstrip("0") if instant.microsecond else ""
        return f"@{instant.replace(microsecond=0, tzinfo=None).isoformat()}{fraction}Z"


Temporal = Latest | Earliest | AsOf
LATEST: Final = Latest()
Version = TypeVar("Version")


def read_temporal(text: str, start: int, end: int) -> Temporal:
    """Return the selector at `text[start:end]`, which begins with `^`, `~` or `@`.

    Raises:
        AddressError: It is none.
    """
    kind, rest = text[start], text[start + 1 : end]
    if kind == "@":
        return _read_time(rest, start + 1)
    if rest and not _steps(rest):
        message = "steps are a whole number up to 999999999 without leading zeros"
        raise AddressError(message, position=start + 1)
    steps = int(rest or 0)
    return Latest(steps) if kind == "^" else Earliest(steps)


def choose(
    versions: Sequence[Version], temporal: Temporal, *, at_us: Callable[[Version], int]
) -> Version | None:
    """Return the version that a selector means, or None if there is no such version.

    Args:
        versions: All versions in their order, the oldest first.
        temporal: The selector.
        at_us: When a version was made, in microseconds since 1970 in UTC.
    """
    match temporal:
        case Latest(steps):
            return versions[-1 - steps] if steps < len(versions) else None
        case Earliest(steps):
            return versions[steps] if steps < len(versions) else None
        case AsOf(limit_us):
            return next((v for v in reversed(versions) if at_us(v) <= limit_us), None)


def _read_time(text: str, position: int) -> AsOf:
    if not _timestamp(text):
        message = "a time is written like 2026-03-01T12:30:00Z or with an offset like +02:00"
        raise AddressError(message, position=position)
    try:
        since = datetime.fromisoformat(text) - _EPOCH
        return AsOf((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)
    except (ValueError, AddressError) as exc:
        raise AddressError("there is no such time in the calendar", position=position) from exc
