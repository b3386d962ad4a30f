"""Certificates and the wall clock, which certificates are judged by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from bzzz_core.errors import TrustError
from bzzz_core.health.check import Check, Finding, critical, ok, warning
from bzzz_core.health.own_thread import OwnThread
from bzzz_core.ports import Clock
from bzzz_core.trust import private_files
from bzzz_core.trust.certificate import CertificateFacts, describe

_CERTIFICATES_MS: Final = 600_000
_CLOCK_MS: Final = 30_000
_TIMEOUT_MS: Final = 10_000
_LATE: Final = 0.25
"""A node renews when a third of the time is left; with a quarter left, that has gone wrong."""
_DAY_S: Final = 86_400
_JUMP_MS: Final = 2_000
"""NTP slews what is less than half a second, and steps beyond; a second more is no rounding."""


def certificates(files: Callable[[], Sequence[Path]], *, now: Callable[[], datetime]) -> Check:
    """Return the check of the certificates that this node has; `files` may name missing ones."""
    thread = OwnThread("check-certificates")

    async def look() -> Finding:
        return await thread.do(partial(look_at_certificates, tuple(files()), now().timestamp()))

    return Check(
        name="certificates",
        look=look,
        interval_ms=_CERTIFICATES_MS,
        timeout_ms=_TIMEOUT_MS,
        needed=True,
        failures=1,
    )


def look_at_certificates(files: Sequence[Path], now_s: float) -> Finding:
    """Return how it is with the one that ends first."""
    found: list[tuple[str, CertificateFacts]] = []
    for path in files:
        if path.exists():
            try:
                found.append((path.name, describe(private_files.read(path).decode())))
            except (TrustError, UnicodeDecodeError) as exc:
                return critical(f"{path.name} cannot be read: {exc}")
    if not found:
        return critical("this node has no certificate: run setup again, or join")
    name, first = min(found, key=lambda one: one[1].not_after_s)
    return judge_certificate(name, first, now_s)


def judge_certificate(name: str, facts: CertificateFacts, now_s: float) -> Finding:
    """Judge by how much of its life is left."""
    left_s = facts.not_after_s - now_s
    if left_s <= 0:
        return critical(f"{name} has ended; see docs/runbooks/certificates.md")
    if now_s < facts.not_before_s:
        return critical(f"{name} is not valid yet: is this machine's clock right?")
    words = f"{name} ends in {left_s / _DAY_S:.1f} days"
    if left_s < _LATE * (facts.not_after_s - facts.not_before_s):
        return warning(f"{words} and was not renewed: try `bzzz-agent node renew`")
    return ok(words)


def wall_clock(*, clock: Clock, now: Callable[[], datetime]) -> Check:
    """Return the check of whether the wall clock goes as the monotonic one does.

    Nothing that BZZZ decides depends on the wall clock but the dates of certificates and tokens.
    Whether it is right nobody here knows: no peer tells its own.
    """
    seen: list[float] = []

    async def look() -> Finding:
        apart_ms = now().timestamp() * 1000 - clock.now_ms()
        before_ms = seen[0] if seen else apart_ms
        seen[:] = [apart_ms]
        return judge_jump(apart_ms - before_ms)

    return Check(
        name="clock",
        look=look,
        interval_ms=_CLOCK_MS,
        timeout_ms=_TIMEOUT_MS,
        failures=1,
        successes=2,
    )


def judge_jump(moved_ms: float) -> Finding:
    """Judge by how much the wall clock moved against the monotonic one between two looks."""
    if abs(moved_ms) < _JUMP_MS:
        return ok(f"the wall clock moved by {moved_ms:.0f} ms against the monotonic one")
    return warning(
        f"the wall clock jumped by {moved_ms / 1000:.1f} s: logs of this node are out of order"
        " there; does it follow a time server?"
    )
