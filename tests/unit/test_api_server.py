"""The server on real sockets: what can be read in two ways, comes too slowly, or from elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from pathlib import Path

import httpx
import pytest

from bzzz_core.api import server
from bzzz_core.api.operations import BODY_BYTES_MAX
from bzzz_core.api.place import Place, configured
from bzzz_core.api.server import AgentApi, outside_host
from bzzz_core.clock import SystemClock
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sources import load_agent_config
from bzzz_core.errors import ConfigError
from bzzz_core.trust.secrets_directory import SecretsDirectory
from bzzz_core.trust.tls import EVERY_NODE, pinned_context
from tests.fakes.api_node import founded, serving
from tests.fakes.api_talk import APP, HEAD, talking


def answers_to(request: bytes) -> bytes:
    """Return all that comes until the server ends the connection, which it has to do."""
    found = b""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal found
        writer.write(request)
        writer.write_eof()
        # It is reset where the server ends it with something unread.
        with contextlib.suppress(ConnectionResetError):
            while some := await reader.read(65_536):
                found += some

    talking(talk)
    return found


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 5\r\nContent-Length: 50\r\n",
        b"Content-Length: 5, 50\r\n",
        b"Content-Length: -5\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n",
        b"Folded: a\r\n b\r\nBad Name: b\r\n",
        b"Nul: a\x00b\r\n",
        b"Host: other\r\n",
    ],
    ids=range(12),
)
def test_a_request_with_two_meanings_has_none(headers: bytes) -> None:
    """Else somebody in between and we might disagree where it ends; nothing runs after it."""
    smuggled = b"GET /v1/status HTTP/1.1\r\n" + HEAD + b"\r\n"
    request = b"POST /v1/length HTTP/1.1\r\n" + HEAD + headers + b"\r\nhello" + smuggled
    found = answers_to(request)
    assert found.startswith((b"HTTP/1.1 4", b"HTTP/1.1 501"))
    assert found.count(b"HTTP/1.1 ") == 1, "what follows is not read"
    assert b"bzzz-1" not in found


def test_a_chunked_body_counts_over_a_length() -> None:
    """RFC 9112, section 6.3: then the length is ignored; the chunks end the request."""
    body = b"5\r\nhello\r\n0\r\n\r\n"
    both = b"Content-Length: 400\r\nTransfer-Encoding: chunked\r\n"
    found = answers_to(b"POST /v1/length HTTP/1.1\r\n" + HEAD + both + b"\r\n" + body)
    assert found.startswith(b"HTTP/1.1 200 "), found
    assert found.endswith(b"5")


@pytest.mark.parametrize("length", [20_000, 60_000, 600_000])
def test_a_head_that_is_too_large_is_refused_however_it_comes(length: int) -> None:
    """At once or in pieces, before the token counts."""
    long = b"X-Long: " + b"a" * length + b"\r\n\r\n"
    found = answers_to(b"GET /v1/status HTTP/1.1\r\n" + HEAD + long)
    assert not found or found.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))
    assert found.count(b"HTTP/1.1 ") <= 1
    assert b"bzzz-1" not in found


@pytest.mark.parametrize(
    "garbage",
    [b"\x16\x03\x01\x02\x00", b"\r\n" * 50 + b"?", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"],
)
def test_what_is_no_http_ends_the_connection(garbage: bytes) -> None:
    found = answers_to(garbage)
    assert not found or found.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 421 "))


def test_a_length_over_the_bound_is_refused_unread() -> None:
    said = f"Content-Length: {BODY_BYTES_MAX + 1}\r\n\r\n".encode()
    found = answers_to(b"POST /v1/length HTTP/1.1\r\n" + HEAD + said)
    head, _, body = found.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert json.loads(body)["error"]["code"] == "body_too_large"


def test_ipv6_loopback_works_as_ipv4_does() -> None:
    async def run() -> None:
        async with (
            serving(APP, "::1") as port,
            httpx.AsyncClient(base_url=f"http://[::1]:{port}") as http,
        ):
            answer = await http.get("/v1/status", headers={"authorization": "Bearer sesame"})
            assert (answer.status_code, answer.json()["node"]) == (200, "bzzz-1")

    asyncio.run(run())


# ---- where an agent listens


def reconfigured(tmp_path: Path, api_host: str) -> AgentConfig:
    return load_agent_config(founded(tmp_path), {"BZZZ_NETWORK__API_HOST": api_host})


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104  that is what is refused
def test_every_address_is_no_address(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="name the one that callers use"):
        outside_host(reconfigured(tmp_path, host))


@pytest.mark.parametrize(
    ("host", "local", "outside"),
    [
        ("127.0.0.1", "127.0.0.1", None),
        ("::1", "::1", None),
        ("localhost", "127.0.0.1", None),
        ("192.0.2.7", "127.0.0.1", "192.0.2.7"),
        ("2001:db8::7", "127.0.0.1", "2001:db8::7"),
    ],
)
def test_commands_always_find_the_api_on_loopback(
    tmp_path: Path, host: str, local: str, outside: str | None
) -> None:
    config = reconfigured(tmp_path, host)
    assert configured(config) == Place(local, config.network.ports.api)
    assert outside_host(config) == outside


def test_beyond_loopback_it_speaks_tls_with_the_nodes_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token never goes over a network in the clear; on loopback commands ask as before."""
    address = "127.0.0.2"  # Stands for one beyond loopback, which not every machine has.
    monkeypatch.setattr(server, "outside_host", lambda _config: address)
    config = reconfigured(tmp_path, "127.0.0.1")
    root = SecretsDirectory(Path(config.security.directory)).node_ca.read_text()
    port = config.network.ports.api
    place = f"{address}:{port}"

    async def run() -> None:
        api = AgentApi(APP, config, clock=SystemClock())
        async with asyncio.TaskGroup() as group:
            running = group.create_task(api.run())
            while not api.started:  # noqa: ASYNC110  uvicorn tells by a flag
                await asyncio.sleep(0)
            async with httpx.AsyncClient(verify=pinned_context(root), trust_env=False) as http:
                assert (await http.get(f"http://127.0.0.1:{port}/health/live")).status_code == 200
                answer = await http.get(
                    f"https://{place}/health/live", extensions={"sni_hostname": EVERY_NODE}
                )
                assert answer.status_code == 200
                with pytest.raises(httpx.HTTPError):
                    await http.get(f"http://{place}/health/live")
            async with httpx.AsyncClient(verify=ssl.create_default_context()) as stranger:
                with pytest.raises(httpx.ConnectError):
                    await stranger.get(f"https://{place}/health/live")
            running.cancel()

    asyncio.run(run())
