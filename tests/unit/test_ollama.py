"""The client of Ollama's API against an emulation of it on loopback."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.errors import ModelServerError, RequestTimeout, TransportError
from bzzz_core.integrations.ollama import REFUSAL_BYTES_MAX, Ollama, PullProgress, same_model
from tests.fakes.ollama_program import VERSION, Server, Store, layers_of


def size_of(name: str) -> int:
    return sum(map(len, layers_of(f"{name}:latest")))


SIZE = size_of("tiny")
Body = Callable[[Ollama], Coroutine[Any, Any, Any]]


class Leaping:
    """A clock that goes on by 40 s with each look."""

    def __init__(self) -> None:
        self.ms = 0

    def now_ms(self) -> int:
        self.ms += 40_000
        return self.ms

    async def sleep_ms(self, duration_ms: int) -> None:
        del duration_ms


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(("127.0.0.1", 0), Store(tmp_path))
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def ask(server: Server, body: Body, clock: Any = None) -> Any:
    async def run() -> Any:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        async with Ollama(url, clock=clock or SystemClock()) as ollama:
            return await body(ollama)

    return asyncio.run(run())


def pulled(server: Server, model: str, clock: Any = None, stall_s: int = 60) -> list[PullProgress]:
    """Pull a model and return every progress that was told."""
    told: list[PullProgress] = []
    ask(server, lambda o: o.pull(model, stall_s=stall_s, progress=told.append), clock)
    return told


def test_a_server_says_what_it_is_and_has(server: Server) -> None:
    assert ask(server, lambda o: o.version()) == VERSION
    assert ask(server, lambda o: o.stored()) == ()
    pulled(server, "tiny")
    (model,) = ask(server, lambda o: o.stored())
    assert (model.name, model.size) == ("tiny:latest", SIZE)
    assert ask(server, lambda o: o.loaded()) == ()
    assert ask(server, lambda o: o.details("tiny")).family == "none"


def test_a_pull_tells_bytes_over_all_layers(server: Server) -> None:
    told = pulled(server, "tiny")
    figures = [one.completed_bytes for one in told]
    assert figures == sorted(figures), "it never goes back"
    assert told[-1].status == "success"
    assert (told[-1].completed_bytes, told[-1].total_bytes, told[-1].layers) == (SIZE, SIZE, 2)


@pytest.mark.parametrize("name", ["missing", "broken"])
def test_an_error_within_an_answer_that_began_well_is_an_error(server: Server, name: str) -> None:
    with pytest.raises(ModelServerError) as caught:
        pulled(server, name)
    assert str(caught.value).startswith(f"{name}: ")
    assert "\x1b" not in str(caught.value)


def test_repeated_figures_are_no_progress(server: Server) -> None:
    """The real server repeats them many times a second while its registry hangs."""
    with pytest.raises(RequestTimeout, match="stalled: nothing arrived for 60 s"):
        pulled(server, "stalled", clock=Leaping())


def test_a_second_pull_goes_on_where_the_first_was_cut(server: Server) -> None:
    with pytest.raises(TransportError):
        pulled(server, "cut")
    before = server.received
    assert 0 < before < size_of("cut")
    told = pulled(server, "cut")
    assert told[-1].completed_bytes == size_of("cut")
    assert server.received == size_of("cut"), "nothing was fetched twice"


def test_a_pull_of_what_is_there_fetches_nothing(server: Server) -> None:
    pulled(server, "tiny")
    before = server.received
    pulled(server, "tiny")
    assert server.received == before


def test_who_stops_reading_stops_the_pull(server: Server) -> None:
    server.pause_s = 0.02

    async def body(ollama: Ollama) -> None:
        begun = asyncio.Event()
        pull = asyncio.create_task(
            ollama.pull("large", stall_s=60, progress=lambda _told: begun.set())
        )
        await begun.wait()
        pull.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pull

    ask(server, body)
    assert server.received < size_of("large")


def test_a_model_is_deleted_once(server: Server) -> None:
    pulled(server, "tiny")
    ask(server, lambda o: o.delete("tiny"))
    assert ask(server, lambda o: o.stored()) == ()
    with pytest.raises(ModelServerError, match="tiny: model 'tiny:latest' not found"):
        ask(server, lambda o: o.delete("tiny"))


def test_somebody_else_on_the_port_is_no_ollama(server: Server) -> None:
    async def body(_ollama: Ollama) -> None:
        url = f"http://127.0.0.1:{server.server_address[1]}/other"
        async with Ollama(url, clock=SystemClock()) as other:
            await other.version()

    with pytest.raises(TransportError, match="answered 404"):
        ask(server, body)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("llama3", "llama3:latest", True),
        ("hf.co:443/a/b", "hf.co:443/a/b:latest", True),
        ("llama3:8b", "llama3", False),
    ],
)
def test_no_tag_means_the_latest(first: str, second: str, same: bool) -> None:  # noqa: FBT001
    assert same_model(first, second) is same


class Unwilling(httpx.AsyncBaseTransport):
    """A server that never answers, or refuses with more words than anybody wants."""

    def __init__(self, *, status: int = 0, words: int | None = None) -> None:
        """Take its status, if it answers, and how many lines it says; None: no end of them."""
        self._status = status
        self._words = words
        self.said = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        del request
        if not self._status:
            await asyncio.Event().wait()
        return httpx.Response(self._status, content=self._lines())

    async def _lines(self) -> AsyncIterator[bytes]:
        while self._words is None or self.said < self._words:
            self.said += 1
            await asyncio.sleep(0)
            yield b"x" * 1_000 + b"\n"
        await asyncio.Event().wait()


def refused(transport: Unwilling, stall_s: int) -> None:
    async def run() -> None:
        async with (
            asyncio.timeout(60),
            Ollama("http://a", clock=SystemClock(), transport=transport) as ollama,
        ):
            await ollama.pull("tiny", stall_s=stall_s, progress=lambda _told: None)

    asyncio.run(run())


def test_a_pull_that_is_never_answered_is_given_up() -> None:
    with pytest.raises(RequestTimeout, match="tiny: no answer for 0 s"):
        refused(Unwilling(), 0)


def test_a_refusal_is_read_for_so_long_and_so_far_only() -> None:
    with pytest.raises(ModelServerError, match="tiny: 500"):
        refused(Unwilling(status=500, words=0), 0)
    endless = Unwilling(status=500)
    with pytest.raises(ModelServerError, match="tiny: 500"):
        refused(endless, 60)
    assert endless.said * 1_000 < 2 * REFUSAL_BYTES_MAX
