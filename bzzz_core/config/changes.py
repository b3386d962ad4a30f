"""What a running agent does with a new configuration: pure.

Of what differs, a reloadable leaf is taken at once; any other waits for a restart, and until then
the agent goes on with the value it has. If the taken ones do not fit to those that wait, nothing is
taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bzzz_core.config.leaf import catalogue
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sources import with_values
from bzzz_core.config.value import plain, shown
from bzzz_core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Changed:
    """One leaf that differs, its values as they may be shown."""

    key: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do."""

    current: AgentConfig
    """What the agent runs with from now on."""
    applied: tuple[Changed, ...] = ()
    waiting: tuple[Changed, ...] = ()
    """What needs a restart: the value in force and the wanted one."""
    refused: str = ""
    """Why nothing was taken; empty if that is not so."""


def differences(old: AgentConfig, new: AgentConfig) -> tuple[Changed, ...]:
    """Return every leaf that differs, in the order of the schema."""
    before, after = plain(old), plain(new)
    return tuple(
        Changed(key, shown(before[key]), shown(after[key]))
        for key in before
        if before[key] != after[key]
    )


def decide(running: AgentConfig, wanted: AgentConfig) -> Decision:
    """Return what a running agent takes of a new configuration."""
    leaves = catalogue(AgentConfig)
    found = differences(running, wanted)
    applied = tuple(change for change in found if leaves[change.key].reloadable)
    waiting = tuple(change for change in found if not leaves[change.key].reloadable)
    if not applied:
        return Decision(running, waiting=waiting)
    values = plain(wanted)
    try:
        current = with_values(running, {change.key: values[change.key] for change in applied})
    except ConfigError as exc:
        keys = ", ".join(change.key for change in waiting)
        return Decision(
            running, waiting=found, refused=f"{exc}, as long as a restart is due for {keys}"
        )
    return Decision(current, applied, waiting)
