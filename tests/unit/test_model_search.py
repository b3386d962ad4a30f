"""Model servers in the network: found from here and from hosts, whatever answers there."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.config.schema import HostSpec
from bzzz_core.deploy import fleet as fleets
from bzzz_core.deploy import model_search
from bzzz_core.deploy.facts.network import Interface, InterfaceKind
from bzzz_core.deploy.model_search import HERE, Asks, FoundServer, ModelSearch, merged, read, wanted
from bzzz_core.deploy.remote import Completed
from bzzz_core.errors import HostUnreachable
from tests.fakes.deploy_goals import fresh, spec

TAGS = {"models": [{"name": "llama3:8b", "size": 5}, {"name": "qwen3:30b", "size": 6}]}


class ModelServer(ThreadingHTTPServer):
    """Speaks as much of Ollama's API as a search asks for, well or badly."""

    daemon_threads = True

    def __init__(self, version: bytes, tags: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.bodies = {"/api/version": version, "/api/tags": tags}
        self.asked: list[str] = []


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, ModelServer)
        self.server.asked.append(self.path)
        body = self.server.bodies.get(self.path, b"")
        self.send_response(302 if body.startswith(b"to:") else 200)
        if body.startswith(b"to:"):
            self.send_header("Location", body[3:].decode())
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def servers() -> Iterator[list[ModelServer]]:
    made: list[ModelServer] = []
    yield made
    for server in made:
        server.shutdown()
        server.server_close()


def start(servers: list[ModelServer], version: bytes, tags: bytes) -> int:
    server = ModelServer(version, tags)
    servers.append(server)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server.server_port


def from_here(*ports: int) -> tuple[FoundServer, ...]:
    return asyncio.run(model_search.from_here(Asks(("127.0.0.1",), ports), SystemClock()))


def from_host(*ports: int) -> tuple[FoundServer, ...]:
    """Run the hosts' program on this machine, and read what it prints."""
    asks = Asks(("127.0.0.1",), ports)
    words = ("20", "1.0", "64", ",".join(map(str, ports)), *asks.addresses)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", model_search._PROGRAM, *words],
        check=True,
        capture_output=True,
        timeout=40,
    )
    assert done.stderr == b""
    return read(done.stdout, asks)


Look = Callable[..., tuple[FoundServer, ...]]


@pytest.mark.parametrize("look", [from_here, from_host])
def test_a_server_is_known_by_its_version_and_lists_its_models(
    servers: list[ModelServer],
    look: Look,
) -> None:
    port = start(servers, b'{"version": "0.9.1"}', json.dumps(TAGS).encode())
    (found,) = look(port)
    assert (found.address, found.port, found.version) == ("127.0.0.1", port, "0.9.1")
    assert found.models == ("llama3:8b", "qwen3:30b")
    assert sorted(servers[0].asked) == ["/api/tags", "/api/version"]


@pytest.mark.parametrize("look", [from_here, from_host])
@pytest.mark.parametrize(
    "version",
    [
        b"",
        b"<html>a web server</html>",
        b'{"version": 7}',
        b'["version"]',
        b"[" * 100_000,
        b'{"version": "' + b"x" * 9_000_000,
        b"to:http://127.0.0.1:1/elsewhere",
    ],
    ids=["empty", "html", "number", "list", "nested", "endless", "redirect"],
)
def test_whoever_is_none_is_none(servers: list[ModelServer], version: bytes, look: Look) -> None:
    assert look(start(servers, version, b"{}")) == ()


@pytest.mark.parametrize("look", [from_here, from_host])
def test_names_steer_no_terminal_and_a_list_has_an_end(
    servers: list[ModelServer], look: Look
) -> None:
    tags = {"models": [{"name": "a\x1b[31m\nb"}] + [{"name": f"m{n}"} for n in range(900)]}
    (found,) = look(start(servers, b'{"version": "1\\u001b[2J"}', json.dumps(tags).encode()))
    assert (found.version, found.models[0]) == ("1 [2J", "a [31m b")
    assert len(found.models) == model_search.MODELS_MAX


