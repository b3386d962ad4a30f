"""Recordings: what was told is played again, at any speed, from anywhere; bad files are refused."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from bzzz_core.api.event_documents import Beat
from bzzz_core.errors import ConfigError
from bzzz_core.model import MemberState
from bzzz_tui import view
from bzzz_tui.recording import format as files
from bzzz_tui.recording.format import Recording, load
from bzzz_tui.recording.recorder import RecordedFeed, Recorder
from bzzz_tui.recording.replay import MINUTE_MS, ReplayClock, ReplayFeed
from bzzz_tui.recording.zstd import CompressionParameter, ZstdCompressor
from bzzz_tui.store import FeedEvent, Heard, Jump, Link, LinkPhase, Snapshot, Store
from tests.fakes import statuses
from tests.fakes.virtual_time import VirtualClock
from tests.fakes.virtual_time import run as run_virtually

FAILOVER = Path(__file__).parent.parent / "fixtures" / "recordings" / "failover.bzzzrec"
STARTED = "2026-11-29T11:00:00.000Z"


class HandClock:
    """Time that moves only when a test moves it."""

    def __init__(self) -> None:
        self.ms = 5_000

    def now_ms(self) -> int:
        return self.ms

    async def sleep_ms(self, duration_ms: int) -> None:
        await asyncio.sleep(duration_ms / 1_000)


class Shown:
    """A store that a replay feeds."""

    def __init__(self, recording: Recording, *, speed: float = 1.0) -> None:
        self.world = HandClock()
        self.clock = ReplayClock(self.world)
        self.store = Store(now_ms=0)
        self.events: list[FeedEvent] = []
        self.feed = ReplayFeed(recording, clock=self.clock, emit=self._take, speed=speed)

    def _take(self, event: FeedEvent) -> None:
        self.events.append(event)
        self.store.apply(event)

    def leader(self) -> str | None:
        return self.store.status.leader if self.store.status else None

    def state(self, name: str) -> MemberState | None:
        found = [row.member.state for row in self.store.rows.values() if row.member.name == name]
        return found[0] if found else None


def answered(t: int, term: int = 42) -> tuple[int, Snapshot]:
    status = statuses.status(term=term)
    return t, Snapshot(source="bzzz-1", status=status, received_ms=t)


def made(*events: tuple[int, Snapshot | Heard | Link]) -> Recording:
    header = files.Header(format="bzzz-recording", version=1, started_at=STARTED, program="0")
    return Recording(header=header, events=events, cut=False)


def write(path: Path, *lines: object, cut: int = 0, mode: int = ZstdCompressor.FLUSH_FRAME) -> Path:
    data = b"".join(
        (line if isinstance(line, bytes) else msgspec.json.encode(line)) + b"\n" for line in lines
    )
    compressed = ZstdCompressor().compress(data, mode=mode)  # type: ignore[arg-type]
    path.write_bytes(compressed[: len(compressed) - cut])
    return path


HEADER = {"format": "bzzz-recording", "version": 1, "started_at": STARTED, "program": "0.1.0"}


def test_a_recorded_failover_shows_what_was_to_be_seen_before_during_and_after() -> None:
    """Made by a demo of three nodes whose leader, bzzz-3, was killed after 10 s."""
    recording = load(FAILOVER)
    assert FAILOVER.stat().st_size < 100_000
    shown = Shown(recording)
    now = shown.clock.now_ms
    shown.feed.seek(9_000)
    assert shown.leader() == "bzzz-3"
    assert view.verdict(shown.store, now())[1] == "healthy"
    elected_ms = next(
        t for t, event in recording.events if isinstance(event, Heard) and t > 10_000
        and b'"leader":"bzzz-1"' in msgspec.json.encode(event.message)
    )  # fmt: skip
    shown.feed.seek(elected_ms)
    assert shown.leader() == "bzzz-1"
    assert shown.state("bzzz-3") is MemberState.ALIVE, "nobody has missed it yet"
    shown.feed.finish()
    assert shown.state("bzzz-3") is MemberState.DEAD
    assert view.verdict(shown.store, now())[2] == "bzzz-3 dead"
    assert shown.store.has_quorum()
    texts = [happening.text for happening in shown.store.events]
    story = ["bzzz-3 leads in term 1", "bzzz-1 leads in term 2", "bzzz-3 is held to be dead"]
    assert [text for text in texts if text in story] == story
    shown.feed.seek(9_000)
    assert shown.leader() == "bzzz-3"
    assert shown.state("bzzz-3") is MemberState.ALIVE
    assert "bzzz-1 leads in term 2" not in [happening.text for happening in shown.store.events]


def test_it_plays_in_the_tempo_in_which_it_was_recorded_or_faster() -> None:
    recording = made(answered(0), answered(1_000, 43), answered(61_000, 44))

    async def play(speed: float) -> list[tuple[float, int]]:
        clock = ReplayClock(VirtualClock())
        loop = asyncio.get_running_loop()
        seen: list[tuple[float, int]] = []

        def take(event: FeedEvent) -> None:
            assert isinstance(event, Snapshot)
            seen.append((round(loop.time() - began, 1), event.status.term))

        began = loop.time()
        feed = ReplayFeed(recording, clock=clock, emit=take, speed=speed)
        async with asyncio.TaskGroup() as group:
            playing = group.create_task(feed.run())
            await asyncio.sleep(120)
            playing.cancel()
        return seen

    assert run_virtually(play(1)) == [(0.0, 42), (1.0, 43), (61.0, 44)]
    assert run_virtually(play(10)) == [(0.0, 42), (0.1, 43), (6.1, 44)]


def test_held_still_it_does_not_grow_old_and_goes_on_where_it_was() -> None:
    recording = made(answered(0), answered(10_000, 43))

    async def play() -> None:
        clock = ReplayClock(VirtualClock())
        store = Store(now_ms=0)
        feed = ReplayFeed(recording, clock=clock, emit=lambda event: bool(store.apply(event)))
        async with asyncio.TaskGroup() as group:
            playing = group.create_task(feed.run())
            await asyncio.sleep(4)
            feed.pause()
            await asyncio.sleep(600)
            assert feed.paused
            assert store.age_ms(clock.now_ms()) == 4_000
            assert "paused" in feed.describe()
            feed.pause()
            await asyncio.sleep(7)
            assert store.status is not None
            assert store.status.term == 43
            assert feed.ended
            assert clock.now_ms() == 10_000, "time ends with the recording"
            playing.cancel()

    run_virtually(play())


def test_steps_go_from_one_thing_told_to_the_next_and_back() -> None:
    told = [event for _, event in load(FAILOVER).events if isinstance(event, Heard)]
    quiet = next(event for event in told if isinstance(event.message, Beat))
    recording = made(answered(0, 1), (500, quiet), answered(1_000, 2), answered(2_000, 3))
    shown = Shown(recording)
    seen = []
    for direction in (1, 1, 1, 1, -1, -1, 1):
        shown.feed.step(direction)
        assert shown.store.status is not None
        seen.append((shown.store.status.term, shown.feed.position_ms))
    story = [(1, 0), (2, 1_000), (3, 2_000)]
    assert seen == [*story, (3, 2_000), (2, 1_000), (1, 500), (2, 1_000)]
    assert shown.feed.paused


def test_minutes_are_skipped_both_ways_and_never_beyond_an_end() -> None:
    recording = made(*(answered(minute * MINUTE_MS, minute + 1) for minute in range(4)))
    shown = Shown(recording)
    where = []
    for by_ms in (MINUTE_MS, MINUTE_MS, -MINUTE_MS, 10 * MINUTE_MS, -10 * MINUTE_MS):
        shown.feed.skip(by_ms)
        assert shown.store.status is not None
        where.append((shown.feed.position_ms, shown.store.status.term))
    assert where == [(60_000, 2), (120_000, 3), (60_000, 2), (180_000, 4), (0, 1)]
    assert "11:00:00 of 11:00:00-" in shown.feed.describe()


def test_back_in_time_nothing_of_the_future_is_left() -> None:
    lost = Link(phase=LinkPhase.LOST, host="bzzz-1", since_ms=2_000, reason="gone")
    shown = Shown(made(answered(0), (2_000, lost)))
    shown.feed.seek(2_000)
    assert shown.store.link.phase is LinkPhase.LOST
    shown.feed.seek(1_000)
    assert shown.store.link.phase is not LinkPhase.LOST
    assert isinstance(shown.events[-1], Jump)
    assert not [e for e in shown.store.events if "no host answers" in e.text]


def test_an_empty_recording_is_played_without_complaint() -> None:
    shown = Shown(made())
    for act in (shown.feed.finish, shown.feed.pause, lambda: shown.feed.step(1)):
        act()
    shown.feed.step(-1)
    assert shown.feed.ended
    assert shown.store.status is None


class Telling:
    """A feed that tells a few things and waits."""

    def __init__(self, emit: Callable[[FeedEvent], None], *events: FeedEvent) -> None:
        self._emit = emit
        self._events = events
        self.hurried = 0

    def hurry(self) -> None:
        self.hurried += 1

    async def run(self) -> None:
        for event in self._events:
            self._emit(event)
        await asyncio.Event().wait()


def recorded(
    path: Path, *events: FeedEvent, seconds: float = 3, bytes_max: int = 1_000_000
) -> list[FeedEvent]:
    told: list[FeedEvent] = []

    async def run() -> None:
        recorder = Recorder(
            path, clock=VirtualClock(), started_at=STARTED, emit=told.append, bytes_max=bytes_max
        )
        feed = RecordedFeed(Telling(recorder.take, *events), recorder)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(feed.run())
            await asyncio.sleep(seconds)
            running.cancel()

    run_virtually(run())
    return told


def test_what_was_recorded_is_read_as_it_was_told(tmp_path: Path) -> None:
    path = tmp_path / "a.bzzzrec"
    link = Link(phase=LinkPhase.CONNECTED, host="bzzz-1", since_ms=0, retry_at_ms=9)
    heard = [event for _, event in load(FAILOVER).events if isinstance(event, Heard)]
    snapshot = answered(0)[1]
    told = recorded(path, link, *heard, snapshot)
    assert told[1:] == [*heard, snapshot]
    assert isinstance(told[0], Link)
    assert "recording to a.bzzzrec" in told[0].note
    recording = load(path)
    assert not recording.cut
    assert recording.header.started_at == STARTED
    events = [event for _, event in recording.events]
    assert events[0] == link
    assert [e.message for e in events if isinstance(e, Heard)] == [e.message for e in heard]
    assert events[-1] == snapshot
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_recording_never_takes_the_place_of_another_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bzzzrec"
    path.write_text("dear")
    with pytest.raises(ConfigError, match="there already"):
        recorded(path)
    assert path.read_text() == "dear"
    with pytest.raises(ConfigError, match="No such file"):
        recorded(tmp_path / "nowhere" / "a.bzzzrec")


def test_a_full_recording_ends_and_the_link_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.bzzzrec"
    link = Link(phase=LinkPhase.CONNECTED, host="bzzz-1", since_ms=0)
    told = recorded(path, link, *(answered(n, n)[1] for n in range(1, 50)), bytes_max=100)
    last = told[-1]
    assert isinstance(last, Link)
    assert last.note.startswith("recording ended at")
    assert len(load(path).events) == 50, "what was written can be read"


def test_a_program_that_was_killed_leaves_what_it_had_written(tmp_path: Path) -> None:
    path = write(tmp_path / "a", HEADER, {"t": 1, "link": {"phase": "lost", "host": None,
        "since_ms": 0}}, mode=ZstdCompressor.FLUSH_BLOCK)  # fmt: skip
    recording = load(path)
    assert recording.cut
    assert len(recording.events) == 1


def test_what_a_later_program_told_is_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path / "a", HEADER, {"t": 5, "weather": "fine"}, {"t": 9, "source": "x"})
    assert load(path).events == ()


def test_times_never_go_back(tmp_path: Path) -> None:
    link = {"phase": "lost", "host": None, "since_ms": 0}
    path = write(tmp_path / "a", HEADER, {"t": 500, "link": link}, {"t": 3, "link": link})
    assert [t for t, _ in load(path).events] == [500, 500]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([b"hello"], "not a recording"),
        ([], "not a recording"),
        ([{"format": "other", "version": 1, "started_at": "", "program": ""}], "not a recording"),
        ([HEADER | {"version": 2}], "reads up to 1"),
        ([HEADER, b"{"], "line 2"),
        ([HEADER, {"t": -1}], "line 2"),
        ([HEADER, {"t": 10**30}], "line 2"),
        ([HEADER, {"t": 1, "message": {"type": "snapshot"}}], "line 2"),
        ([HEADER, b"[" * 100_000], "line 2"),
    ],
)
def test_what_is_no_recording_is_refused_with_a_sentence(
    tmp_path: Path, lines: list[object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        load(write(tmp_path / "a", *lines))


def test_a_file_that_is_not_even_compressed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for data in (b"", b"plain text", bytes(range(256))):
        path.write_bytes(data)
        with pytest.raises(ConfigError, match="not a recording"):
            load(path)
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="directory"):
        load(tmp_path)


def test_a_bomb_does_not_go_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LINE_BYTES_MAX", 1_000_000)
    path = write(tmp_path / "line", HEADER, b"x" * 50_000_000)
    assert path.stat().st_size < 10_000
    with pytest.raises(ConfigError, match="a line is over"):
        load(path)
    monkeypatch.setattr(files, "TOTAL_BYTES_MAX", 1_000_000)
    line = {"t": 1, "junk": "x" * 1_000}
    path = write(tmp_path / "total", HEADER, *([line] * 50_000))
    assert load(path).cut
    monkeypatch.setattr(files, "ENTRIES_MAX", 10)
    link = {"phase": "lost", "host": None, "since_ms": 0}
    path = write(tmp_path / "many", HEADER, *([{"t": 1, "link": link}] * 100))
    recording = load(path)
    assert len(recording.events) == 10
    assert recording.cut


def test_a_window_that_would_take_too_much_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    options: dict[int, int] = {CompressionParameter.window_log: 30}
    compressor = ZstdCompressor(options=options)
    data = compressor.compress(msgspec.json.encode(HEADER) + b"\n", ZstdCompressor.FLUSH_BLOCK)
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="not a recording"):
        load(path)
