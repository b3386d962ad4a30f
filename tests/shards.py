"""What one run takes of tests that are too many for every run: the part that its commit chooses.

`scripts/test --full` takes all. Commits are as good as dice, so every part has its turn. Where
there is no commit (an archive, a repository of somebody else's) everything is taken.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar

ROOT: Final = Path(__file__).resolve().parents[1]
T = TypeVar("T")


def head() -> str:
    """Return the commit of the tree; empty if that cannot be known."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, check=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def shard_of(commit: str, shards: int) -> int:
    """Return which of so many parts a commit's run takes, from 0."""
    return int(commit[:8], 16) % shards


def part_of(everything: Sequence[T], commit: str, shards: int) -> list[T]:
    """Return what a commit's run takes of it; all of it without a commit."""
    if not commit:
        return list(everything)
    shard = shard_of(commit, shards)
    return [one for place, one in enumerate(everything) if place % shards == shard]


def in_words(commit: str, shards: int) -> str:
    """Return which part that is, for people."""
    if not commit:
        return "no commit to choose by: all"
    return f"commit {commit[:8]}, part {shard_of(commit, shards) + 1} of {shards}"
