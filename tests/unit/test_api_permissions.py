"""Every route against every API role: who is let in, who is not, and that it is written down.

The routes come from the agent itself. A new one without a line in `LEAST` fails, so nobody can
forget to decide who may use it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import get_args

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from bzzz_core.api.about import everything
from bzzz_core.api.operations import Call, Caller, Offer, Operation, StreamOperation
from bzzz_core.api.permissions import OF_ROLE, PERMISSIONS, ROLES, Permission, least_role
from bzzz_core.model import ApiRole
from tests.fakes.api_node import TOKENS, ApiNode

LEAST: dict[tuple[str, str], ApiRole] = {
    ("GET", "/health/checks"): "viewer",
    ("GET", "/v1/status"): "viewer",
    ("GET", "/v1/members"): "viewer",
    ("GET", "/v1/members/{node}"): "viewer",
    ("GET", "/v1/whoami"): "viewer",
    ("GET", "/v1/version"): "viewer",
    ("GET", "/v1/openapi.json"): "viewer",
    ("GET", "/v1/config"): "operator",
    ("PUT", "/v1/config"): "admin",
    ("POST", "/v1/config/validate"): "operator",
    ("POST", "/v1/config/test"): "admin",
    ("POST", "/v1/config/reload"): "admin",
    ("GET", "/v1/config/history"): "operator",
    ("POST", "/v1/tokens"): "admin",
    ("GET", "/v1/tokens"): "admin",
    ("DELETE", "/v1/tokens/{token}"): "admin",
    ("GET", "/v1/nodes"): "viewer",
    ("POST", "/v1/nodes/{node}/revoke"): "admin",
    ("POST", "/v1/leave"): "admin",
    ("GET", "/v1/leave"): "viewer",
    ("DELETE", "/v1/leave"): "admin",
    ("POST", "/v1/renew"): "admin",
    ("POST", "/v1/trust"): "admin",
    ("GET", "/v1/dht"): "viewer",
    ("PUT", "/v1/dht/backend"): "admin",
    ("GET", "/v1/dht/value"): "operator",
    ("PUT", "/v1/dht/value"): "operator",
    ("GET", "/v1/dht/providers"): "operator",
    ("PUT", "/v1/dht/providers"): "operator",
    ("DELETE", "/v1/dht/providers"): "operator",
    ("GET", "/v1/leader"): "viewer",
    ("GET", "/v1/leader/history"): "viewer",
    ("POST", "/v1/leader/transfer"): "operator",
    ("POST", "/v1/leader/elect"): "operator",
    ("POST", "/v1/leader/release"): "operator",
    ("GET", "/v1/fabric"): "viewer",
    ("POST", "/v1/fabric/peers/{peer}/remove"): "admin",
    ("GET", "/v1/events"): "viewer",
    ("GET", "/v1/logs"): "viewer",
    ("GET", "/v1/logs/levels"): "viewer",
    ("PUT", "/v1/logs/level"): "operator",
    ("GET", "/v1/audit"): "operator",
    ("GET", "/v1/audit/head"): "operator",
    ("GET", "/v1/audit/checkpoints"): "operator",
    ("GET", "/v1/audit/proof/{seq}"): "operator",
    ("GET", "/v1/audit/denials"): "operator",
    ("POST", "/v1/audit/verify"): "operator",
    ("POST", "/v1/audit/accept"): "admin",
    ("GET", "/v1/halt"): "viewer",
    ("POST", "/v1/halt"): "operator",
    ("DELETE", "/v1/halt"): "operator",
    ("GET", "/v1/metrics"): "viewer",
    ("GET", "/metrics"): "viewer",
    ("GET", "/v1/alerts"): "viewer",
    ("GET", "/v1/alerts/rules"): "viewer",
}
"""Who may least and still use it."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiNode]:
    with ApiNode(tmp_path_factory.mktemp("node")) as node:
        yield node


async def done(_call: Call) -> str:
    return "done"


async def streamed(_request: Request, _caller: Caller) -> Response:
    return PlainTextResponse("done")


def harmless(offer: Offer) -> Offer:
    """Return the same route, answered without doing anything."""
    if isinstance(offer, Operation):
        return replace(offer, handler=done, query=None)
    return replace(offer, answer=streamed if offer.answer else None)


