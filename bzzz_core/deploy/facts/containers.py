"""Container engines: Docker with what it can do, and whether Podman is there."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Final

import msgspec

from bzzz_core.deploy.facts.sections import (
    document,
    kilobytes,
    mapping,
    number,
    objects,
    parts,
    word,
)

_NETWORKS_MAX: Final = 300
_SUBNETS_MAX: Final = 8
_RUNTIMES_MAX: Final = 20


class DockerNetwork(msgspec.Struct, frozen=True, omit_defaults=True):
    """A network that Docker made; its subnets are taken on that host."""

    name: str
    driver: str
    subnets: tuple[str, ...] = ()


class Docker(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Docker's client, and its engine if that answers."""

    version: str = ""
    """Of the engine; "": the client is installed, but no engine answers."""
    root: str = ""
    """Where images and volumes lie."""
    free_bytes: int | None = None
    """There."""
    cgroup_driver: str = ""
    """systemd or cgroupfs."""
    cgroup_version: str = ""
    rootless: bool | None = None
    runtimes: tuple[str, ...] | None = None
    compose: str | None = None
    """Version of `docker compose`; "": there is none."""
    networks: tuple[DockerNetwork, ...] | None = None
    words: str = ""
    """Why the engine does not answer."""

    @property
    def nvidia(self) -> bool | None:
        """Return whether containers can be given NVIDIA's cards by a runtime."""
        return None if self.runtimes is None else "nvidia" in self.runtimes


def read_docker(text: str) -> tuple[Docker, ...]:
    """Return Docker: one entry, or none if it is not installed.

    Raises:
        ValueError: It is there, and says nothing that can be understood.
    """
    said = dict(parts(text))
    if "info" not in said:
        return ()
    info = document(said["info"])
    (info,) = objects([info])
    if "host" in info and "ServerVersion" not in info:
        return ()  # Podman under Docker's name
    version = word(info.get("ServerVersion"), 40)
    options = info.get("SecurityOptions")
    runtimes = info.get("Runtimes")
    errors = info.get("ServerErrors")
    answers = bool(version)
    return (
        Docker(
            version=version,
            root=word(info.get("DockerRootDir"), 1_000),
            free_bytes=_free_bytes(said.get("root", "")),
            cgroup_driver=word(info.get("CgroupDriver"), 20),
            cgroup_version=str(number(info.get("CgroupVersion")) or ""),
            rootless=any("name=rootless" in word(one) for one in (options or [])[:50])
            if answers
            else None,
            runtimes=tuple(sorted(word(name) for name in list(runtimes)[:_RUNTIMES_MAX]))
            if isinstance(runtimes, dict) and answers
            else None,
            compose=_compose(info),
            networks=_networks(said["networks"]) if answers and "networks" in said else None,
            words=word(errors[0]) if isinstance(errors, list) and errors else "",
        ),
    )


def read_podman(text: str) -> str:
    """Return Podman's version; "" if it is not installed."""
    found = re.search(r"^podman version (\S{1,40})", text, re.MULTILINE)
    return found[1] if found else ""


def _free_bytes(line: str) -> int | None:
    words = line.split()
    return kilobytes(words[3]) if len(words) > 3 else None  # noqa: PLR2004  as `df -Pk` prints


def _compose(info: dict[str, Any]) -> str | None:
    client = mapping(info.get("ClientInfo"))
    if "Plugins" not in client:
        return None
    plugins = objects(client["Plugins"] or [])
    found = [word(one.get("Version"), 40) for one in plugins if one.get("Name") == "compose"]
    return found[0] if found else ""


def _networks(text: str) -> tuple[DockerNetwork, ...] | None:
    found = []
    for line in text.splitlines()[:_NETWORKS_MAX]:
        name, driver, subnets = line.rsplit("|", 2)
        found.append(DockerNetwork(word(name), word(driver), _subnets(subnets)))
    return tuple(found)


def _subnets(text: str) -> tuple[str, ...]:
    return tuple(
        str(ipaddress.ip_network(one, strict=False)) for one in text.split()[:_SUBNETS_MAX]
    )
