"""Tries a configuration against this machine, before anybody lives with it.

What the schema cannot know: whether secrets can be read, directories written, ports listened on,
and whether addresses are this machine's. Nothing is changed and nobody else is asked. What the
running agent or its broker holds already is not tried: it would be found taken, by ourselves.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.secrets import references, resolve
from bzzz_core.errors import SecretError
from bzzz_core.telemetry.sample import local_addresses


class Check(msgspec.Struct, frozen=True):
    """One thing that was tried."""

    name: str
    """The key that it is about."""
    state: Literal["ok", "failed", "skipped"]
    words: str


def trial(config: AgentConfig, *, running: AgentConfig | None = None) -> tuple[Check, ...]:
    """Return what came of every check; blocks for as long as files and ports take.

    Args:
        config: To be tried.
        running: What an agent on this machine runs with; None: none runs.
    """
    return (
        *_secrets(config),
        *_directories(config),
        *_addresses(config),
        *_ports(config, running),
    )


def _secrets(config: AgentConfig) -> Iterator[Check]:
    vault = Path(config.security.directory)
    for key, reference in references(config):
        try:
            resolve(reference, vault=vault)
        except SecretError as exc:
            yield Check(key, "failed", str(exc))
        else:
            yield Check(key, "ok", "can be read")


def _directories(config: AgentConfig) -> Iterator[Check]:
    wanted = {
        "resources.paths.data": config.resources.paths.data,
        "resources.paths.logs": config.resources.paths.logs,
        "security.directory": config.security.directory,
    }
    for key, text in wanted.items():
        path = Path(text)
        if path.is_dir():
            able = os.access(path, os.W_OK | os.X_OK)
            words = "can be written" if able else f"{path} cannot be written by this user"
        elif path.exists():
            able, words = False, f"{path} is no directory"
        else:
            nearest = next(one for one in path.absolute().parents if one.exists())
            able = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
            words = (
                f"is not there yet and can be made in {nearest}"
                if able
                else f"is not there, and {nearest} cannot be written by this user"
            )
        yield Check(key, "ok" if able else "failed", words)


def _addresses(config: AgentConfig) -> Iterator[Check]:
    found = local_addresses()
    for key, text in (
        ("network.address", config.network.address),
        ("network.api_host", config.network.api_host),
    ):
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            yield Check(key, "skipped", f"{text} is a name; the others look it up")
            continue
        if address.is_loopback or text in found:
            yield Check(key, "ok", "is on an interface of this machine")
        else:
            yield Check(key, "failed", f"{text} is on no interface of this machine")


def _ports(config: AgentConfig, running: AgentConfig | None) -> Iterator[Check]:
    now = running.network if running else None
    hosts = {"api": config.network.api_host, "fabric_monitor": "127.0.0.1"}
    for name, number in config.network.ports.model_dump().items():
        key = f"network.ports.{name}"
        held = now is not None and number in now.ports.model_dump().values()
        if held:
            yield Check(key, "skipped", f"{number} is this node's already")
            continue
        why = _taken(hosts.get(name, config.network.address), number)
        words = f"{number} cannot be listened on: {why}" if why else f"{number} is free"
        yield Check(key, "failed" if why else "ok", words)


def _taken(host: str, port: int) -> str:
    """Return why nobody can listen there; empty if one could."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:  # A name: the broker listens on every address then.
        found = socket.getaddrinfo("0.0.0.0", port, type=socket.SOCK_STREAM)  # noqa: S104
    family, kind, _, _, place = found[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(place)
        except OSError as exc:
            return exc.strerror or type(exc).__name__
    return ""
