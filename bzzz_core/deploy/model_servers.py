"""Which model servers a host should have, and the text of their files. Pure.

A host's own unit is never edited: what setup sets stands in a drop-in beside it, and so does our
program where it takes the place of the host's (an upgrade, or Parallama in Ollama's unit). Taking
the drop-in away gives the host back what it had. A unit of ours is made only where there is none.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.sections import ModelServersAnswers, ServerSettings
from bzzz_core.config.sections.model_servers import MODELS_PATH, PORT
from bzzz_core.deploy import layout
from bzzz_core.deploy.facts.ai_servers import AiServer
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.facts.model_hosting import ModelHosting, ModelUnit

PROGRAMS: Final = ("ollama", "parallama")
_V6: Final = 6
_DIGITS: Final = re.compile(r"\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One server on one host."""

    unit: str
    """Without `.service`."""
    port: int
    unit_text: str
    """Of our own unit; "": the host's own stays as it is."""
    dropin_text: str
    """"": none belongs there."""
    program: str
    """Which program of ours it runs; "": the host's own."""

    @property
    def unit_path(self) -> str:
        """Return where our own unit is."""
        return f"{layout.UNITS}/{self.unit}.service"

    @property
    def dropin_path(self) -> str:
        """Return where our drop-in is."""
        return f"{layout.UNITS}/{self.unit}.service.d/50-bzzz.conf"


def release_name(servers: ModelServersAnswers) -> str:
    """Return the name of the directory of the program that the answers name; "" if they do not."""
    return f"{servers.version}-{servers.sha256[:12]}" if servers.sha256 else ""


def program_path(program: str, release: str = "current") -> str:
    """Return where a program starts; processes bear its name."""
    return f"{layout.MODEL_SERVERS}/{program}/{release}/run/{program}"


def is_wanted(spec: ClusterSpec, host: str) -> bool:
    """Return whether setup has to do with the model servers of a host."""
    hosts = spec.ai.servers.hosts
    return not hosts or host in hosts


def instances(spec: ClusterSpec, host: str, facts: HostFacts) -> tuple[Instance, ...]:
    """Return the servers of a host; none where there is nothing to set, or nothing is known."""
    hosting = facts.model_hosting
    servers = spec.ai.servers
    if hosting is None or not is_wanted(spec, host):
        return ()
    first = _first(servers, facts, hosting)
    if first is None:
        return ()
    more = [
        Instance(
            unit=f"{servers.program}-{one.name}",
            port=one.port,
            unit_text=_unit_text(servers.program, one.name, servers),
            dropin_text=_dropin(
                [*_settings(one, servers), *_cards(one.gpus, facts)],
                port=one.port,
                servers=servers,
                facts=facts,
            ),
            program=servers.program,
        )
        for one in servers.instances
        if one.host == host
    ]
    return (first, *more)


def _first(
    servers: ModelServersAnswers, facts: HostFacts, hosting: ModelHosting
) -> Instance | None:
    settings = [*_settings(servers, servers), *_cards(servers.gpus, facts)]
    unit = present_unit(servers, hosting)
    if unit is None:
        if servers.program == "as-found":
            return None  # none is there, or it is nobody's unit, as in a container
        return Instance(
            unit=servers.program,
            port=servers.port,
            unit_text=_unit_text(servers.program, "", servers),
            dropin_text=_dropin(settings, port=servers.port, servers=servers, facts=facts),
            program=servers.program,
        )
    if unit.ours:
        return Instance(
            unit=unit.name,
            port=servers.port,
            unit_text=_unit_text(servers.program, "", servers)
            if servers.program != "as-found"
            else "",
            dropin_text=_dropin(settings, port=servers.port, servers=servers, facts=facts),
            program=servers.program if servers.program != "as-found" else "",
        )
    replaced = replaces(servers, facts, unit)
    if servers.models_path:
        settings.append(("OLLAMA_MODELS", servers.models_path))
    listens = servers.port if servers.port != PORT or servers.listen != "default" else None
    return Instance(
        unit=unit.name,
        port=servers.port,
        unit_text="",
        dropin_text=_dropin(
            settings,
            port=listens,
            servers=servers,
            facts=facts,
            program=servers.program if replaced else "",
        ),
        program=servers.program if replaced else "",
    )


def present_unit(servers: ModelServersAnswers, hosting: ModelHosting) -> ModelUnit | None:
    """Return the unit that the first server of a host has, or takes over."""
    own = hosting.unit(servers.program)
    if servers.program != "as-found" and (own is not None or not servers.migrate):
        return own
    found = [unit for name in PROGRAMS if (unit := hosting.unit(name)) is not None]
    found.sort(key=lambda unit: unit.active != "active")
    return found[0] if found else None


