"""Auditing holds up nobody, keeps its order and its promises, and cannot be flooded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from threading import Event, current_thread
from typing import Any

from bzzz_core.telemetry.audit import Audit
from bzzz_core.telemetry.audit_desk import ACTS_MAX, QUIET_MS, REFUSALS_MAX, AuditDesk
from bzzz_core.trust.audit_chain import Act, Author, parse
from bzzz_core.trust.denials import THRESHOLD
from bzzz_core.trust.keys import IdentityKey
from tests.fakes.audits import CLUSTER, acts, audit_at


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.ms = 0

    def now_ms(self) -> int:
        return self.ms

    async def sleep_ms(self, duration_ms: int) -> None:
        raise AssertionError(f"nobody waits here: {duration_ms}")


class SlowDisk(Audit):
    """An audit whose disk hangs until `goes` is set."""

    def __init__(self, logs: Path) -> None:
        author = Author(CLUSTER, IdentityKey.generate())
        super().__init__(logs / "audit", node="bzzz-1", author=author, now=lambda: "then")
        self.goes = Event()
        self.hangs = Event()
        self.writers: set[str] = set()
        self.writes = 0

    def write(self, some: Iterable[Act]) -> bool:
        self.hangs.set()
        assert self.goes.wait(30)
        self.writers.add(current_thread().name)
        self.writes += 1
        return super().write(some)


class Bench:
    def __init__(self, folder: Path, *, hangs: bool = False) -> None:
        self.path = folder / "audit"
        self.clock = Hand()
        self.disk = SlowDisk(folder)
        if not hangs:
            self.disk.goes.set()
        self.desk = AuditDesk(self.disk, clock=self.clock)

    def lines(self) -> list[dict[str, Any]]:
        return acts(self.path.parent)


def play(bench: Bench, story: Callable[[Bench], Awaitable[None]]) -> None:
    try:
        asyncio.run(story(bench))  # type: ignore[arg-type]
    finally:
        bench.desk.close()


def test_noting_waits_for_no_disk_and_answering_does(tmp_path: Path) -> None:
    """The loop sends heartbeats meanwhile; the act is on the disk before anybody hears of it."""

    async def story(bench: Bench) -> None:
        bench.desk.note("first", actor="a")
        await asyncio.to_thread(bench.disk.hangs.wait, 30)
        for number in range(100):
            bench.desk.note("act", actor="a", number=number)
        settled = asyncio.create_task(bench.desk.settled())
        for _ in range(100):
            await asyncio.sleep(0)
        assert not settled.done()
        assert not bench.path.exists()
        bench.disk.goes.set()
        await settled
        written = bench.lines()
        assert [line["what"] for line in written] == ["first", *["act"] * 100]
        assert [line["number"] for line in written[1:]] == list(range(100))
        assert bench.disk.writes == 2, "what waited went with one fsync"
        assert all(name.startswith("audit") for name in bench.disk.writers)

    play(Bench(tmp_path, hangs=True), story)


def test_nothing_owed_is_settled_without_a_thread(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.desk.settled()
        assert bench.disk.writers == set()

    play(Bench(tmp_path), story)


def test_of_many_refusals_of_one_actor_a_few_are_written_and_the_others_counted(
    tmp_path: Path,
) -> None:
    """One edge is refused a hundred times a second, and fifty megabytes are all there is."""

    async def story(bench: Bench) -> None:
        for _ in range(6_000):
            bench.desk.note("refused", actor="edge", reason="no voter")
        bench.desk.note("join refused", actor="edge", code="token_refused")
        bench.desk.note("refused", actor="edge", asked="node revoke", reason="no voter")
        bench.desk.note("refused", actor="another", reason="no voter")
        await bench.desk.settled()
        told = [line["actor"] for line in bench.lines() if line["what"].endswith("refused")]
        assert told == ["edge"] * (REFUSALS_MAX + 2) + ["another"]
        bench.clock.ms = QUIET_MS
        bench.desk.note("joined", actor="new")
        await bench.desk.settled()
        *_, counted, act = bench.lines()
        assert (counted["what"], counted["actor"]) == ("refused", "edge")
        assert counted["repeated"] == 6_000 - REFUSALS_MAX
        assert act["what"] == "joined"
        bench.desk.note("refused", actor="edge", reason="no voter")
        await bench.desk.settled()
        assert "repeated" not in bench.lines()[-1], "it is news again"

    play(Bench(tmp_path), story)


def test_what_was_kept_back_is_said_at_the_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for _ in range(REFUSALS_MAX + 3):
        bench.desk.note("renewal refused", actor="edge", code="not_enrolled")
    bench.desk.close()
    assert bench.lines()[-1]["repeated"] == 3


def test_a_flood_from_many_actors_is_bounded_and_pushes_no_act_out(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.desk.note("first", actor="a")
        await asyncio.to_thread(bench.disk.hangs.wait, 30)
        for number in range(20_000):
            bench.desk.note("refused", actor=f"edge-{number}")
        for number in range(ACTS_MAX // 2):
            bench.desk.note("revoked", actor="a", number=number)
        bench.disk.goes.set()
        await bench.desk.settled()
        written = bench.lines()
        acts = [line["number"] for line in written if line["what"] == "revoked"]
        assert acts == list(range(ACTS_MAX // 2))
        assert len(written) <= ACTS_MAX
        bench.clock.ms = QUIET_MS
        await bench.desk.settled()
        told = [line.get("repeated", 1) for line in bench.lines() if line["what"] == "refused"]
        assert sum(told) == 20_000, "each is written or counted"

    play(Bench(tmp_path, hangs=True), story)


def test_what_found_no_room_is_counted_in_the_audit_itself(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.desk.note("first", actor="a")
        await asyncio.to_thread(bench.disk.hangs.wait, 30)
        for _ in range(ACTS_MAX + 7):
            bench.desk.note("act", actor="a")
        bench.disk.goes.set()
        await bench.desk.settled()
        assert len(bench.lines()) == ACTS_MAX + 2
        assert (bench.desk.counters["taken"], bench.desk.lost) == (ACTS_MAX + 1, 7)
        assert (bench.lines()[-1]["what"], bench.lines()[-1]["count"]) == ("audit lines lost", 7)
        await bench.desk.settled()

    play(Bench(tmp_path, hangs=True), story)


def test_a_flood_of_refusals_is_counted_whole_and_raises_one_alarm(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        for number in range(THRESHOLD - 1):
            bench.desk.note("join refused", actor="edge", code=f"c{number}")
        assert bench.desk.alarms == ()
        for _ in range(5_000):
            bench.desk.note("call refused", actor="edge", asked="GET /v1/status")
        bench.desk.note("election message rejected", actor="me", sender="voter", offence="forged")
        await bench.desk.settled()
        (alarm,) = bench.desk.alarms
        assert "edge was refused 5019 times" in alarm
        assert [line["what"] for line in bench.lines()].count("denials past the threshold") == 1
        assert bench.desk.denials.totals["call refused"] == 5_000
        assert {one.actor: one.count for one in bench.desk.denied()} == {"edge": 5_019, "voter": 1}
        bench.clock.ms = bench.desk.denials.window_ms + 60_000
        assert bench.desk.alarms == ()

    play(Bench(tmp_path), story)


def test_an_entry_names_the_request_it_was_noted_for(tmp_path: Path) -> None:
    audit = audit_at(tmp_path)
    desk = AuditDesk(audit, clock=Hand(), trace=lambda: "ab" * 16)
    desk.note("act", actor="a", trace="a field of that name")
    desk.close()
    (line,) = (parse(raw) for _, raw, _ in list(audit.files.lines())[1:])
    assert (line.trace, line.fields) == ("ab" * 16, {"trace": "a field of that name"})
