"""One piece of long work on a host, which `RemoteHost.run_unit` lets run in a unit of its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A constant script and what varies."""

    step: str
    """Names the unit; unique in the run on this host: letters, digits, `-`, `_`."""
    what: str
    """What it does, in a few words, for messages."""
    script: str
    """POSIX sh, without anything that varies; it bears being started again after a reboot."""
    arguments: tuple[str, ...] = ()
    """What varies: `$1`, `$2` ...; they lie in a file of root's meanwhile."""
    timeout_s: int
    """When the host ends it."""
    silent_s_max: int | None = None
    """When it is stopped for printing nothing; None: only `timeout_s` counts."""