def replaces(servers: ModelServersAnswers, facts: HostFacts, unit: ModelUnit) -> bool:
    """Return whether our program takes the place of the one in a host's own unit."""
    if servers.program == "as-found" or not servers.source:
        return False
    if unit.name != servers.program or unit.dropin_program == servers.program:
        return True
    version = server_at(facts, servers.port)
    assert servers.version is not None, "a source has a version"
    return (
        version is not None
        and version.version is not None
        and version_key(version.version) < version_key(servers.version)
    )


def server_at(facts: HostFacts, port: int) -> AiServer | None:
    """Return the server that answers on a port."""
    return next((one for one in facts.ai_servers or () if one.port == port), None)


def version_key(version: str) -> tuple[int, ...]:
    """Return what orders versions: their numbers. What follows `-` or `+` does not count."""
    plain = re.split(r"[-+]", version, maxsplit=1)[0]
    return tuple(int(part) for part in _DIGITS.findall(plain))


def sha256_of(text: str) -> str:
    """Return the checksum of a file with this text; "" if there is none."""
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def _settings(asked: ServerSettings, common: ModelServersAnswers) -> Iterator[tuple[str, str]]:
    def told(name: str) -> object:
        value = getattr(asked, name)
        return getattr(common, name) if value in {None, "default"} else value

    words = {"enabled": "1", "disabled": "0"}
    for variable, name in (
        ("OLLAMA_NUM_PARALLEL", "parallel"),
        ("OLLAMA_CONTEXT_LENGTH", "context_tokens"),
        ("OLLAMA_KV_CACHE_TYPE", "kv_cache"),
        ("OLLAMA_FLASH_ATTENTION", "flash_attention"),
        ("OLLAMA_KEEP_ALIVE", "keep_alive"),
        ("OLLAMA_MAX_LOADED_MODELS", "loaded_max"),
    ):
        value = told(name)
        if value not in {None, "default"}:
            yield variable, words.get(str(value), str(value))


def _cards(uuids: tuple[str, ...], facts: HostFacts) -> Iterator[tuple[str, str]]:
    """Yield which cards a server may use; by id, since numbers change from boot to boot."""
    if not uuids:
        return
    amd = {card.uuid for card in facts.gpus or () if card.vendor == "amd" and card.uuid}
    nvidia = [uuid for uuid in uuids if uuid not in amd]
    if nvidia:
        yield "CUDA_DEVICE_ORDER", "PCI_BUS_ID"
        yield "CUDA_VISIBLE_DEVICES", ",".join(nvidia)
    if amd & set(uuids):
        yield "ROCR_VISIBLE_DEVICES", ",".join(uuid for uuid in uuids if uuid in amd)


def _dropin(
    settings: list[tuple[str, str]],
    *,
    port: int | None,
    servers: ModelServersAnswers,
    facts: HostFacts,
    program: str = "",
) -> str:
    lines = [environment_line(name, value) for name, value in settings]
    if port is not None:
        host = _everywhere(facts) if servers.listen == "everywhere" else "127.0.0.1"
        lines.append(environment_line("OLLAMA_HOST", f"{host}:{port}"))
    if program:
        lines += ["ExecStart=", f"ExecStart={program_path(program)} serve"]
    if not lines:
        return ""
    head = "# Written by bzzz-tui setup from ai.servers; changes are overwritten."
    return "\n".join((head, "[Service]", *lines)) + "\n"


def _everywhere(facts: HostFacts) -> str:
    """Return the address that means all: of both kinds where the host has both.

    A socket at `::` takes IPv4 too; a host without IPv6 has no such socket.
    """
    kinds = {ipaddress.ip_address(text.partition("%")[0]).version for text in facts.addresses or ()}
    return "[::]" if _V6 in kinds else "0.0.0.0"  # noqa: S104  asked for


def environment_line(name: str, value: str) -> str:
    """Return a setting as systemd reads it back: quoted, nothing in it taken for a specifier."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'Environment="{name}={escaped}"'


def _unit_text(program: str, name: str, servers: ModelServersAnswers) -> str:
    title = f"{program.capitalize()} model server{f' {name}' if name else ''}"
    models = servers.models_path or f"{MODELS_PATH}/models"
    return f"""\
# Written by bzzz-tui setup; changes are overwritten. Use a drop-in instead.
[Unit]
Description={title}
After=network-online.target nvidia-persistenced.service
Wants=network-online.target

[Service]
Type=exec
User={layout.MODELS_USER}
Group={layout.MODELS_USER}
{environment_line("HOME", MODELS_PATH)}
{environment_line("OLLAMA_MODELS", models)}
ExecStart={program_path(program)} serve
Restart=always
RestartSec=3
NoNewPrivileges=yes
ProtectSystem=full
ProtectHome=yes
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictSUIDSGID=yes
[Install]
WantedBy=multi-user.target
"""
