"""What preflight says about models: no room, no program, an older program than is there. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.sections import ModelServersAnswers
from bzzz_core.deploy.events import Finding
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.facts.model_hosting import ModelUnit
from bzzz_core.deploy.model_places import Placement, gigabytes, place_wanted, sized
from bzzz_core.deploy.model_servers import (
    PROGRAMS,
    is_wanted,
    present_unit,
    release_name,
    server_at,
    version_key,
)
from bzzz_core.integrations.ollama import full_name

SPARE_BYTES: int = 1_000_000_000
"""Left free beside the models: a full disk takes more than models with it."""


def advise_models(spec: ClusterSpec, facts: Mapping[str, HostFacts]) -> Iterator[Finding]:
    """Yield what speaks against the models and servers that the answers ask for."""
    servers = spec.ai.servers
    if servers.program == "as-found" and not servers.models:
        return
    placement = place_wanted(servers, facts)
    for refusal in placement.refusals:
        yield Finding(
            "error",
            "models",
            refusal.host,
            f"{refusal.model}: {refusal.words}",
            "take a smaller model, or raise what models may fill (ai.servers.gpu_memory_ratio,"
            " sharding, on_cpu)",
        )
    for name, one in facts.items():
        if is_wanted(spec, name):
            yield from _program(spec, name, one)
        yield from _server(spec, name, one, placement)
        yield from _room(spec, name, one, placement)


def _program(spec: ClusterSpec, host: str, facts: HostFacts) -> Iterator[Finding]:
    servers = spec.ai.servers
    if servers.program == "as-found":
        return
    hosting = facts.model_hosting
    if hosting is None:
        if facts.uid == 0:
            fix = "try again; if it stays, leave the host out of ai.servers.hosts"
            yield Finding("error", "models", host, "its model servers are not known", fix)
        return
    unit = present_unit(servers, hosting)
    beside = [name for name in PROGRAMS if name != servers.program and hosting.unit(name)]
    if unit is None and beside:
        yield Finding(
            "error",
            "models",
            host,
            f"{beside[0]}.service is there, and {servers.program} is to be installed beside it",
            "let it take that unit's place (ai.servers.migrate; its models stay and it can be"
            " undone), or leave the host out of ai.servers.hosts",
        )
    elif unit is None and server_at(facts, servers.port) is not None:
        yield Finding(
            "error",
            "models",
            host,
            f"port {servers.port} is taken by a model server that is no unit of the host",
            "stop it, or choose another ai.servers.port",
        )
    program = hosting.program(servers.program)
    if unit is None and not beside and not release_name(servers) and not program.current:
        yield Finding(
            "error",
            "models",
            host,
            f"{servers.program} is not installed, and no archive is named",
            "set ai.servers.source, sha256 and version",
        )
    yield from _version(servers, host, facts, unit)


def _version(
    servers: ModelServersAnswers, host: str, facts: HostFacts, unit: ModelUnit | None
) -> Iterator[Finding]:
    server = server_at(facts, servers.port)
    if unit is not None and not unit.ours and servers.source and (not server or not server.version):
        yield Finding(
            "warning",
            "models",
            host,
            f"the version of {unit.name}.service is not known, so it is not upgraded",
            "start it, and see whether it answers on ai.servers.port",
        )
    # Containers hide the names of processes: whoever is not plainly another program is this one.
    others = tuple(name for name in PROGRAMS if name != servers.program)
    if server is None or server.program.startswith(others):
        return
    takes_over = unit is not None and servers.program not in {unit.name, unit.dropin_program}
    if takes_over or not server.version or not servers.version:
        return
    if version_key(server.version) > version_key(servers.version):
        yield Finding(
            "error",
            "models",
            host,
            f"{servers.program} {server.version} runs there, newer than {servers.version}; models"
            " of the newer one may be unreadable for the older",
            "name an archive of that version or a later one",
        )


def _server(
    spec: ClusterSpec, host: str, facts: HostFacts, placement: Placement
) -> Iterator[Finding]:
    servers = spec.ai.servers
    if not placement.models_on(host) or (servers.program != "as-found" and is_wanted(spec, host)):
        return
    if facts.ai_servers is None or server_at(facts, servers.port) is None:
        yield Finding(
            "error",
            "models",
            host,
            f"it is to hold {', '.join(placement.models_on(host))}, and no model server listens on"
            f" port {servers.port}",
            "let setup install one (ai.servers.program), start it, or choose another host",
        )


def _room(
    spec: ClusterSpec, host: str, facts: HostFacts, placement: Placement
) -> Iterator[Finding]:
    """Compare the sizes of what is missing with what is free where models lie."""
    server = server_at(facts, spec.ai.servers.port)
    there = {full_name(model.name) for model in (server.models if server else None) or ()}
    missing = [name for name in placement.models_on(host) if full_name(name) not in there]
    wanted = [model for model in spec.ai.servers.models if model.name in missing]
    sizes = [found.bytes_size for model in wanted if (found := sized(model, {host: facts}))]
    free = free_for_models(spec, facts)
    if sizes and free is not None and sum(sizes) + SPARE_BYTES > free:
        yield Finding(
            "error",
            "models",
            host,
            f"{len(sizes)} models need {gigabytes(sum(sizes) + SPARE_BYTES)} of disk,"
            f" {gigabytes(free)} are free where models lie",
            "make room, choose smaller models, or another ai.servers.models_path",
        )


def free_for_models(spec: ClusterSpec, facts: HostFacts) -> int | None:
    """Return how much is free where a host's models lie; None if that is not known."""
    server = server_at(facts, spec.ai.servers.port)
    if server is not None and server.free_bytes is not None:
        return server.free_bytes
    hosting = facts.model_hosting
    if hosting is None:
        return None
    unit = present_unit(spec.ai.servers, hosting)
    if unit is not None and not spec.ai.servers.models_path:
        return unit.free_bytes
    return hosting.free_bytes
