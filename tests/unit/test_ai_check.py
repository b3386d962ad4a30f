"""One completion as a host asks for it: the real program, real HTTP, the key on standard input."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from bzzz_core.config.secrets import Secret
from bzzz_core.config.sections import AiAnswers, AiEndpoint
from bzzz_core.deploy.ai_check import Completion, complete_from, complete_from_all
from bzzz_core.deploy.remote import Completed, Sudo, after_mark, command_line
from bzzz_core.integrations.ai_endpoint import Fault

KEY = "sk-canary"


class Service(BaseHTTPRequestHandler):
    """Answers with what the test put on its server."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def do_POST(self) -> None:
        """Note the question and answer it."""
        server: Any = self.server
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        server.asked.append((self.path, dict(self.headers), body))
        content = json.dumps(server.document).encode()
        self.send_response(server.status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Here:
    """A host that is this machine; what it was told is kept."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @property
    def name(self) -> str:
        return "bzzz-1"

    async def tell(
        self, script: str, *arguments: str, content: Secret, what: str, timeout_s: int
    ) -> Completed:
        del what
        line = command_line(
            script, *arguments, mark="m", timeout_s=timeout_s, sudo=Sudo.ROOT, reads=True
        )
        self.lines.append(line)
        done = await asyncio.to_thread(
            subprocess.run,
            ["sh", "-c", line.replace("python3", sys.executable, 1)],
            check=False,
            capture_output=True,
            input=content.reveal().encode(),
        )
        assert KEY.encode() not in done.stdout + done.stderr
        return Completed(done.returncode, after_mark(done.stdout, "m") or b"", done.stderr)


@pytest.fixture
def service() -> Iterator[Any]:
    running: Any = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    running.status, running.asked = 200, []
    running.document = {"model": "gpt-5-2026", "choices": [{"message": {"content": "ok"}}]}
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def endpoint(service: Any, **more: Any) -> AiEndpoint:
    url = f"http://127.0.0.1:{service.server_address[1]}"
    given = {"provider": "openai", "base_url": url, "model": "gpt-5", "api_key": "env:K", **more}
    return AiEndpoint.model_validate(given)


def complete(asked: AiEndpoint, host: Here | None = None) -> Completion:
    return asyncio.run(
        complete_from(host or Here(), "main", asked, fetch_secret=lambda _ref: Secret(KEY))
    )


def test_a_host_says_model_and_time(service: Any) -> None:
    found = complete(endpoint(service, organisation="org-1"))
    assert found.works, found.words
    assert found.model == "gpt-5-2026"
    assert found.latency_ms is not None
    path, headers, body = service.asked[0]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    sent = {name.lower(): value for name, value in headers.items()}
    assert sent["openai-organization"] == "org-1"
    assert (body["model"], body["max_tokens"]) == ("gpt-5", 16)


def test_the_key_is_in_no_argument(service: Any) -> None:
    host = Here()
    assert complete(endpoint(service), host).works
    assert KEY not in "".join(host.lines)


def test_ollama_is_asked_in_its_own_words(service: Any) -> None:
    service.document = {"model": "llama3", "message": {"content": "ok"}}
    found = complete(endpoint(service, provider="ollama", api_key=None, model="llama3"))
    assert found.works
    path, headers, body = service.asked[0]
    assert (path, body["options"]) == ("/api/chat", {"num_predict": 16})
    assert "Authorization" not in headers
    service.status = 404
    assert complete(endpoint(service, provider="ollama", api_key=None)).fault is Fault.MODEL


@pytest.mark.parametrize(
    ("status", "document", "fault"),
    [
        (401, {"error": {"code": "invalid_api_key", "message": KEY}}, Fault.KEY),
        (403, {"error": {"message": KEY}}, Fault.PERMISSION),
        (404, {"error": {"code": "model_not_found"}}, Fault.MODEL),
        (429, {"error": {"code": "rate_limit_exceeded"}}, Fault.RATE),
        (429, {"error": {"type": "insufficient_quota"}}, Fault.QUOTA),
        (500, [], Fault.SERVICE),
        (302, {}, Fault.SERVICE),
        (200, {"hello": "this is a page"}, Fault.SERVICE),
    ],
)
def test_why_it_fails_from_there_is_told_apart(
    service: Any, status: int, document: Any, fault: Fault
) -> None:
    service.status, service.document = status, document
    found = complete(endpoint(service))
    assert (found.works, found.fault) == (False, fault)
    assert found.fix
    assert KEY not in found.words


def test_a_host_without_a_way_says_so(service: Any) -> None:
    asked = endpoint(service)
    service.shutdown()
    service.server_close()
    found = complete(asked)
    assert (found.fault, found.words) == (Fault.NETWORK, "nobody listens there")


def test_every_endpoint_is_asked_from_every_host(service: Any) -> None:
    url = f"http://127.0.0.1:{service.server_address[1]}"
    local = {"provider": "ollama", "base_url": url, "model": "m"}
    answers = AiAnswers.model_validate({"endpoint": local, "endpoints": [{"name": "b", **local}]})
    found = asyncio.run(complete_from_all({"x": Here(), "y": Here()}, answers))
    assert [one.endpoint for one in found] == ["main", "b", "main", "b"]


def test_a_payload_and_a_password_never_share_an_input() -> None:
    with pytest.raises(AssertionError):
        command_line("true", mark="m", timeout_s=1, sudo=Sudo.PASSWORD, reads=True)
