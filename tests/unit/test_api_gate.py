"""What every request passes: its id, its bounds, its method, and how a bug is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import httpx
import msgspec
import pytest
from starlette.websockets import WebSocket

from bzzz_core.api.auth import Doorkeeper
from bzzz_core.api.http import build_app
from bzzz_core.api.limits import Hosts
from bzzz_core.api.operations import Call, Caller, Content, Operation, StreamOperation
from bzzz_core.config.secrets import Secret
from bzzz_core.telemetry import tracing
from tests.fakes import statuses

BEARER = {"authorization": "Bearer sesame"}
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Page(msgspec.Struct, frozen=True):
    limit: Annotated[int, msgspec.Meta(ge=1, le=9)] = 5


async def traced(_call: Call) -> dict[str, str]:
    now = tracing.current()
    return {"trace": now.trace, "request": now.request}


async def page(call: Call) -> int:
    return call.asked(Page).limit


async def plain(_call: Call) -> Content:
    return Content(b"a_metric 1\n", "text/plain; version=0.0.4")


async def broken(_call: Call) -> object:
    raise ZeroDivisionError("sesame stands in here")


async def talk(socket: WebSocket, caller: Caller) -> None:
    await socket.accept()
    await socket.send_text(caller.name)
    await socket.close()


OFFERS = (
    Operation("GET", "/v1/traced", traced, "status:read", "Traced"),
    Operation("POST", "/v1/traced", traced, "status:read", "Traced"),
    Operation("GET", "/v1/page", page, "status:read", "A page", query=Page),
    Operation("GET", "/v1/plain", plain, "status:read", "No document", answers=Content),
    Operation("POST", "/v1/broken", broken, "status:read", "A bug"),
    StreamOperation(path="/v1/talk", permission="status:read", summary="Talk", talk=talk),
)
APP = build_app(
    doorkeeper=Doorkeeper.of_one(Secret("sesame")),
    status=statuses.status,
    not_ready=tuple,
    operations=OFFERS,
    hosts=Hosts(),
)


def ask(check: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    async def run() -> None:
        transport = httpx.ASGITransport(app=APP)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost", headers=BEARER
        ) as http:
            await check(http)

    asyncio.run(run())


def test_a_request_keeps_its_id_and_its_trace() -> None:
    async def check(http: httpx.AsyncClient) -> None:
        headers = {"x-request-id": "mine-1", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
        answer = await http.get("/v1/traced", headers=headers)
        assert answer.json() == {"trace": TRACE, "request": "mine-1"}
        assert answer.headers["x-request-id"] == "mine-1"

    ask(check)


@pytest.mark.parametrize("odd", ["", "a b", "ä", "x" * 65, 'a"b', "../etc"])
def test_an_id_that_is_not_sane_is_replaced(odd: str) -> None:
    async def check(http: httpx.AsyncClient) -> None:
        headers = {"x-request-id": odd.encode(), "traceparent": odd.encode()}
        answer = await http.get("/v1/traced", headers=headers)
        made = answer.headers["x-request-id"]
        assert len(made) == 16
        assert answer.json()["request"] == made
        assert tracing.valid_trace(answer.json()["trace"])

    ask(check)


def test_a_refusal_names_the_request() -> None:
    async def check(http: httpx.AsyncClient) -> None:
        answer = await http.get("/v1/nowhere", headers={"x-request-id": "lost"})
        assert (answer.status_code, answer.json()["error"]["request"]) == (404, "lost")
        assert answer.headers["x-request-id"] == "lost"

    ask(check)


def test_a_bug_is_a_document_and_its_words_stay_in_the_log() -> None:
    async def check(http: httpx.AsyncClient) -> None:
        answer = await http.post("/v1/broken")
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (500, "internal")
        assert "ZeroDivisionError" in error["message"]
        assert "sesame" not in answer.text

    ask(check)


def test_methods_behave() -> None:
    async def check(http: httpx.AsyncClient) -> None:
        options = await http.options("/v1/traced", headers={"origin": "http://evil.example"})
        assert options.status_code == 204
        assert options.headers["allow"] == "GET, HEAD, OPTIONS, POST"
        assert not [name for name in options.headers if name.startswith("access-control")]
        head = await http.head("/v1/traced")
        assert (head.status_code, head.headers["content-type"]) == (200, "application/json")
        odd = await http.delete("/v1/traced")
        assert (odd.status_code, odd.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
        assert (await http.head("/v1/broken")).status_code == 405

    ask(check)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", 200),
        ("?limit=9", 200),
        ("?limit=10", 400),
        ("?limit=x", 400),
        ("?limit=", 400),
        ("?limit=1&limit=2", 400),
        ("?limt=1", 400),
        ("?limit=1&%00=%ff", 400),
    ],
)
def test_a_query_is_what_the_route_says_or_it_is_refused(query: str, code: int) -> None:
    async def check(http: httpx.AsyncClient) -> None:
        assert (await http.get(f"/v1/page{query}")).status_code == code

    ask(check)


def test_an_answer_need_not_be_a_document() -> None:
    async def check(http: httpx.AsyncClient) -> None:
        answer = await http.get("/v1/plain")
        assert answer.text == "a_metric 1\n"
        assert answer.headers["content-type"] == "text/plain; version=0.0.4"

    ask(check)


def test_nobody_is_sent_elsewhere() -> None:
    """A redirect for a slash too many would go to whatever host the caller named."""

    async def check(http: httpx.AsyncClient) -> None:
        assert (await http.get("/v1/traced/")).status_code == 404

    ask(check)


def sent_by(scope: dict[str, object]) -> list[dict[str, object]]:
    """Return what the app sends for a scope; it may hear of a connection, and of no body."""
    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    async def receive() -> dict[str, object]:
        assert scope["type"] == "websocket", "nobody reads the body"
        return {"type": "websocket.connect"}

    asyncio.run(APP(scope, receive, send))  # type: ignore[arg-type]
    return sent


@pytest.mark.parametrize("hosts", [["evil.example"], [], ["localhost", "evil.example"]])
def test_another_hosts_name_is_refused_before_the_token_counts(hosts: list[str]) -> None:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/health/live",
        "raw_path": b"/health/live",
        "query_string": b"",
        "headers": [(b"host", host.encode()) for host in hosts],
    }
    assert sent_by(scope)[0]["status"] == 421


def socket_scope(path: str, token: str, **more: object) -> dict[str, object]:
    return {
        "type": "websocket",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())],
        **more,
    }


def test_a_socket_opens_for_a_token() -> None:
    sent = sent_by(socket_scope("/v1/talk", "sesame"))
    assert [message["type"] for message in sent] == [
        "websocket.accept",
        "websocket.send",
        "websocket.close",
    ]
    assert sent[1]["text"] == "admin"


@pytest.mark.parametrize(
    ("path", "token", "code"), [("/v1/talk", "x", 401), ("/v1/nowhere", "sesame", 404)]
)
def test_a_socket_is_refused_before_it_opens(path: str, token: str, code: int) -> None:
    """With the document where the server can send one, else by its code alone."""
    (closed,) = sent_by(socket_scope(path, token))
    assert closed["type"] == "websocket.close"
    extensions = {"websocket.http.response": {}}
    start, body = sent_by(socket_scope(path, token, extensions=extensions))
    assert (start["type"], start["status"]) == ("websocket.http.response.start", code)
    assert b'"error"' in body["body"]  # type: ignore[operator]
