"""What an operator asks of one run, beyond the answers: which release, and despite what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The command line's part. By default a run asks for nothing special."""

    bundle: Path | None = None
    """Instead of `services.bundle` of the answers."""
    allow_downgrade: bool = False
    """A bundle older than what runs is welcome."""
    forced: frozenset[str] = frozenset()
    """Releases that were rolled back on a host and shall be tried again."""
    back: bool = False
    """Go back to the release before the present one."""
    only_failed: bool = False
    """Change only hosts that failed or were not attempted in the last run."""
    plan_hash: str | None = None
    """Apply no plan but this one; its first twelve digits will do."""
    run_id: str | None = None
    """What the run is called if that was settled before it; None: it names itself."""
    answered: frozenset[str] = frozenset()
    """Hosts of the cluster that the answers leave out on purpose; see `missing`."""
