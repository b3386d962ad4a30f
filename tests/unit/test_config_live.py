"""A running agent takes what it can, names what needs a restart, and survives what is wrong."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bzzz_core.config.changes import Changed, decide
from bzzz_core.config.live import LiveConfig, Outcome
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sources import load_agent_config, with_values
from bzzz_core.errors import ConfigError, TransportError
from tests.fakes.node_files import sources_of, write_node_file
from tests.fakes.virtual_time import VirtualClock, run

RELOADABLE, FIXED = "resources.log_level", "cluster.timings.rank_delay_ms"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_node_file(tmp_path)


@pytest.fixture
def config(path: Path) -> AgentConfig:
    return load_agent_config(path, {})


class Heard:
    """What the audit, the log and subscribers heard."""

    def __init__(self) -> None:
        self.audit: list[dict[str, Any]] = []
        self.log: list[str] = []
        self.told: list[str] = []

    def record(self, what: str, *, actor: str, **fields: object) -> None:
        self.audit.append({"what": what, "actor": actor, **fields})

    def report(self, what: str, fields: dict[str, object]) -> None:
        self.log.append(f"{what}: {fields}")

    async def follow(self, config: AgentConfig) -> None:
        self.told.append(config.resources.log_level)


def live_of(path: Path, heard: Heard, **options: Any) -> LiveConfig:
    async def usable(_config: AgentConfig) -> None:
        return

    return LiveConfig(
        lambda: sources_of(path).load().config,
        clock=VirtualClock(),
        audit=heard.record,
        watched=(path,),
        report=heard.report,
        **{"check": usable, **options},
    )


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_reloadable_value_is_taken_and_a_fixed_one_waits(config: AgentConfig) -> None:
    wanted = with_values(config, {RELOADABLE: "debug", FIXED: 160})
    found = decide(config, wanted)
    assert found.current == with_values(config, {RELOADABLE: "debug"})
    assert found.applied == (Changed(RELOADABLE, "info", "debug"),)
    assert found.waiting == (Changed(FIXED, 150, 160),)
    assert decide(found.current, wanted).applied == ()


def test_nothing_new_changes_nothing(config: AgentConfig) -> None:
    found = decide(config, config)
    assert (found.current, found.applied, found.waiting) == (config, (), ())


def test_who_what_old_and_new_are_audited_and_told(path: Path) -> None:
    heard = Heard()
    live = live_of(path, heard)
    live.subscribe(heard.follow, below="resources")
    live.subscribe(heard.follow, below="services")
    rewrite(path, "resources:", "resources:\n  log_level: debug")
    outcome = asyncio.run(live.reload("SIGHUP"))
    assert [change.key for change in outcome.applied] == [RELOADABLE]
    assert live.current.resources.log_level == "debug"
    assert heard.told == ["debug"]
    assert heard.audit == [
        {
            "what": "config changed",
            "actor": "SIGHUP",
            "key": RELOADABLE,
            "old": "info",
            "new": "debug",
        }
    ]


def test_a_value_that_needs_a_restart_is_named_once_and_can_be_taken_back(path: Path) -> None:
    heard = Heard()
    live = live_of(path, heard)
    rewrite(path, "id: c1", "id: c1\n  timings: {rank_delay_ms: 160}")
    asyncio.run(live.reload("x"))
    asyncio.run(live.reload("x"))
    assert [change.key for change in live.waiting] == [FIXED]
    assert live.current.cluster.timings.rank_delay_ms == 150
    assert [line["what"] for line in heard.audit] == ["config waits for a restart"]
    assert FIXED in heard.log[0]
    rewrite(path, "\n  timings: {rank_delay_ms: 160}", "")
    asyncio.run(live.reload("x"))
    assert live.waiting == ()


def test_a_wrong_file_changes_nothing_and_says_why_once(path: Path) -> None:
    heard = Heard()
    live = live_of(path, heard)
    before = live.current
    rewrite(path, "id: c1", "id: c1\n  timings: {detect_ms: 300}")
    for _ in range(2):
        outcome = asyncio.run(live.reload("file change"))
        assert "4 x heartbeat_ms" in outcome.refused
    assert live.current is before
    assert "4 x heartbeat_ms" in live.refused
    assert len(heard.audit) == len(heard.log) == 1
    rewrite(path, "\n  timings: {detect_ms: 300}", "")
    assert not asyncio.run(live.reload("file change")).refused
    assert live.refused == ""


def test_a_configuration_whose_secret_cannot_be_read_is_refused(path: Path) -> None:
    heard = Heard()
    live = live_of(path, heard, check=None)
    secret = path.parent / "secrets" / "api-token"
    assert not asyncio.run(live.reload("x")).refused
    secret.chmod(0o644)
    assert "security.api_token: " in asyncio.run(live.reload("x")).refused
    rewrite(path, "resources:", "validation: {check_secrets: false}\nresources:")
    assert not asyncio.run(live.reload("x")).refused


def test_a_subscriber_that_fails_keeps_nobody_from_hearing(path: Path) -> None:
    heard = Heard()
    live = live_of(path, heard)

    async def fail(_config: AgentConfig) -> None:
        raise TransportError("the fabric is away")

    live.subscribe(fail)
    live.subscribe(heard.follow)
    rewrite(path, "resources:", "resources:\n  log_level: debug")
    outcome = asyncio.run(live.reload("x"))
    assert outcome.failed == ("configuration: the fabric is away",)
    assert heard.told == ["debug"]
    assert live.counters == {"reloads": 1, "applied": 1, "failed": 1}


def test_the_watch_notices_content_mode_and_absence(path: Path) -> None:
    heard = Heard()

    async def story() -> list[int]:
        live = live_of(path, heard)
        seen = []
        async with asyncio.TaskGroup() as group:
            task = group.create_task(live.run())
            for step in (
                lambda: None,
                lambda: rewrite(path, "resources:", "resources:\n  log_level: debug"),
                lambda: path.chmod(0o600),
                path.unlink,
                lambda: None,
            ):
                step()
                await VirtualClock().sleep_ms(1_100)
                seen.append(live.counters["reloads"])
            task.cancel()
        return seen

    assert run(story()) == [0, 1, 2, 3, 3]
    assert heard.audit[0]["actor"] == "file change"
    assert "No such file" in heard.audit[-1]["reason"]


def test_a_subscriber_that_hangs_is_named_and_holds_up_nothing(path: Path) -> None:
    """Its wait is bounded: the next reload, whoever asks for it, needs the same lock."""
    heard = Heard()

    async def hangs(_config: AgentConfig) -> None:
        await asyncio.Event().wait()

    async def story() -> tuple[Outcome, int]:
        live = live_of(path, heard)
        live.subscribe(hangs, below=RELOADABLE)
        live.subscribe(heard.follow)
        rewrite(path, "resources:", "resources:\n  log_level: debug")
        return await live.reload("x"), VirtualClock().now_ms()

    outcome, now_ms = run(story())
    (failed,) = outcome.failed
    assert failed.startswith(f"{RELOADABLE}: ")
    assert failed.endswith("hangs did not take it within 5 s")
    assert (heard.told, now_ms) == (["debug"], 5_000)


def test_a_subscriber_s_own_timeout_is_its_bug(path: Path) -> None:
    async def story() -> None:
        live = live_of(path, Heard())
        live.subscribe(fails)
        rewrite(path, "resources:", "resources:\n  log_level: debug")
        await live.reload("x")

    async def fails(_config: AgentConfig) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        run(story())


def test_the_watch_leaves_a_change_to_the_command_that_makes_it(path: Path) -> None:
    """Else it would be whose reload comes first who is audited, and who is told what applied."""
    heard = Heard()
    at_work = True

    async def story() -> tuple[int, Outcome]:
        live = live_of(path, heard, being_changed=lambda: at_work)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(live.run())
            rewrite(path, "resources:", "resources:\n  log_level: debug")
            await VirtualClock().sleep_ms(9_500)
            before = live.counters["reloads"]
            outcome = await live.reload("operator")
            await VirtualClock().sleep_ms(20_000)
            task.cancel()
        assert live.counters["reloads"] == 1, "there was nothing more to notice"
        return before, outcome

    before, outcome = run(story())
    assert (before, [change.key for change in outcome.applied]) == (0, [RELOADABLE])
    assert [line["actor"] for line in heard.audit] == ["operator"]


def test_the_watch_does_not_wait_for_ever_for_a_command(path: Path) -> None:
    heard = Heard()

    async def story() -> None:
        live = live_of(path, heard, being_changed=lambda: True)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(live.run())
            rewrite(path, "resources:", "resources:\n  log_level: debug")
            await VirtualClock().sleep_ms(11_500)
            task.cancel()

    run(story())
    assert [line["actor"] for line in heard.audit] == ["file change"]


def test_the_watch_takes_its_own_new_pace(path: Path) -> None:
    async def story() -> int:
        live = live_of(path, Heard())
        async with asyncio.TaskGroup() as group:
            task = group.create_task(live.run())
            rewrite(path, "resources:", "validation: {watch_ms: 100}\nresources:")
            await VirtualClock().sleep_ms(1_050)
            rewrite(path, "resources:", "resources:\n  log_level: debug")
            await VirtualClock().sleep_ms(200)
            task.cancel()
        return live.counters["applied"]

    assert run(story()) == 2


def test_many_signals_are_few_reloads(path: Path) -> None:
    async def story() -> int:
        live = live_of(path, Heard())
        for _ in range(1_000):
            live.ask("SIGHUP")
        async with asyncio.TaskGroup() as group:
            task = group.create_task(live.run())
            await VirtualClock().sleep_ms(50)
            task.cancel()
        return live.counters["reloads"]

    assert run(story()) == 16


def test_taken_values_that_do_not_fit_to_waiting_ones_are_refused(
    config: AgentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No present pair of leaves can do this; a rule over both kinds is planted for the test."""

    def refuse(_config: AgentConfig, _values: object) -> AgentConfig:
        raise ConfigError("debug wants another delay")

    monkeypatch.setattr("bzzz_core.config.changes.with_values", refuse)
    found = decide(config, with_values(config, {RELOADABLE: "debug", FIXED: 160}))
    assert found.current == config
    assert found.refused == f"debug wants another delay, as long as a restart is due for {FIXED}"


def test_there_is_no_agent_without_a_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        live_of(tmp_path / "absent", Heard())


def test_what_would_be_taken_can_be_asked(path: Path, config: AgentConfig) -> None:
    live = live_of(path, Heard())
    found = live.would_take(with_values(config, {RELOADABLE: "debug", FIXED: 160}))
    assert ([c.key for c in found.applied], [c.key for c in found.waiting]) == (
        [RELOADABLE],
        [FIXED],
    )
    assert live.current == config
