"""What the last run of setup came to, read from its journal; also of one that was killed.

Rules: the last line may be torn (the machine ended while it was written) and is then left out. What
is read here chooses hosts and makes a message; what is true of a host is looked at anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bzzz_core.deploy.events import Finding, Result
from bzzz_core.deploy.journal import SUFFIX
from bzzz_core.errors import ConfigError

_FINE = {Result.CHANGED.value, Result.UNCHANGED.value}


@dataclass(slots=True, kw_only=True)
class PastRun:
    """One run, as far as its journal goes."""

    run_id: str
    hosts: tuple[str, ...] = ()
    """Whom it was about."""
    results: dict[str, str] = field(default_factory=dict)
    """By host, if it came to its end."""
    ended: bool = False
    settled: bool = False
    """Whether the cluster was seen to be well in the end."""
    steps: int = 0
    """How many steps have a result."""
    begun: dict[str, str] = field(default_factory=dict)
    """By host: the phase that was begun and has no result."""

    @property
    def undone(self) -> frozenset[str]:
        """Return the hosts that failed or were not attempted.

        Of a cluster that did not settle these are all: what comes after that was done on none.
        """
        return frozenset(
            name for name in self.hosts if not self.settled or self.results.get(name) not in _FINE
        )

    @property
    def words(self) -> str:
        """Return how far a run came that did not end."""
        at = ", ".join(f"{host or 'cluster'} at {phase}" for host, phase in self.begun.items())
        return f"run {self.run_id} did not end; it had done {self.steps} steps" + (
            f" and was at work: {at}" if at else ""
        )


def last_run(directory: Path) -> PastRun | None:
    """Return the newest run whose journal lies there; None: there was none."""
    for path in sorted(directory.glob(f"*{SUFFIX}"), reverse=True):
        entries = list(_entries(path))
        if entries and entries[0].get("event") == "run":
            return _read(path.name.removesuffix(SUFFIX), entries)
    return None


def one_run(directory: Path, run_id: str) -> PastRun | None:
    """Return what the journal of one run says; None: it has none, so it had changed nothing."""
    path = directory / f"{run_id}{SUFFIX}"
    return _read(run_id, list(_entries(path))) if path.is_file() else None


def _read(run_id: str, entries: list[dict[str, Any]]) -> PastRun:
    past = PastRun(run_id=run_id)
    for entry in entries:
        host, phase = str(entry.get("host", "")), str(entry.get("phase", ""))
        match entry.get("event"):
            case "run":
                past.hosts = tuple(map(str, entry.get("hosts", ())))
            case "step" if entry.get("status") == "started":
                past.begun[host] = phase
            case "step":
                past.steps += 1
                past.begun.pop(host, None)
            case "summary":
                past.ended = True
                past.settled = entry.get("leader") is not None
                past.results = {str(one["name"]): str(one["result"]) for one in entry["hosts"]}
            case _:
                continue
    return past


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_bytes().splitlines():
        try:
            yield msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError:
            return


def left_out(past: PastRun | None, names: Iterable[str]) -> dict[str, str]:
    """Return the hosts that need not be changed after the last run, and why.

    Raises:
        ConfigError: There was no run.
    """
    if past is None:
        raise ConfigError("--only-failed goes by an earlier run, and there is none here")
    fine = set(past.hosts) - past.undone
    reason = f"not chosen: it came through run {past.run_id}"
    return {name: reason for name in names if name in fine}


def warning(past: PastRun) -> Finding:
    """Return what an operator is told of a run that did not end."""
    return Finding(
        "warning",
        "journal",
        "",
        past.words,
        "nothing to do: each of its steps is looked at again and then gone on with",
    )
