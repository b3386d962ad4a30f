"""What an AI endpoint's answers mean, over the real client and a made-up transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from bzzz_core.config.secrets import Secret
from bzzz_core.config.sections import AiEndpoint
from bzzz_core.errors import PermissionDenied, RequestTimeout, SecretError, TransportError
from bzzz_core.integrations.ai_endpoint import EndpointReport, Fault, examine
from bzzz_core.integrations.http import BODY_BYTES_MAX, JsonEndpoint

OLLAMA = AiEndpoint(provider="ollama", base_url="http://10.0.0.9:11434/", model="llama3")
OPENAI = AiEndpoint(provider="openai", api_key="env:KEY", model="gpt-5")
Handler = Callable[[httpx.Request], httpx.Response]


class Clock:
    """Each look at the clock takes 12 ms."""

    def __init__(self) -> None:
        self.ms = 0

    def now_ms(self) -> int:
        self.ms += 12
        return self.ms

    async def sleep_ms(self, duration_ms: int) -> None:
        del duration_ms


def ask(endpoint: AiEndpoint, handler: Handler, key: str = "sk-canary") -> EndpointReport:
    transport = httpx.MockTransport(handler)
    return asyncio.run(
        examine(endpoint, clock=Clock(), fetch_secret=lambda _ref: Secret(key), transport=transport)
    )


def ollama(*names: str) -> Handler:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/version":
            return httpx.Response(200, json={"version": "0.9.0"})
        assert request.url.path == "/api/tags"
        return httpx.Response(200, json={"models": [{"name": name, "size": 1} for name in names]})

    return answer


def test_no_endpoint_is_a_choice_not_a_failure() -> None:
    report = ask(AiEndpoint(), lambda _request: httpx.Response(500))
    assert report.works


def test_ollama_tells_version_and_models() -> None:
    report = ask(OLLAMA, ollama("llama3:latest", "qwen3:8b"))
    assert report.works
    assert report.models == ("llama3:latest", "qwen3:8b")
    assert report.words == "Ollama 0.9.0 answers in 12 ms with 2 models"


def test_a_model_that_is_not_there_is_named() -> None:
    report = ask(OLLAMA, ollama("qwen3:8b"))
    assert not report.works
    assert "llama3 is not among them" in report.words


def test_openai_gets_the_key_in_the_header_and_nowhere_else() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"object": "list", "data": [{"id": "gpt-5"}]})

    report = ask(OPENAI, answer)
    assert report.works
    assert str(seen[0].url) == "https://api.openai.com/v1/models"
    assert seen[0].headers["authorization"] == "Bearer sk-canary"
    assert "sk-canary" not in report.words


def refusal(status: int, code: str) -> httpx.Response:
    message = "Incorrect API key provided: sk-canary"
    return httpx.Response(status, json={"error": {"message": message, "code": code}})


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (httpx.Response(401, text="bad key sk-canary"), "the key was refused (401)"),
        (httpx.Response(503), "answered 503"),
        (refusal(401, "invalid_api_key"), "the key was refused (401, invalid_api_key)"),
        (refusal(403, "unsupported_country_region_territory"), "the key has no right to this"),
        (refusal(429, "rate_limit_exceeded"), "too many requests (429, rate_limit_exceeded)"),
        (refusal(429, "insufficient_quota"), "no credit left (429, insufficient_quota)"),
        (refusal(429, "sk-canary"), "too many requests (429)"),
        (httpx.Response(407), "answered 407"),
        (httpx.Response(200, text="<html>"), "not the expected answer"),
        (httpx.Response(302, headers={"location": "http://evil.example"}), "answered 302"),
    ],
)
def test_every_failure_is_a_sentence_without_the_key(response: httpx.Response, words: str) -> None:
    report = ask(OPENAI, lambda _request: response)
    assert not report.works
    assert words in report.words
    assert "sk-canary" not in report.words


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (httpx.ConnectError("Name or service not known"), Fault.NETWORK),
        (httpx.ProxyError("407 Proxy Authentication Required"), Fault.PROXY),
        (httpx.ReadTimeout("slow"), Fault.TIMEOUT),
        (refusal(401, "invalid_api_key"), Fault.KEY),
        (refusal(403, ""), Fault.PERMISSION),
        (refusal(429, "rate_limit_exceeded"), Fault.RATE),
        (refusal(429, "insufficient_quota"), Fault.QUOTA),
        (httpx.Response(429, json={"error": {"type": "insufficient_quota"}}), Fault.QUOTA),
        (httpx.Response(200, text="<html>"), Fault.SERVICE),
        (httpx.Response(599), Fault.SERVICE),
        (httpx.Response(200, json={"data": [{"id": "gpt-4"}]}), Fault.MODEL),
        (httpx.Response(200, json={"data": [{"id": "gpt-5"}]}), Fault.NONE),
    ],
)
def test_why_an_endpoint_fails_is_told_apart(fault: Any, kind: Fault) -> None:
    """What to do about it differs: another key, credit, patience, a proxy."""

    def answer(_request: httpx.Request) -> httpx.Response:
        if isinstance(fault, Exception):
            raise fault
        assert isinstance(fault, httpx.Response)
        return fault

    report = ask(OPENAI, answer)
    assert report.fault is kind
    assert bool(report.fix) is (kind is not Fault.NONE)
    assert report.usage == "not available"


def test_who_pays_is_said_in_headers() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"data": [{"id": "gpt-5"}]})

    ask(OPENAI.model_copy(update={"organisation": "org-1", "project": "proj_1"}), answer)
    assert seen[0].headers["openai-organization"] == "org-1"
    assert seen[0].headers["openai-project"] == "proj_1"
    ask(OPENAI.model_copy(update={"base_url": "https://api.example/v1/"}), answer)
    assert str(seen[1].url) == "https://api.example/v1/models"


def test_a_missing_secret_is_said_before_anything_is_sent() -> None:
    def refuse(_reference: str) -> Secret:
        raise SecretError("environment variable KEY is not set; export it and try again")

    def fail(_request: httpx.Request) -> httpx.Response:
        raise AssertionError("nothing may be sent")

    report = asyncio.run(
        examine(OPENAI, clock=Clock(), fetch_secret=refuse, transport=httpx.MockTransport(fail))
    )
    assert not report.works
    assert "KEY is not set" in report.words


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (httpx.ReadTimeout("slow"), RequestTimeout),
        (httpx.ConnectError("refused"), TransportError),
        (httpx.Response(403), PermissionDenied),
        (httpx.Response(200, content=b"[" + b"0," * (BODY_BYTES_MAX // 2) + b"0]"), TransportError),
    ],
)
def test_foreign_faults_become_ours(fault: Any, error: type[Exception]) -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        if isinstance(fault, Exception):
            raise fault
        assert isinstance(fault, httpx.Response)
        return fault

    async def run() -> None:
        transport = httpx.MockTransport(answer)
        async with JsonEndpoint("http://x", timeout_s=1, transport=transport) as service:
            await service.get("/", list)

    with pytest.raises(error):
        asyncio.run(run())
