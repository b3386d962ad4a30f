"""Places in a recording as an operator writes them. Pure.

A time of the day in UTC, as the screen shows it (`12:03:21`, `12:03`); how far on or back (`+30s`,
`-2m`, `+1m30s`); how long after the beginning (`90s`, `2m`).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from bzzz_core.errors import ConfigError

_TIME: Final = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_SPAN: Final = re.compile(
    r"([+-]?)(?=\d)(?:(\d{1,4})h)?(?:(\d{1,6})m)?(?:(\d{1,8}(?:\.\d{1,3})?)s)?"
)
_DAY_S: Final = 86_400


def place_of(words: str, *, position_ms: int, started_at: str) -> int:
    """Return the milliseconds since the beginning that `words` mean; they may lie outside.

    Args:
        words: A time or a duration.
        position_ms: Where the recording stands, in milliseconds since its beginning.
        started_at: The instant at which it begins.

    Raises:
        ConfigError: They are neither.
    """
    words = words.strip().replace(" ", "")
    if time := _TIME.fullmatch(words):
        return _of_day(*(int(part or 0) for part in time.groups()), began=began_at(started_at))
    if span := _SPAN.fullmatch(words):
        sign, hours, minutes, seconds = span.groups()
        ms = round(1_000 * (3_600 * int(hours or 0) + 60 * int(minutes or 0) + float(seconds or 0)))
        return ms if not sign else position_ms + (ms if sign == "+" else -ms)
    raise ConfigError("write a time such as 12:03:21, or how far: +30s, -2m, 1m30s")


def began_at(started_at: str) -> datetime | None:
    """Return the instant at which a recording begins, in UTC; None if that cannot be read."""
    try:
        return datetime.fromisoformat(started_at).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _of_day(hours: int, minutes: int, seconds: int, *, began: datetime | None) -> int:
    if hours > 23 or minutes > 59 or seconds > 59:  # noqa: PLR2004  a day has no more
        raise ConfigError("no day has such a time; write hours, minutes, seconds: 12:03:21")
    if began is None:
        raise ConfigError("this recording does not say when it began; write how far: +30s")
    midnight = began.replace(hour=0, minute=0, second=0, microsecond=0)
    asked = midnight + timedelta(hours=hours, minutes=minutes, seconds=seconds)
    # One that goes past midnight: the next such time, unless it was only just before the beginning.
    if (began - asked).total_seconds() > _DAY_S / 2:
        asked += timedelta(days=1)
    return round((asked - began).total_seconds() * 1_000)
