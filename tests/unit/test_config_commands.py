"""`bzzz-agent config`: as an operator types it. The agent is a real HTTP server, or away."""

import asyncio
import json
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bzzz_core.cli import main
from bzzz_core.commands.config_change import who
from bzzz_core.config.node_file import being_changed
from tests.fakes.audits import acts
from tests.fakes.node_files import write_node_file

OLD = Path(__file__).parents[1] / "fixtures" / "agent-schema-1.yaml"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BZZZ_RESOURCES__LOG_LEVEL", "BZZZ_DHT_BACKEND"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A port nobody listens on: the agent does not run."""
    path = write_node_file(tmp_path)
    path.write_text(path.read_text().replace("18080", "1"))
    return path


def ask(path: Path, *words: str, **options: Any) -> Result:
    group, *rest = words
    command = ["config", group, *rest[: 1 if group == "secret" else 0]]
    left = rest[1 if group == "secret" else 0 :]
    place = [] if group in {"schema", "secret"} else ["--config", str(path)]
    return CliRunner().invoke(main, [*command, *place, *left], **options)


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_schema(path: Path) -> None:
    assert told(ask(path, "schema"))["x-environment"]["network.ports.api"] == [
        "BZZZ_NETWORK__PORTS__API"
    ]
    assert "hosts" in told(ask(path, "schema", "--answers"))["properties"]


def test_validate_says_file_and_line(path: Path) -> None:
    assert ask(path, "validate").output == f"{path}: valid\n"
    path.write_text(path.read_text().replace("address:", "adress:", 1))
    result = ask(path, "validate")
    assert result.exit_code == 2
    assert f"{path}:5: network.adress: unknown key; did you mean address?" in result.output


def test_show_says_where_each_value_comes_from(path: Path) -> None:
    environment = {"BZZZ_DHT_BACKEND": "hybrid"}
    found = told(ask(path, "show", "--json", "--set", "resources.log_level=debug", env=environment))
    by_key = {one["key"]: one for one in found["settings"]}
    assert by_key["resources.log_level"]["source"] == "flag"
    assert by_key["services.backends.dht"]["place"] == "BZZZ_DHT_BACKEND"
    assert by_key["network.ports.api"]["place"] == f"{path}:7"
    assert by_key["validation.watch_ms"] == {
        "key": "validation.watch_ms",
        "value": 1000,
        "source": "default",
        "place": "",
        "unit": "ms",
        "reloadable": True,
        "of_node": False,
    }
    text = ask(path, "show", "cluster.roster").output
    assert [line.split()[:3] for line in text.splitlines()] == [
        ["cluster.roster.beat_ms", "1000", "default"],
        ["cluster.roster.suspect_ms", "3000", "default"],
        ["cluster.roster.dead_ms", "8000", "default"],
    ]
    assert "did you mean cluster" in ask(path, "show", "clutser.roster.beat_ms").output


def test_env_lists_every_name_with_its_present_source(path: Path) -> None:
    found = told(ask(path, "env", "--json", env={"BZZZ_RESOURCES__LOG_LEVEL": "debug"}))
    by_name = {one["name"]: one for one in found}
    assert by_name["BZZZ_RESOURCES__LOG_LEVEL"]["source"] == "environment"
    assert by_name["BZZZ_NETWORK__ADDRESS"]["source"] == "file"
    assert by_name["BZZZ_DHT_BACKEND"]["alias"]
    assert "BZZZ_FALLBACK_ON_ERROR" in ask(path, "env").output


def test_diff_with_defaults_and_with_another_file(path: Path, tmp_path: Path) -> None:
    found = {one["key"]: one for one in told(ask(path, "diff", "--json"))}
    assert found["network.ports.api"] == {"key": "network.ports.api", "old": 8080, "new": 1}
    assert "resources.log_level" not in found
    other = tmp_path / "other.yaml"
    other.write_text(path.read_text().replace("api: 1 ", "api: 2 "))
    other.chmod(0o600)
    assert ask(path, "diff", "--with", str(other)).output == "network.ports.api: 2 -> 1\n"
    assert ask(path, "diff", "--with", str(path)).output == "no difference\n"
    assert ask(path, "diff", "--running").exit_code == 3


