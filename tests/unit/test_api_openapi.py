"""The published description says what the code does, and nothing that is secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bzzz_core.api.openapi import describe, routes
from bzzz_core.api.operations import Operation, StreamOperation
from bzzz_core.cli import main
from tests.arch.tree import ROOT
from tests.fakes.api_node import TOKENS, ApiNode

PUBLISHED = ROOT / "docs/formats/openapi.json"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiNode]:
    with ApiNode(tmp_path_factory.mktemp("node")) as node:
        yield node


def inside(value: Any) -> Iterator[Any]:
    """Yield a value and all that lies in it."""
    yield value
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        yield from inside(part)


def test_what_is_published_is_what_the_code_offers(node: ApiNode) -> None:
    assert node.description() == PUBLISHED.read_text().rstrip("\n"), "run scripts/openapi"


def test_every_reference_leads_somewhere(node: ApiNode) -> None:
    document = describe(node.offers())
    for part in inside(document):
        if isinstance(part, dict) and "$ref" in part:
            found: Any = document
            for step in part["$ref"].removeprefix("#/").split("/"):
                found = found[step]


def test_every_route_is_described_once(node: ApiNode) -> None:
    document = describe(node.offers())
    ids = [one["operationId"] for one in inside(document) if _is_operation(one)]
    assert len(set(ids)) == len(ids) == len(node.offers()) + 3, "and three of health"


def test_every_route_says_what_it_takes_and_answers(node: ApiNode) -> None:
    """A route without types cannot be fuzzed, nor used by who has only the description."""
    bare = {
        (offer.method, offer.path)
        for offer in node.offers()
        if isinstance(offer, Operation) and offer.answers is None
    }
    assert bare == {("POST", "/v1/fabric/peers/{peer}/remove")}
    untaking = {
        offer.path
        for offer in node.offers()
        if isinstance(offer, Operation) and offer.method in {"PUT", "POST"} and not offer.takes
    }
    assert untaking == {"/v1/fabric/peers/{peer}/remove", "/v1/leave", "/v1/renew"}


def test_nothing_of_the_node_is_in_it(node: ApiNode, tmp_path: Path) -> None:
    """It is the same on every node, so it holds no name, path or token of one."""
    with ApiNode(tmp_path) as another:
        assert another.description() == node.description()
    assert not [token for token in TOKENS.values() if token in node.description()]


def test_a_stream_says_that_it_is_one() -> None:
    stream = StreamOperation(
        path="/v1/s/{id:path}", permission="events:read", summary="Go on", talk=pytest.fail
    )
    one = describe([stream])["paths"]["/v1/s/{id}"]["get"]
    assert one["x-websocket"] is True
    assert list(one["responses"]["200"]["content"]) == ["text/event-stream"]
    assert [row[:4] for row in routes(describe([stream])) if "/s/" in row[1]] == [
        ("GET, WebSocket", "/v1/s/{id}", "events:read", "viewer")
    ]


@pytest.mark.parametrize("command", ["openapi", "routes", "whoami"])
def test_commands_ask_the_agent(node: ApiNode, command: str) -> None:
    """Nobody answers here, which they say as every command does."""
    ended = CliRunner().invoke(main, ["api", command, "--config", str(node.file)])
    assert (ended.exit_code, ended.stdout) == (3, "")


def test_the_file_is_plain_json() -> None:
    assert json.loads(PUBLISHED.read_text())["openapi"] == "3.1.0"


def _is_operation(value: Any) -> bool:
    return isinstance(value, dict) and "operationId" in value
