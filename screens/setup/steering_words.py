"""What may be ordered of a run that works, and what a person is told about it. Pure.

A host may be left out only while the voters that remain are a majority of all voters: a cluster
that cannot elect anybody is no cluster.
"""

from __future__ import annotations

from collections.abc import Collection

from bzzz_core.model import voter_count


def voters_of(hosts: Collection[str]) -> tuple[str, ...]:
    """Return the hosts of a new cluster that vote: the first 1, 3 or 5."""
    names = tuple(hosts)
    return names[: voter_count(len(names))]


def why_not_skip(host: str, *, voters: Collection[str], lost: Collection[str]) -> str:
    """Return why a host cannot be left out, in words; "": it can.

    Args:
        host: The host.
        voters: All voters of the cluster.
        lost: Hosts that are left out already.
    """
    if host not in voters:
        return ""
    majority = len(voters) // 2 + 1
    left = [name for name in voters if name not in lost and name != host]
    if len(left) >= majority:
        return ""
    return (
        f"without {host} {len(left)} of {len(voters)} voters remain; to elect a leader takes"
        f" {majority}: try it again, or stop"
    )


def skipped_words(host: str, *, voters: Collection[str], lost: Collection[str]) -> str:
    """Return what leaving a host out means for the quorum."""
    if host not in voters:
        return f"{host} is left out; it does not vote, the quorum stands"
    left = sum(name not in lost and name != host for name in voters)
    spare = left - (len(voters) // 2 + 1)
    rest = "no further voter may be lost" if spare == 0 else f"{spare} more may be lost"
    return f"{host} is left out; {left} of {len(voters)} voters remain, {rest}"
