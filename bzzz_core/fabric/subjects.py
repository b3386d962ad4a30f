"""Matching of dotted subjects: `*` stands for one token, a final `>` for one or more."""

from __future__ import annotations


def matches(pattern: str, subject: str) -> bool:
    """Return whether messages on `subject` belong to an interest in `pattern`."""
    wanted, found = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(found) <= len(wanted):
            return False
        found = found[: len(wanted)]
    return len(wanted) == len(found) and all(
        want in ("*", have) for want, have in zip(wanted, found, strict=True)
    )


def covers(pattern: str, interest: str) -> bool:
    """Return whether every message of an interest in `interest` belongs to `pattern` too."""
    wanted, found = pattern.split("."), interest.split(".")
    for place, want in enumerate(wanted):
        if want == ">":
            return len(found) > place
        if place == len(found) or found[place] == ">" or want not in ("*", found[place]):
            return False
    return len(wanted) == len(found)
