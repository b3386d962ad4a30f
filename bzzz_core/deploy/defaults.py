"""Answers that follow from what was found on the hosts, for whoever did not answer. Pure.

A detected default is the schema's own wherever that works; it differs only where a host shows that
it would not: a port that something else has, a disk that is too small. Each says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bzzz_core.config.sections import Ports, ResourcesConfig
from bzzz_core.config.sections.network_answers import PortsAnswers
from bzzz_core.deploy import layout
from bzzz_core.deploy.facts.host import HostFacts, Listener

STORE_SHARE: Final = 0.25
"""Of the free space, for the broker; releases, logs and everybody else need some too."""
STORE_STEP: Final = 64_000_000
"""The least that a broker takes, and the grain of what is proposed."""
_PORTS_TRIED: Final = 200
_OURS: Final = frozenset({f"{layout.FABRIC}.service", f"{layout.AGENT}.service"})


@dataclass(frozen=True, slots=True)
class Detected:
    """One answer that the hosts suggest."""

    key: str
    value: int
    words: str
    """Why, for a person."""


def detected(facts: Mapping[str, HostFacts]) -> tuple[Detected, ...]:
    """Return the answers in which these hosts call for something else than the schema's default.

    Args:
        facts: By host, as far as they were seen.
    """
    return (*_ports(facts), *_store(facts))


def _ports(facts: Mapping[str, HostFacts]) -> tuple[Detected, ...]:
    # Those of services to come count as well: all ports of the answers must differ.
    chosen: dict[str, int] = PortsAnswers().model_dump()
    found = []
    for name, port in Ports().model_dump().items():
        holder = _holder(port, facts)
        if holder is None:
            continue
        for other in range(port + 1, min(port + _PORTS_TRIED, 65_536)):
            if other not in chosen.values() and _holder(other, facts) is None:
                chosen[name] = other
                words = f"{port} is taken on {holder[0]} by {holder[1]}"
                found.append(Detected(f"network.ports.{name}", other, words))
                break
    return tuple(found)


def _holder(port: int, facts: Mapping[str, HostFacts]) -> tuple[str, str] | None:
    """Return the first host on which a port is taken by somebody else, and by whom."""
    for host, seen in facts.items():
        for listener in seen.listeners or ():
            if listener.port == port and not _ours(listener, seen):
                return host, listener.process or listener.unit or "another program"
    return None


def _ours(listener: Listener, facts: HostFacts) -> bool:
    account = facts.account[0].uid if facts.account else None
    return listener.unit in _OURS or (account is not None and listener.uid == account)


def _store(facts: Mapping[str, HostFacts]) -> tuple[Detected, ...]:
    default = ResourcesConfig().store_bytes_max
    free = {
        host: min(disk.free_bytes for disk in seen.disks)
        for host, seen in facts.items()
        if seen.disks
    }
    if not free:
        return ()
    host = min(free, key=lambda name: free[name])
    fits = int(free[host] * STORE_SHARE) // STORE_STEP * STORE_STEP
    if fits >= default or fits < STORE_STEP:
        return ()
    words = f"{host} has {free[host] / 1e9:.1f} GB free"
    return (Detected("resources.store_bytes_max", fits, words),)
