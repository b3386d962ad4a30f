"""How often one address may try to join."""

from __future__ import annotations

import pytest

from bzzz_core.enrolment.limit import AttemptLimit
from bzzz_core.errors import RateLimited


def test_a_burst_is_taken_and_then_one_at_a_time() -> None:
    limit = AttemptLimit(burst=3, refill_ms=1_000)
    for _ in range(3):
        limit.spend("a", 0)
    with pytest.raises(RateLimited, match="again in 1 s"):
        limit.spend("a", 0)
    limit.spend("a", 1_000)
    with pytest.raises(RateLimited):
        limit.spend("a", 1_500)


def test_addresses_do_not_take_from_each_other() -> None:
    limit = AttemptLimit(burst=1, refill_ms=1_000)
    limit.spend("a", 0)
    limit.spend("b", 0)


def test_what_is_remembered_is_bounded() -> None:
    """A caller with many addresses must not fill the memory."""
    limit = AttemptLimit(burst=1, refill_ms=1_000)
    for number in range(10_000):
        limit.spend(str(number), 0)
    assert len(limit._buckets) <= 4_096
