"""Does an AI endpoint work? Asks it what it is and which models it has; spends nothing.

Ollama (and Parallama, which speaks the same): `GET /api/version`, `GET /api/tags`.
OpenAI and whatever imitates it: `GET /v1/models`, with the organisation and project that pay.

Why an endpoint fails is told apart, because what to do differs: a refused key, a key without the
right, too many questions, no money left, a model that is not there, no way to it, a proxy on the
way, no answer in time. Of a foreign answer only its error's code is read, for its words may repeat
the key.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Final

import msgspec

from bzzz_core.config.secrets import Secret, resolve
from bzzz_core.config.sections import AiEndpoint
from bzzz_core.config.sections.ai import LOCAL_PROVIDERS
from bzzz_core.errors import (
    BzzzError,
    ConfigError,
    ProxyFailed,
    RequestTimeout,
    UnexpectedAnswer,
)
from bzzz_core.integrations.http import Answer, JsonEndpoint, Reply, Transport
from bzzz_core.integrations.ollama import full_name
from bzzz_core.ports import Clock

OPENAI_URL: Final = "https://api.openai.com"
TIMEOUT_S: Final = 10.0
_Name = Annotated[str, msgspec.Meta(max_length=500)]
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{1,60}")


class Fault(StrEnum):
    """Why an endpoint cannot be used."""

    NONE = ""
    SETUP = "setup"
    """Something is missing here: a reference that leads nowhere."""
    KEY = "key"
    """401: the key is none of theirs, or was withdrawn."""
    PERMISSION = "permission"
    """403: the key is good, but not for this: project, region, address."""
    RATE = "rate"
    """429: too many questions at a time; it passes."""
    QUOTA = "quota"
    """429 or 402 of another kind: no money left."""
    MODEL = "model"
    """It has no such model, or not for this key."""
    NETWORK = "network"
    PROXY = "proxy"
    TIMEOUT = "timeout"
    SERVICE = "service"
    """It answers, and not as it should: 5xx, or something else listens there."""


FIXES: Final = {
    Fault.KEY: "make a new key, or correct the reference",
    Fault.PERMISSION: "look at the key's rights, the project and the organisation",
    Fault.RATE: "wait a minute and test again",
    Fault.QUOTA: "add credit, or raise the limit at the provider",
    Fault.MODEL: "choose a model of the list",
    Fault.NETWORK: "look at the URL, the name server and the firewall",
    Fault.PROXY: "look at HTTPS_PROXY and NO_PROXY",
    Fault.TIMEOUT: "look at the URL and the firewall, or wait for the service",
    Fault.SERVICE: "look at the URL; if it is right, wait for the service",
}


def fault_of(status: int, code: str) -> Fault:
    """Return what an answer of a service of the OpenAI kind means.

    Args:
        status: Of HTTP.
        code: `error.code` or `error.type` of its document; "" if there is none.
    """
    if code in {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}:
        return Fault.QUOTA
    if code == "model_not_found":
        return Fault.MODEL
    return {
        HTTPStatus.OK: Fault.NONE,
        HTTPStatus.UNAUTHORIZED: Fault.KEY,
        HTTPStatus.FORBIDDEN: Fault.PERMISSION,
        HTTPStatus.TOO_MANY_REQUESTS: Fault.RATE,
        HTTPStatus.PAYMENT_REQUIRED: Fault.QUOTA,
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: Fault.PROXY,
        HTTPStatus.REQUEST_TIMEOUT: Fault.TIMEOUT,
        HTTPStatus.GATEWAY_TIMEOUT: Fault.TIMEOUT,
    }.get(HTTPStatus(status) if status in _STATUSES else HTTPStatus.BAD_GATEWAY, Fault.SERVICE)


_STATUSES: Final = frozenset(status.value for status in HTTPStatus)


class _Version(msgspec.Struct, frozen=True):
    version: _Name


class _OllamaModel(msgspec.Struct, frozen=True):
    name: _Name


class _Tags(msgspec.Struct, frozen=True):
    models: Annotated[tuple[_OllamaModel, ...], msgspec.Meta(max_length=10_000)] | None = ()


class _OpenAiModel(msgspec.Struct, frozen=True):
    id: _Name


class _Models(msgspec.Struct, frozen=True):
    data: Annotated[tuple[_OpenAiModel, ...], msgspec.Meta(max_length=10_000)] = ()


class _Complaint(msgspec.Struct, frozen=True):
    code: str | int | None = None
    type: str | None = None


class _Refusal(msgspec.Struct, frozen=True):
    error: _Complaint | str | None = None


class _Refused(Exception):
    """The service answered, and not with what was asked for."""

    def __init__(self, place: str, reply: Reply) -> None:
        code = code_in(reply.content)
        super().__init__(f"{place}: {_words(reply.status, code)}")
        self.fault = fault_of(reply.status, code)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointReport:
    """What an endpoint said."""

    works: bool
    words: str
    """One sentence for the operator."""
    models: tuple[str, ...] = ()
    latency_ms: int | None = None
    fault: Fault = Fault.NONE
    usage: str = "not available"
    """What was spent with this key. Providers tell it to keys of administrators only."""

    @property
    def fix(self) -> str:
        """Return what to do about it; "" if nothing."""
        return FIXES.get(self.fault, "")


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
        started_ms = clock.now_ms()
        async with JsonEndpoint(
            url_of(endpoint),
            bearer=key,
            headers=payer_headers(endpoint),
            timeout_s=TIMEOUT_S,
            transport=transport,
        ) as service:
            ask = _ask_ollama if endpoint.provider in LOCAL_PROVIDERS else _ask_openai
            what, models = await ask(service, url_of(endpoint))
    except (BzzzError, _Refused) as exc:
        return EndpointReport(works=False, words=str(exc), fault=_fault(exc))
    latency_ms = clock.now_ms() - started_ms
    return _judge(endpoint, what, models, latency_ms)


def _fault(exc: Exception) -> Fault:
    match exc:
        case _Refused():
            return exc.fault
        case ConfigError():
            return Fault.SETUP
        case ProxyFailed():
            return Fault.PROXY
        case RequestTimeout():
            return Fault.TIMEOUT
        case UnexpectedAnswer():
            return Fault.SERVICE
        case _:
            return Fault.NETWORK


def url_of(endpoint: AiEndpoint) -> str:
    """Return where an endpoint is, without a slash at the end."""
    return (endpoint.base_url or OPENAI_URL).rstrip("/").removesuffix("/v1")


def payer_headers(endpoint: AiEndpoint) -> dict[str, str]:
    """Return the headers that say who pays."""
    payers = {"OpenAI-Organization": endpoint.organisation, "OpenAI-Project": endpoint.project}
    return {name: value for name, value in payers.items() if value}


def code_in(content: bytes) -> str:
    """Return the code of the error in an answer; "" if there is none that looks like one."""
    try:
        error = msgspec.json.decode(content, type=_Refusal).error
    except (ValueError, RecursionError):
        return ""
    if not isinstance(error, _Complaint):
        return ""
    found = (word for word in (error.code, error.type) if isinstance(word, str))
    return next((word for word in found if _CODE.fullmatch(word)), "")


def _words(status: int, code: str) -> str:
    known = {
        Fault.KEY: "the key was refused",
        Fault.PERMISSION: "the key has no right to this",
        Fault.RATE: "too many requests",
        Fault.QUOTA: "no credit left",
        Fault.MODEL: "no such model",
    }.get(fault_of(status, code))
    said = f"{status}, {code}" if code else str(status)
    return f"{known} ({said})" if known else f"answered {said}"


async def _ask_ollama(service: JsonEndpoint, url: str) -> tuple[str, tuple[str, ...]]:
    version = await _get(service, url, "/api/version", _Version)
    tags = await _get(service, url, "/api/tags", _Tags)
    return f"Ollama {version.version}", tuple(model.name for model in tags.models or ())


async def _ask_openai(service: JsonEndpoint, url: str) -> tuple[str, tuple[str, ...]]:
    listed = await _get(service, url, "/v1/models", _Models)
    return "OpenAI protocol", tuple(model.id for model in listed.data)


async def _get(service: JsonEndpoint, url: str, path: str, kind: type[Answer]) -> Answer:
    reply = await service.ask("GET", path)
    if reply.status != HTTPStatus.OK:
        raise _Refused(f"{url}{path}", reply)
    return service.decode(path, reply.content, kind)


def _judge(
    endpoint: AiEndpoint, what: str, models: tuple[str, ...], latency_ms: int
) -> EndpointReport:
    words = f"{what} answers in {latency_ms} ms with {len(models)} models"
    works = has_model(endpoint, models)
    if not works:
        words += f", but {endpoint.model} is not among them"
    return EndpointReport(
        works=works,
        words=words,
        models=models,
        latency_ms=latency_ms,
        fault=Fault.NONE if works else Fault.MODEL,
    )


def has_model(endpoint: AiEndpoint, models: tuple[str, ...]) -> bool:
    """Return whether the model that an endpoint names is among those that it has."""
    if endpoint.model is None:
        return True
    if endpoint.provider in LOCAL_PROVIDERS:
        return full_name(endpoint.model) in {full_name(name) for name in models}
    return endpoint.model in models
