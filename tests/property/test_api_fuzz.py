"""The API under requests made from its own description, good and bad ones, on a real server.

An agent that never runs answers with its real handlers: configuration and hash table work on this
node's own files and memory; what needs the leader is refused after a moment. Whatever is asked, the
answer is a document that the description knows, and never a failure of ours.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import openapi as schemathesis_openapi
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bzzz_core import backbone, hash_table, leader_operations
from bzzz_core.api.documents import ErrorDocument
from bzzz_core.api.openapi import describe
from bzzz_core.api.operations import Operation
from bzzz_core.halt import operations as halt_operations
from bzzz_core.halt import wiring as halt_wiring
from bzzz_core.shared_config import service
from bzzz_core.telemetry import logs
from bzzz_core.telemetry.log_book import LogBook
from tests.fakes.api_node import TOKENS, ApiNode, serving

EXAMPLES = 5
"""Of each route and kind, for each run; the seed is fixed, so a failure comes again."""
SEED = 20_260_101
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
SOON_MS = 20


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiNode]:
    with pytest.MonkeyPatch.context() as patch:
        # Nobody will ever answer, so there is no use in waiting for it.
        patch.setattr(backbone, "_ASK_MS_MAX", SOON_MS)
        patch.setattr(service, "_READ_MS", SOON_MS)
        patch.setattr(hash_table, "_COPIES_S_MAX", SOON_MS / 1_000)
        patch.setattr(leader_operations, "_HISTORY_MS_MAX", SOON_MS)
        patch.setattr(halt_operations, "_DECIDE_MS_MAX", SOON_MS)
        patch.setattr(halt_operations, "EVERYWHERE_MS", SOON_MS)
        patch.setattr(halt_wiring, "_READ_MS", SOON_MS)
        # Its levels are among what is asked for, and belong to the process.
        patch.setattr(logs, "_book", LogBook())
        with ApiNode(tmp_path_factory.mktemp("node")) as node:
            yield node


@pytest.fixture(scope="module")
def url(node: ApiNode) -> Iterator[str]:
    with in_a_thread(node) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def in_a_thread(node: ApiNode) -> Iterator[int]:
    """Serve in a thread with a loop of its own: the fuzzer waits for its answers."""
    ready: list[int] = []
    begun, stop, loop = threading.Event(), asyncio.Event(), asyncio.new_event_loop()

    async def run() -> None:
        async with serving(node.app()) as port:
            ready.append(port)
            begun.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    try:
        assert begun.wait(60)
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@contextmanager
def where_anything_can_be_wrong(mode: GenerationMode) -> Iterator[None]:
    """Pass over a route that takes nothing, so that nothing about it can be wrong."""
    try:
        yield
    except Unsatisfiable:
        if mode is GenerationMode.POSITIVE:
            raise


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
def test_no_request_breaks_the_api(node: ApiNode, url: str, mode: GenerationMode) -> None:
    # A stream does not end, so the fuzzer would wait for it; its query has tests of its own.
    offers = [offer for offer in node.offers() if isinstance(offer, Operation)]
    document = describe(offers)
    del document["security"]  # Else half of what is wrong would be the token, which others try.
    schema = schemathesis_openapi.from_dict(document)
    headers = {"authorization": f"Bearer {TOKENS['admin']}"}
    asked: dict[str, int] = {}
    with requests.Session() as session:
        for found in schema.get_all_operations():
            operation = found.ok()

            @seed(SEED)
            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: schemathesis.Case) -> None:
                answer = case.call(base_url=url, session=session, headers=headers, timeout=20)
                name = f"{case.method} {case.path}"
                asked[name] = asked.get(name, 0) + 1
                assert answer.status_code != 500, answer.content
                assert answer.headers["x-request-id"]
                if answer.status_code >= 400:
                    assert msgspec.json.decode(answer.content, type=ErrorDocument).error.code
                case.validate_response(answer, checks=CHECKS)

            with where_anything_can_be_wrong(mode):
                ask()
    expected = len(offers) if mode is GenerationMode.POSITIVE else 15
    assert len(asked) >= expected, "each route was asked that can be"


def test_a_description_without_bounds_would_be_noticed(node: ApiNode) -> None:
    """The fuzzer is only as good as what it reads: bodies and queries are described."""
    document = describe(node.offers())
    taking = [
        one
        for methods in document["paths"].values()
        for one in methods.values()
        if "requestBody" in one or "parameters" in one
    ]
    assert len(taking) > 20