def test_a_host_tells_only_of_what_it_was_asked_for() -> None:
    asks = Asks(("10.0.0.5",), (11434,))
    lines = [
        {"address": "10.0.0.5", "port": 11434, "version": "1", "models": ["m"]},
        {"address": "203.0.113.9", "port": 11434, "version": "1", "models": []},
        {"address": "10.0.0.5", "port": 22, "version": "1", "models": []},
        {"address": "10.0.0.5", "port": 11434, "version": "x" * 5000, "models": []},
        ["no server"],
    ]
    output = b"\n".join(json.dumps(line).encode() for line in lines) + b"\n" + b"[" * 50_000
    assert [(one.address, one.port) for one in read(output, asks)] == [("10.0.0.5", 11434)]


def line(address: str) -> Interface:
    kind = InterfaceKind.PHYSICAL
    return Interface(name="eth0", kind=kind, state="up", addresses=(address,))


def asked(prefix: int) -> Asks:
    facts = msgspec.structs.replace(fresh(1), interfaces=(line(f"10.0.0.1/{prefix}"),))
    return wanted(spec(1, ai={"servers": {"port": 11500}}), {"bzzz-1": facts})


def test_the_network_of_the_hosts_is_asked_at_the_ports_that_are_known() -> None:
    assert asked(28).ports == (11434, 11500)
    assert len(asked(28).addresses) == 14
    assert len(asked(24).addresses) == 254


def test_of_a_large_network_what_is_near_the_hosts_is_asked() -> None:
    addresses = asked(8).addresses
    assert len(addresses) == 254
    assert {address.rpartition(".")[0] for address in addresses} == {"10.0.0"}
    assert len(wanted(spec(1, network={"subnet": "10.0.0.0/23"}), {}).addresses) <= 256


def test_without_a_look_the_hosts_themselves_are_asked() -> None:
    assert wanted(spec(2), {}).addresses == ("10.0.0.1", "10.0.0.2")


def test_one_server_seen_from_several_places_is_one() -> None:
    asks = Asks(("10.0.0.5", "10.0.0.6"), (11434,))
    one = FoundServer(address="10.0.0.6", port=11434, version="1")
    two = FoundServer(address="10.0.0.5", port=11434, version="1")
    found = merged(asks, {HERE: (one,), "bzzz-1": (one, two), "bzzz-2": "no connection"})
    assert [(s.address, s.seen_from) for s in found.servers] == [
        ("10.0.0.5", ("bzzz-1",)),
        ("10.0.0.6", (HERE, "bzzz-1")),
    ]
    assert found.failures == ("bzzz-2: no connection",)
    assert found.servers[0].url == "http://10.0.0.5:11434"


class Fleet(fleets.Fleet):
    """A fleet whose hosts were all seen but one, which must not be asked."""

    def __init__(self, said: bytes) -> None:
        self.said = said
        self.asked: list[str] = []

    async def connected(self, host: HostSpec) -> Any:
        self.asked.append(host.name)
        if host.name == "bzzz-2":
            raise HostUnreachable("bzzz-2: no route")
        return self

    async def run(self, *_: str, **__: object) -> Completed:
        return Completed(0, self.said, b"")


def test_only_hosts_that_were_seen_look_and_one_that_fails_costs_its_own_view() -> None:
    said = b'{"address": "10.0.0.2", "port": 11434, "version": "0.9.1", "models": ["m"]}\n'
    fleet = Fleet(said)
    seen = {"bzzz-1": fresh(1), "bzzz-2": fresh(2)}
    answers = spec(3)

    async def go() -> ModelSearch:
        asks = wanted(answers, seen)
        assert "10.0.0.2" in asks.addresses
        return await model_search.search(answers, seen, fleet, SystemClock(), here=nobody)

    async def nobody(_asks: Asks, _clock: object) -> tuple[FoundServer, ...]:
        return ()

    found = asyncio.run(go())
    assert fleet.asked == ["bzzz-1", "bzzz-2"]
    assert [(one.address, one.seen_from) for one in found.servers] == [("10.0.0.2", ("bzzz-1",))]
    assert found.failures == ("bzzz-2: no route",)
    told = [finding.message for finding in model_search.findings(found)]
    assert told[0].startswith("a model server 0.9.1 is at http://10.0.0.2:11434 (m), reached from")
    assert len(told) == 2
