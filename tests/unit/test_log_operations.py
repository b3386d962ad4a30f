"""What the API answers about the log, and how levels are changed through it and change back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bzzz_core.api.event_documents import LogPage
from bzzz_core.api.log_operations import LevelsDocument, LogApi
from bzzz_core.api.log_text import render_levels, render_line
from bzzz_core.api.operations import Call
from bzzz_core.errors import RequestInvalid
from bzzz_core.telemetry.log_archive import NAME
from bzzz_core.telemetry.log_book import LogBook
from bzzz_core.telemetry.log_line import LEVELS
from bzzz_core.telemetry.log_ring import LogRing
from tests.fakes.log_surroundings import line
from tests.fakes.virtual_time import VirtualClock, run


class Desk:
    """The API of a node whose log holds at most four lines in memory."""

    def __init__(self, directory: Path) -> None:
        self.book = LogBook(ring=LogRing(lines_max=4), now=self._now)
        self.book.node, self.book.standard_error = "here", None
        self.directory = directory
        self.clock = VirtualClock()
        self.acts: list[tuple[str, dict[str, object]]] = []
        self.api = LogApi(
            self.book, directory=lambda: directory, clock=self.clock, audit=self._audit
        )
        self._handlers = {(one.method, one.path): one.handler for one in self.api.operations()}
        self._count = 0

    def _now(self) -> str:
        self._count += 1
        return line(self._count).at

    def _audit(self, what: str, *, actor: str, **fields: object) -> None:
        self.acts.append((what, {"actor": actor, **fields}))

    def log(self, *texts: str) -> None:
        with (self.directory / NAME).open("ab") as file:
            for text in texts:
                self.book.take("info", "agent", text, {})
                file.write(msgspec.json.encode(self.book.ring.newest()[-1]) + b"\n")

    async def lines(self, **query: object) -> LogPage:
        texts = {name: str(value) for name, value in query.items()}
        page: Any = await self._handlers["GET", "/v1/logs"](Call(params={}, query=texts, body=b""))
        assert isinstance(page, LogPage)
        return page

    async def level(self, **body: object) -> LevelsDocument:
        call = Call(params={}, query={}, body=msgspec.json.encode(body))
        answer: Any = await self._handlers["PUT", "/v1/logs/level"](call)
        assert isinstance(answer, LevelsDocument)
        return answer

    def floor(self, component: str) -> str:
        return {number: name for name, number in LEVELS.items()}[self.book.levels.floor(component)]


def play(directory: Path, story: Callable[[Desk], Awaitable[None]]) -> None:
    async def whole() -> None:
        desk = Desk(directory)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(desk.api.run())
            await desk.clock.sleep_ms(1)
            await story(desk)
            task.cancel()

    run(whole())


def texts(page: LogPage) -> list[str]:
    return [one.text for one in page.lines]


def test_the_newest_lines_come_from_memory_and_older_ones_from_the_files(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.log(*"abcdefgh")
        page = await desk.lines(limit=3)
        assert (texts(page), page.next, page.node, page.life) == (
            ["f", "g", "h"],
            8,
            "here",
            desk.book.life,
        )
        assert texts(await desk.lines(limit=6)) == list("cdefgh")
        assert texts(await desk.lines(text="B")) == ["b"]
        assert texts(await desk.lines(text="[ag]", regex="true")) == ["a", "g"]
        (desk.directory / NAME).unlink()
        assert texts(await desk.lines(limit=6)) == list("efgh")

    play(tmp_path, story)


def test_a_reader_that_follows_gets_what_came_and_hears_what_it_missed(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        assert (await desk.lines(after=0)).next == 0
        desk.log("a", "b")
        page = await desk.lines(after=0)
        assert (texts(page), page.next, page.lost) == (["a", "b"], 2, 0)
        assert ((await desk.lines(after=2)).lines, (await desk.lines(after=2)).next) == ((), 2)
        desk.log(*"cdefgh")
        page = await desk.lines(after=2, limit=2)
        assert (texts(page), page.next, page.lost) == (["e", "f"], 6, 2)
        page = await desk.lines(after=6, text="h")
        assert (texts(page), page.next) == (["h"], 8)
        assert (await desk.lines(after=6, text="x")).next == 8, "what was passed over was seen"

    play(tmp_path, story)


@pytest.mark.parametrize(
    "query", [{"level": "loud"}, {"limit": 1_001}, {"after": -1}, {"text": "(", "regex": "true"}]
)
def test_questions_that_cannot_be_are_refused(tmp_path: Path, query: dict[str, object]) -> None:
    async def story(desk: Desk) -> None:
        with pytest.raises(RequestInvalid):
            await desk.lines(**query)

    play(tmp_path, story)


def test_a_wish_holds_for_its_time_and_is_audited_with_its_end(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        document = await desk.level(component="dht", level="debug", for_s=60, by="anna")
        found = next(one for one in document.components if one.component == "dht")
        assert (found.level, found.configured, found.wished, found.left_s) == (
            "debug",
            "info",
            True,
            60,
        )
        assert "wished for 60 s yet, then info" in render_levels(document, of="dht")
        await desk.clock.sleep_ms(59_000)
        assert desk.floor("dht") == "debug"
        await desk.clock.sleep_ms(2_000)
        assert desk.floor("dht") == "info"
        assert [(act["component"], act["level"]) for _, act in desk.acts] == [
            ("dht", "debug"),
            ("dht", None),
        ]
        assert "anna" in str(desk.acts[0][1]["actor"])
        assert desk.acts[1][1]["actor"] == "time"

    play(tmp_path, story)


def test_a_shorter_wish_that_comes_later_ends_sooner(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.level(component="dht", level="debug", for_s=600)
        await desk.level(component="fabric", level="debug", for_s=5)
        await desk.clock.sleep_ms(6_000)
        assert (desk.floor("dht"), desk.floor("fabric")) == ("debug", "info")
        await desk.level(component="dht", level=None)
        assert desk.floor("dht") == "info"

    play(tmp_path, story)


def test_a_wish_for_all_and_unknown_names(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.level(level="error")
        assert desk.floor("roster") == "error"
        with pytest.raises(RequestInvalid, match=r"did you mean roster"):
            await desk.level(component="rooster", level="debug")
        for wrong in ({"level": "loud"}, {"level": "info", "for_s": 0}, {}):
            with pytest.raises(RequestInvalid):
                await desk.level(**wrong)

    play(tmp_path, story)


def test_lines_as_text_are_one_row_each_but_for_exceptions_and_cannot_draw_on_the_terminal() -> (
    None
):
    plain = line(1, "member", component="roster", was="alive", reason='said "no" = never')
    assert render_line(plain) == (
        "2026-01-15T00:00:01.000Z info    roster     member was=alive"
        ' reason="said \\"no\\" = never"'
    )
    hostile = line(2, "x\x1b[2J\r\n", trace="a" * 32, exception="Traceback\n  b\x07")
    assert render_line(hostile).split("\n") == [
        f"2026-01-15T00:00:02.000Z info    agent      x\\x1b[2J\\x0d\\x0a trace={'a' * 32}",
        "    Traceback",
        "      b\\x07",
    ]
