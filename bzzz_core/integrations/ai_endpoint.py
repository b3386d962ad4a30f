"""Does an AI endpoint work? Asks it what it is and which models it has; spends nothing.

Ollama (and Parallama, which speaks the same): `GET /api/version`, `GET /api/tags`.
OpenAI and whatever imitates it: `GET /v1/models`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from bzzz_core.config.secrets import Secret, resolve
from bzzz_core.config.sections import AiEndpoint
from bzzz_core.config.sections.ai import LOCAL_PROVIDERS
from bzzz_core.errors import BzzzError, ConfigError
from bzzz_core.integrations.http import JsonEndpoint, Transport
from bzzz_core.ports import Clock

OPENAI_URL: Final = "https://api.openai.com"
TIMEOUT_S: Final = 10.0
_Name = Annotated[str, msgspec.Meta(max_length=500)]


class _Version(msgspec.Struct, frozen=True):
    version: _Name


class _OllamaModel(msgspec.Struct, frozen=True):
    name: _Name


class _Tags(msgspec.Struct, frozen=True):
    models: Annotated[tuple[_OllamaModel, ...], msgspec.Meta(max_length=10_000)] = ()


class _OpenAiModel(msgspec.Struct, frozen=True):
    id: _Name


class _Models(msgspec.Struct, frozen=True):
    data: Annotated[tuple[_OpenAiModel, ...], msgspec.Meta(max_length=10_000)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointReport:
    """What an endpoint said."""

    works: bool
    words: str
    """One sentence for the operator."""
    models: tuple[str, ...] = ()
    latency_ms: int | None = None


async def examine(
    endpoint: AiEndpoint,
    *,
    clock: Clock,
    fetch_secret: Callable[[str], Secret] = resolve,
    transport: Transport | None = None,
) -> EndpointReport:
    """Ask the endpoint and return what is the case; an endpoint that fails is a report too."""
    if endpoint.provider == "none":
        return EndpointReport(works=True, words="no endpoint chosen; agents will have no model")
    try:
        key = fetch_secret(endpoint.api_key) if endpoint.api_key else None
        url = endpoint.base_url or OPENAI_URL
        started_ms = clock.now_ms()
        async with JsonEndpoint(
            url, bearer=key, timeout_s=TIMEOUT_S, transport=transport
        ) as service:
            ask = _ask_ollama if endpoint.provider in LOCAL_PROVIDERS else _ask_openai
            what, models = await ask(service)
    except ConfigError as exc:
        return EndpointReport(works=False, words=str(exc))
    except BzzzError as exc:
        return EndpointReport(works=False, words=str(exc))
    latency_ms = clock.now_ms() - started_ms
    return _judge(endpoint, what, models, latency_ms)


async def _ask_ollama(service: JsonEndpoint) -> tuple[str, tuple[str, ...]]:
    version = await service.get("/api/version", _Version)
    tags = await service.get("/api/tags", _Tags)
    return f"Ollama {version.version}", tuple(model.name for model in tags.models)


async def _ask_openai(service: JsonEndpoint) -> tuple[str, tuple[str, ...]]:
    listed = await service.get("/v1/models", _Models)
    return "OpenAI protocol", tuple(model.id for model in listed.data)


def _judge(
    endpoint: AiEndpoint, what: str, models: tuple[str, ...], latency_ms: int
) -> EndpointReport:
    words = f"{what} answers in {latency_ms} ms with {len(models)} models"
    wanted = endpoint.model
    known = {name.removesuffix(":latest") for name in models}
    works = wanted is None or wanted.removesuffix(":latest") in known
    if not works:
        words += f", but {wanted} is not among them"
    return EndpointReport(works=works, words=words, models=models, latency_ms=latency_ms)
