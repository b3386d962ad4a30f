"""The first command of a session: who we are on the host, and what its clock says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bzzz_core.deploy.remote import Sudo

GREET: Final = """
id -u
date +%s.%N
echo "through=$SSH_CONNECTION"
command -v timeout >/dev/null || echo no-timeout
"""
_SECONDS: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
"""Since 1970, as far as a clock can be wrong; `nan` and 1e400 are numbers, too, and no time."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the first command tells: who we are there, and what the host's clock says."""

    uid: int
    sudo: Sudo
    skew_ms: int | None
    """Host's clock minus ours, against the middle of the round trip; None if not readable."""
    round_trip_ms: int
    host_key_sha256: str
    through: str = ""
    """`$SSH_CONNECTION`: our address and port, the host's address and port, as the host sees it."""


def skew_ms(word: str, before: datetime, after: datetime) -> int | None:
    """Return how far the host's clock is ahead of ours; None if it cannot be read."""
    plain = word.rstrip("N%.")  # a date without %N prints it as it stands
    if not _SECONDS.fullmatch(plain):
        return None
    there_s = float(plain)
    here_s = (before.timestamp() + after.timestamp()) / 2
    return round((there_s - here_s) * 1_000)
