"""The API lets nobody in without the token, and says what it means in documents."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest

from bzzz_core.api.auth import Doorkeeper
from bzzz_core.api.client import ApiClient
from bzzz_core.api.documents import ClusterRef, FabricStatus, MemberStatus, Status
from bzzz_core.api.http import build_app
from bzzz_core.api.operations import BODY_BYTES_MAX, Call, Operation
from bzzz_core.api.server import ApiServer
from bzzz_core.api.text import render
from bzzz_core.config.secrets import Secret
from bzzz_core.errors import ConfigError, PermissionDenied, RevisionConflict, TransportError
from bzzz_core.model import FabricState, MemberState, NodeId, Term

TOKEN = Secret("open sesame")
STATUS = Status(
    node="bzzz-1",
    node_id=NodeId("n1"),
    version="0",
    at="2026-01-01T00:00:00.000Z",
    uptime_s=5,
    cluster=ClusterRef("c", "demo"),
    leader="bzzz-1",
    leader_id=NodeId("n1"),
    leader_serving=True,
    leader_since_at="2026-01-01T00:00:00.000Z",
    term=Term(3),
    role="leader",
    members=(
        MemberStatus("bzzz-1", NodeId("n1"), MemberState.ALIVE, voter=True, address="192.0.2.1"),
    ),
    fabric=FabricStatus(FabricState.CONNECTED, "b", "bzzz-1", 3, 2),
)


def on_app(
    check: Callable[[httpx.AsyncClient], Awaitable[None]], *reasons: str, sick: tuple[str, ...] = ()
) -> None:
    async def run() -> None:
        app = build_app(
            doorkeeper=Doorkeeper.of_one(TOKEN),
            status=lambda: STATUS,
            not_ready=lambda: reasons,
            not_live=lambda: sick,
        )
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://agent") as http:
            await check(http)

    asyncio.run(run())


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", "Basic open sesame", "Bearer öpen"]
)
def test_without_the_token_nothing_is_told(header: str | None) -> None:
    async def check(http: httpx.AsyncClient) -> None:
        headers = {} if header is None else {"authorization": header.encode()}
        answer = await http.get("/v1/status", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"]["code"] == "unauthorized"
        assert "bzzz-1" not in answer.text

    on_app(check)


def test_with_the_token_the_status_is_told_and_not_cached() -> None:
    async def check(http: httpx.AsyncClient) -> None:
        answer = await http.get("/v1/status", headers={"authorization": "Bearer open sesame"})
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        body = answer.json()
        assert (body["leader"], body["term"]) == ("bzzz-1", 3)
        assert body["members"][0]["cpu_percent"] is None, "unknown is not zero"

    on_app(check)


def test_health_tells_why_without_a_token() -> None:
    async def check(http: httpx.AsyncClient) -> None:
        assert (await http.get("/health/live")).json() == {"status": "ok", "reasons": []}
        answer = await http.get("/health/ready")
        assert answer.status_code == 503
        assert answer.json()["reasons"] == ["no leader"]

    on_app(check, "no leader")


def test_a_node_that_is_not_ready_lives_and_the_summary_tells_the_worse_of_the_two() -> None:
    async def told(http: httpx.AsyncClient) -> dict[str, tuple[int, str]]:
        answers = {name: await http.get(name) for name in ("/health", "/health/live")}
        return {name: (a.status_code, a.json()["status"]) for name, a in answers.items()}

    async def waiting(http: httpx.AsyncClient) -> None:
        assert await told(http) == {"/health": (503, "not ready"), "/health/live": (200, "ok")}

    async def sick(http: httpx.AsyncClient) -> None:
        assert await told(http) == {
            "/health": (503, "not live"),
            "/health/live": (503, "not live"),
        }

    on_app(waiting, "no leader")
    on_app(sick, "no leader", sick=("memory is critical",))


@pytest.mark.parametrize(
    ("method", "path", "code"), [("GET", "/", 404), ("POST", "/v1/status", 405)]
)
def test_refusals_are_documents(method: str, path: str, code: int) -> None:
    async def check(http: httpx.AsyncClient) -> None:
        answer = await http.request(method, path)
        assert answer.status_code == code
        assert set(answer.json()["error"]) == {"code", "message", "request"}

    on_app(check)


@asynccontextmanager
async def served() -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    app = build_app(doorkeeper=Doorkeeper.of_one(TOKEN), status=lambda: STATUS, not_ready=tuple)
    async with asyncio.TaskGroup() as group:
        listener = ApiServer(app, host="127.0.0.1", port=port)
        server = group.create_task(listener.run())
        try:
            while not listener.started:  # noqa: ASYNC110  uvicorn tells by a flag
                await asyncio.sleep(0)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.cancel()


def test_client_and_server_agree() -> None:
    async def run() -> None:
        async with served() as url, ApiClient(url, token=TOKEN) as client:
            assert await client.status() == STATUS
            assert (await client.ready()).status == "ok"
        async with served() as url, ApiClient(url, token=Secret("x")) as client:
            with pytest.raises(PermissionDenied):
                await client.status()
        with pytest.raises(TransportError):
            async with ApiClient(url, token=TOKEN) as client:
                await client.status()

    asyncio.run(run())


def test_a_taken_port_is_said_plainly() -> None:
    """Not a traceback, not a silent exit: which address, which port, why."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        app = build_app(doorkeeper=Doorkeeper.of_one(TOKEN), status=lambda: STATUS, not_ready=tuple)
        with pytest.raises(ConfigError, match=f"port {port}: Address already in use"):
            asyncio.run(ApiServer(app, host="127.0.0.1", port=port).run())


