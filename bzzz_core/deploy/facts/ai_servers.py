"""Model servers that speak Ollama's API: whether one runs, what it has, and where that lies.

A server is asked over loopback with whatever the host has: curl, wget or Python; with none of them,
only its port and its process are known. A process of another name counts if it answers as Ollama
does, as one in a container behind Docker's proxy, or if there was no time to ask it.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Final

import msgspec

from bzzz_core.deploy.facts.sections import (
    document,
    guarded,
    kilobytes,
    number,
    objects,
    pairs,
    pairs_list,
    parts,
    word,
)

SERVERS_MAX: Final = 16
MODELS_MAX: Final = 2_000


class Model(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model that a server has on its disk."""

    name: str
    size_bytes: int | None = None
    digest: str = ""


class LoadedModel(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model that is in memory now."""

    name: str
    size_bytes: int | None = None
    on_gpu_bytes: int | None = None
    """Less than the size: the rest is computed by the processor."""


class AiServer(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One server, or a program that is installed and does not listen."""

    program: str
    """"ollama", "parallama", or the process that answers in its place."""
    port: int | None = None
    """None: it is installed, and does not listen."""
    address: str = ""
    """Where it listens: "127.0.0.1", "*" ..."""
    version: str | None = None
    """None, as with all that follows: it did not answer, or others took the time to ask it."""
    models: tuple[Model, ...] | None = None
    loaded: tuple[LoadedModel, ...] | None = None
    models_path: str | None = None
    """Where the models lie, if there is such a directory already."""
    free_bytes: int | None = None
    """There."""

    @property
    def place(self) -> str:
        """Return address and port as they are written together."""
        address = self.address or "*"
        return f"{f'[{address}]' if ':' in address else address}:{self.port}"

    @property
    def exposed(self) -> bool:
        """Return whether others than the host itself reach it. It asks nobody for a password."""
        if self.port is None:
            return False
        try:
            return not ipaddress.ip_address(self.address).is_loopback
        except ValueError:
            return True  # "*"


def read_ai_servers(text: str) -> tuple[AiServer, ...]:
    """Return the servers, and after them what is installed without listening.

    Raises:
        ValueError: They are too many, or a port is none.
    """
    first, *rest = parts(text)
    if len(rest) > SERVERS_MAX:
        raise ValueError("too many servers")
    found: dict[tuple[str, int | None], AiServer] = {}
    for _, said in rest:
        server = _server(pairs(said))
        if server is not None:
            # One that listens for IPv4 and IPv6 apart stands here twice; the open one counts.
            key = (server.program, server.port)
            if key not in found or server.exposed:
                found[key] = server
    running = {server.program for server in found.values()}
    installed = [word(value, 40) for key, value in pairs_list(first[1]) or () if key == "installed"]
    idle = (AiServer(program=name) for name in installed if name not in running)
    return (*found.values(), *list(idle)[:SERVERS_MAX])


def _server(said: dict[str, str]) -> AiServer | None:
    process = re.search(r'\(\("([^"]{1,40})"', said.get("process", ""))
    program = process[1] if process else "unknown"
    port = number(said["port"])
    if port is None:
        raise ValueError(said["port"])
    version = guarded(_version, said.get("version", ""))
    asked = said.get("asked") != "no"
    if version is None and asked and not program.startswith(("ollama", "parallama")):
        return None  # something else on that port
    space = said.get("space", "").split()
    return AiServer(
        program=program,
        port=port,
        address=said.get("address", "*").strip("[]"),
        version=version,
        models=guarded(_models, said.get("tags", "")),
        loaded=guarded(_loaded, said.get("ps", "")),
        models_path=word(said.get("models", ""), 1_000) or None,
        free_bytes=kilobytes(space[3]) if len(space) > 3 else None,  # noqa: PLR2004  `df -Pk`
    )


def _version(text: str) -> str:
    version = word(document(text)["version"], 40)
    if not version:
        raise ValueError(text)
    return version


def _models(text: str) -> tuple[Model, ...]:
    return tuple(
        Model(word(one["name"]), number(one.get("size")), word(one.get("digest"), 80))
        for one in _listed(text)
    )


def _loaded(text: str) -> tuple[LoadedModel, ...]:
    return tuple(
        LoadedModel(word(one["name"]), number(one.get("size")), number(one.get("size_vram")))
        for one in _listed(text)
    )


def _listed(text: str) -> list[dict[str, Any]]:
    models = objects(document(text)["models"] or [])
    if len(models) > MODELS_MAX:
        raise ValueError("too many models")
    return models