def test_set_and_unset_without_an_agent_write_file_and_audit(path: Path) -> None:
    before = path.read_text()
    result = ask(path, "set", "resources.log_level", "debug", "services.fallback", "yes")
    assert result.exit_code == 0, result.output
    assert "it will read this when it starts" in result.output
    assert "log_level: debug" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    first, second = acts(path.parent / "logs")
    assert (first["actor"], first["key"], first["old"], first["new"]) == (
        who(),
        "resources.log_level",
        None,
        "debug",
    )
    assert second["new"] is True
    assert ask(path, "unset", "resources.log_level", "services.fallback").exit_code == 0
    assert path.read_text() == before


def test_set_says_that_the_environment_covers_it(path: Path) -> None:
    environment = {"BZZZ_RESOURCES__LOG_LEVEL": "error"}
    result = ask(path, "set", "resources.log_level", "debug", env=environment)
    assert "covered by the environment (BZZZ_RESOURCES__LOG_LEVEL)" in result.output


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("resources.log_levle", "x"), 2, "did you mean resources.log_level?"),
        (("resources.log_level", "loud"), 2, "Input should be"),
        (("resources.log_level",), 2, "KEY VALUE pairs"),
        (("--revision", "0" * 16, "resources.log_level", "debug"), 1, "look again"),
        (("--cluster", "resources.log_level", "debug"), 3, "connection"),
        (("--cluster", "--revision", "x", "resources.log_level", "debug"), 2, "is a number"),
    ],
)
def test_a_wrong_set_changes_nothing(
    path: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    before = path.read_text()
    result = ask(path, "set", *words)
    assert (result.exit_code, message in result.output) == (code, True), result.output
    assert path.read_text() == before


def test_migrate(path: Path, tmp_path: Path) -> None:
    assert "nothing to do" in ask(path, "migrate").output
    old = tmp_path / "old.yaml"
    old.write_bytes(OLD.read_bytes())
    old.chmod(0o640)
    assert f"the old one is {old}.v1" in ask(old, "migrate").output


def test_secrets_come_from_standard_input_and_are_never_printed(tmp_path: Path) -> None:
    place = ("--directory", str(tmp_path))
    result = ask(tmp_path, "secret", "set", *place, "ai", input="hunter2-canary\n")
    assert (result.exit_code, result.output) == (0, "vault:ai\n")
    assert list(told(ask(tmp_path, "secret", "list", *place, "--json"))) == ["ai"]
    assert "vault:ai" in ask(tmp_path, "secret", "list", *place).output
    assert "65536" in ask(tmp_path, "secret", "set", *place, "b", input="x" * 65_537).output
    assert "UTF-8" in ask(tmp_path, "secret", "set", *place, "b", input=b"\xff").output
    assert ask(tmp_path, "secret", "remove", *place, "ai").output == "vault:ai removed\n"
    assert ask(tmp_path, "secret", "remove", *place, "ai").exit_code == 2
    locked = ("--directory", str(tmp_path / "locked"))
    result = ask(tmp_path, "secret", "set", *locked, "--passphrase", "a", input="x")
    assert "at a terminal" in result.output


class Agent:
    """Answers the API's configuration paths on loopback; what it answers is set by the test."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.heard: list[tuple[str, Any]] = []
        self.port = 0
        self.asked: Callable[[], None] = lambda: None
        self.hangs_up = False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        line = head.splitlines()[0].split()
        length = next(
            (int(h.split(":")[1]) for h in head.splitlines() if h.startswith("content-length")), 0
        )
        body = await reader.readexactly(length)
        what = f"{line[0].upper()} {line[1]}"
        self.heard.append((what, json.loads(body) if body else None))
        self.asked()
        if self.hangs_up:
            writer.close()
            return
        content = json.dumps(self.answers[what]).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n")
        writer.write(b"content-length: %d\r\n\r\n%s" % (len(content), content))
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@contextmanager
def running(agent: Agent) -> Iterator[None]:
    """Serve in a thread, because the command runs an event loop of its own."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        server = await asyncio.start_server(agent, "127.0.0.1", 0)
        agent.port = server.sockets[0].getsockname()[1]
        ready.set()
        async with server:
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(60)
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture
def agent(path: Path) -> Iterator[Agent]:
    agent = Agent()
    with running(agent):
        path.write_text(path.read_text().replace("api: 1 ", f"api: {agent.port} "))
        yield agent


CHANGE = {"key": "resources.log_level", "old": "info", "new": "debug"}
WAITS = {"key": "cluster.timings.rank_delay_ms", "old": 150, "new": 160}


def test_a_running_agent_is_asked_to_take_what_was_set(path: Path, agent: Agent) -> None:
    agent.answers["POST /v1/config/reload"] = {
        "revision": "r",
        "applied": [CHANGE],
        "waiting": [WAITS],
        "refused": "no such secret",
        "notes": [],
    }
    result = ask(path, "set", "resources.log_level", "debug")
    assert result.exit_code == 0, result.output
    assert "applied: resources.log_level: info -> debug" in result.output
    assert "restart needed: cluster.timings.rank_delay_ms: 150 -> 160" in result.output
    assert "the running agent refused it: no such secret" in result.output
    assert agent.heard == [("POST /v1/config/reload", {"by": who()})]


def test_nobody_else_takes_the_file_before_the_agent_was_asked(path: Path, agent: Agent) -> None:
    """The agent's watch looks at this, so that what applied is told to the one who set it."""
    seen: list[bool] = []
    agent.asked = lambda: seen.append(being_changed(path))
    agent.hangs_up = True
    result = ask(path, "set", "resources.log_level", "debug")
    assert (result.exit_code, seen) == (0, [True])
    assert "was asked and did not answer" in result.output
    assert "config diff --running" in result.output
    assert "when it starts" not in result.output
    assert not being_changed(path)


def test_set_for_the_cluster_goes_through_the_agent(path: Path, agent: Agent) -> None:
    before = path.read_text()
    agent.answers["PUT /v1/config"] = {
        "revision": 8,
        "applied": [CHANGE],
        "waiting": [],
        "refused": "",
        "notes": ["resources.log_level is set by the file here"],
    }
    words = ("set", "--cluster", "--revision", "7", "resources.log_level", "debug")
    output = ask(path, *words).output
    assert "cluster-wide revision 8\n" in output
    assert "set by the file here" in output
    ((_, body),) = agent.heard
    assert (body["scope"], body["revision"], body["changes"]) == (
        "cluster",
        7,
        {"resources.log_level": "debug"},
    )
    assert path.read_text() == before
    assert told(ask(path, "unset", "--cluster", "--json", "resources.log_level"))["revision"] == 8
    assert agent.heard[1][1]["changes"] == {"resources.log_level": None}


def test_history(path: Path, agent: Agent) -> None:
    past = {
        "number": 7,
        "key": "resources.log_level",
        "address": "ucxl://any:any@demo:config/resources/log_level",
        "before": None,
        "after": "debug",
        "at": "2026-01-01T00:00:00Z",
        "by": "root by API",
        "node": "n1",
    }
    agent.answers["GET /v1/config/history?key=resources.log_level"] = [past]
    output = ask(path, "history", "resources.log_level").output
    assert "resources.log_level: - -> debug  (root by API, node alpha)" in output
    assert told(ask(path, "history", "--json", "resources.log_level")) == [past]
    past["node"] = "forgotten"
    assert "node forgotten)" in ask(path, "history", "resources.log_level").output


def test_show_and_diff_ask_the_running_agent(path: Path, agent: Agent) -> None:
    setting = {
        "key": "resources.log_level",
        "value": "error",
        "source": "default",
        "place": "",
        "unit": "",
        "reloadable": True,
        "of_node": False,
    }
    agent.answers["GET /v1/config"] = {"settings": [setting], "waiting": [WAITS], "refused": "why"}
    output = ask(path, "show", "resources").output
    assert "restart needed: cluster.timings.rank_delay_ms" in output
    assert "refused it: why" in output
    assert ask(path, "show", "--running").output.split()[:2] == ["resources.log_level", "error"]
    assert ask(path, "diff", "--running").output == "resources.log_level: error -> info\n"
    agent.answers["GET /v1/config"] = {"settings": "x", "waiting": [], "refused": ""}
    assert "is not understood" in ask(path, "diff", "--running").output