def test_text_says_unknown_where_nothing_is_known() -> None:
    text = render(STATUS)
    assert "leader bzzz-1" in text
    assert "n/a" in text
    assert "never" in text


class Wish(msgspec.Struct):
    number: int


async def double(call: Call) -> object:
    return {"name": call.params["name"], "doubled": 2 * call.read(Wish).number}


async def fail(_call: Call) -> object:
    raise RevisionConflict("somebody was faster")


OPERATIONS = (
    Operation("POST", "/v1/double/{name}", double, "dht:write", "Double", takes=Wish),
    Operation("POST", "/v1/fail", fail, "dht:write", "Fail"),
)
AUTHORIZED = {"authorization": "Bearer open sesame"}


def on_operations(check: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    async def run() -> None:
        app = build_app(
            doorkeeper=Doorkeeper.of_one(TOKEN),
            status=lambda: STATUS,
            not_ready=list,
            operations=OPERATIONS,
        )
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://agent") as http:
            await check(http)

    asyncio.run(run())


def test_an_operation_wants_the_token_before_it_reads_anything() -> None:
    async def check(http: httpx.AsyncClient) -> None:
        answer = await http.post("/v1/double/x", content=b"{")
        assert answer.status_code == 401

    on_operations(check)


def test_an_operation_takes_its_path_and_body_and_answers_a_document() -> None:
    async def check(http: httpx.AsyncClient) -> None:
        answer = await http.post("/v1/double/x", headers=AUTHORIZED, content=b'{"number": 4}')
        assert (answer.status_code, answer.json()) == (200, {"name": "x", "doubled": 8})

    on_operations(check)


def test_what_was_done_is_written_down_before_it_is_answered() -> None:
    """And what only looks waits for nobody's audit."""
    order: list[str] = []

    async def act(_call: Call) -> object:
        order.append("done")
        return {}

    async def settled() -> None:
        order.append("written down")

    async def run() -> None:
        app = build_app(
            doorkeeper=Doorkeeper.of_one(TOKEN),
            status=lambda: STATUS,
            not_ready=list,
            operations=[
                Operation("POST", "/v1/act", act, "dht:write", "Act"),
                Operation("GET", "/v1/act", act, "dht:read", "Look"),
            ],
            settled=settled,
        )
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://agent") as http:
            await http.post("/v1/act", headers=AUTHORIZED)
            assert order == ["done", "written down"]
            await http.get("/v1/act", headers=AUTHORIZED)
            assert order == ["done", "written down", "done"]

    asyncio.run(run())


@pytest.mark.parametrize("body", [b"", b"{", b'{"number": "4"}', b"\xff", b"[" * 5_000])
def test_nonsense_in_a_body_is_a_refusal_not_a_crash(body: bytes) -> None:
    async def check(http: httpx.AsyncClient) -> None:
        answer = await http.post("/v1/double/x", headers=AUTHORIZED, content=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "request_invalid"

    on_operations(check)


def test_a_body_over_the_bound_is_refused() -> None:
    async def check(http: httpx.AsyncClient) -> None:
        content = b" " * (BODY_BYTES_MAX + 1)
        answer = await http.post("/v1/double/x", headers=AUTHORIZED, content=content)
        assert answer.status_code == 413

    on_operations(check)


def test_a_failure_keeps_its_code_and_gets_a_fitting_status() -> None:
    async def check(http: httpx.AsyncClient) -> None:
        answer = await http.post("/v1/fail", headers=AUTHORIZED)
        assert answer.status_code == 409
        assert answer.json()["error"]["code"] == "revision_conflict"

    on_operations(check)