def method_of(offer: Offer) -> str:
    return offer.method if isinstance(offer, Operation) else "GET"


def on(node: ApiNode, check: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    async def run() -> None:
        harmless_ones = [harmless(offer) for offer in node.agent.operations()]
        transport = httpx.ASGITransport(app=node.app(harmless_ones))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            await check(http)

    asyncio.run(run())


def place_of(path: str) -> str:
    return path.replace("{node}", "one").replace("{token}", "t").replace("{peer}", "p")


def bearer(role: ApiRole) -> dict[str, str]:
    return {"authorization": f"Bearer {TOKENS[role]}"}


def test_somebody_decided_on_every_route_who_may_use_it(node: ApiNode) -> None:
    routes = {(method_of(offer), offer.path): offer.permission for offer in node.offers()}
    assert {route: least_role(permission) for route, permission in routes.items()} == LEAST


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_what_it_may_and_nothing_else(node: ApiNode, role: ApiRole) -> None:
    async def check(http: httpx.AsyncClient) -> None:
        for (method, path), least in LEAST.items():
            answer = await http.request(method, place_of(path), headers=bearer(role))
            allowed = ROLES.index(role) >= ROLES.index(least)
            refused = answer.status_code in {401, 403}
            assert refused is not allowed, (method, path, answer.status_code)

    on(node, check)


@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer x"}], ids=["none", "wrong"])
def test_without_a_known_token_no_route_answers(node: ApiNode, header: dict[str, str]) -> None:
    async def check(http: httpx.AsyncClient) -> None:
        seen = set()
        for method, path in LEAST:
            answer = await http.request(method, place_of(path), headers=header)
            seen.add(answer.status_code)
        assert seen == {401, 429}, "and who goes on guessing is slowed down"

    on(node, check)


def test_a_refusal_is_written_down_with_who_and_what(node: ApiNode) -> None:
    async def check(http: httpx.AsyncClient) -> None:
        node.audited.clear()
        answer = await http.post("/v1/leave", headers=bearer("operator"))
        assert answer.status_code == 403
        assert "nodes:write takes the role admin" in answer.json()["error"]["message"]
        ((what, fields),) = node.audited
        assert what == "API request refused", "the audit desk's rule against floods knows the word"
        assert fields["actor"] == "token operator"
        assert (fields["asked"], fields["route"]) == ("nodes:write", "POST /v1/leave")

    on(node, check)


def test_a_role_may_all_that_the_one_before_it_may() -> None:
    assert OF_ROLE["viewer"] < OF_ROLE["operator"] < OF_ROLE["admin"] == set(PERMISSIONS)
    assert get_args(ApiRole) == ROLES


def test_a_viewer_changes_nothing() -> None:
    assert all(permission.endswith(":read") for permission in OF_ROLE["viewer"])


def test_only_an_admin_can_make_itself_another_token() -> None:
    """Who writes the configuration names tokens; who revokes and rotates decides whom to trust."""
    own: set[Permission] = {"config:write", "tokens:write", "nodes:write", "trust:write"}
    assert not own & OF_ROLE["operator"]


def test_who_asks_is_told_what_it_may(node: ApiNode) -> None:
    async def check(http: httpx.AsyncClient) -> None:
        found = (await http.get("/v1/whoami", headers=bearer("viewer"))).json()
        assert (found["name"], found["role"]) == ("viewer", "viewer")
        assert set(found["permissions"]) == OF_ROLE["viewer"]

    on(node, check)


def test_a_stream_is_checked_like_everything_else(node: ApiNode) -> None:
    """Nothing of it runs before the caller was let in."""
    stream = StreamOperation(
        path="/v1/stream", permission="audit:read", summary="Go on", answer=streamed
    )

    async def run() -> None:
        transport = httpx.ASGITransport(app=node.app([stream]))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            for role, code in (("viewer", 403), ("operator", 200)):
                answer = await http.get("/v1/stream", headers=bearer(role))
                assert answer.status_code == code
            head = await http.head("/v1/stream", headers=bearer("admin"))
            assert (head.status_code, head.text) == (200, "")

    asyncio.run(run())


def test_a_description_holds_every_route(node: ApiNode) -> None:
    assert {(method_of(o), o.path) for o in everything(node.agent.status, ())} <= set(LEAST)
