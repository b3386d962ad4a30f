"""The demo is a real cluster: it elects, survives the loss of its leader, and leaves nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.integration
START_S_MAX = 60


@contextmanager
def demo(state: Path, agents: int) -> Iterator[tuple[subprocess.Popen[str], list[dict[str, Any]]]]:
    """Run a demo and yield it with the agents of its cluster.json."""
    argv = [sys.executable, "-m", "bzzz_tui.cli", "demo", "--headless", "--json"]
    process = subprocess.Popen(
        [*argv, "--agents", str(agents), "--state-dir", str(state)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait(lambda: (state / "cluster.json").exists() or process.poll() is not None, START_S_MAX)
        assert process.poll() is None, process.communicate()
        yield process, json.loads((state / "cluster.json").read_text())["agents"]
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=30)


def wait(condition: Callable[[], Any], seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {condition}")


def status(agent: dict[str, Any]) -> dict[str, Any] | None:
    token = Path(agent["token_file"]).read_text().strip()
    try:
        answer = httpx.get(
            agent["api_url"] + "/v1/status",
            headers={"authorization": f"Bearer {token}"},
            timeout=2,
            trust_env=False,
        )
    except httpx.HTTPError:
        return None
    body: dict[str, Any] = answer.json()
    return body


def settled(agents: list[dict[str, Any]]) -> dict[str, Any]:
    """Wait until the control stream is led elsewhere than the cluster, as the leader sees to it.

    Lose both at once and the brokers' own election comes on top, 4 to 9 s (docs/performance.md).
    """

    def apart() -> dict[str, Any] | None:
        view = status(agents[0])
        led_by = view and view["fabric"]["stream_leader"]
        return view if view and led_by not in {None, view["leader"]} else None

    found: dict[str, Any] = wait(apart, START_S_MAX)
    return found


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return True
    return state == "Z"  # Dead; whoever inherited it has not looked yet.


def member_state(seen_by: dict[str, Any], name: str) -> str:
    found = next(member for member in seen_by["members"] if member["name"] == name)
    return str(found["state"])


def test_for_seconds_prints_one_object(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "bzzz_tui.cli", "demo", "--headless", "--json", "--for", "10"]
    done = subprocess.run(
        [*argv, "--state-dir", str(tmp_path / "state")],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["agents"] == 3
    assert result["leader"] in {"bzzz-1", "bzzz-2", "bzzz-3"}
    assert result["term"] >= 1
    assert [member["state"] for member in result["members"]] == ["alive"] * 3
    assert 0 < result["elected_after_ms"] < START_S_MAX * 1000
    for number in (1, 2, 3):
        last_words = tmp_path / "state" / f"bzzz-{number}" / "logs" / "agent.err"
        assert last_words.stat().st_mode & 0o777 == 0o600
    cluster = json.loads((tmp_path / "state" / "cluster.json").read_text())
    for agent in cluster["agents"]:
        assert gone(agent["pid"]), "an agent outlived its demo"
        assert gone(agent["nats_pid"]), "a broker outlived its demo"


def test_a_killed_leader_is_replaced_and_shown_dead(tmp_path: Path) -> None:
    """Kill -9 of the leader and its broker: a higher term elsewhere, suspect, then dead."""
    with demo(tmp_path / "state", 3) as (_, agents):
        before = settled(agents)
        victim = next(agent for agent in agents if agent["name"] == before["leader"])
        survivors = [agent for agent in agents if agent is not victim]
        for pid in (victim["pid"], victim["nats_pid"]):
            os.kill(pid, signal.SIGKILL)

        def replaced() -> bool:
            seen = [status(agent) for agent in survivors]
            return all(
                view is not None
                and view["leader"] in {agent["name"] for agent in survivors}
                and view["leader_serving"]
                and view["term"] > before["term"]
                for view in seen
            )

        states: list[str] = []

        def dead() -> bool:
            view = status(survivors[0])
            if view is not None and "dead" not in states:
                states.append(member_state(view, victim["name"]))
            return "dead" in states

        wait(lambda: dead() and replaced(), START_S_MAX)
        assert states[-2:] == ["suspect", "dead"]


@pytest.mark.journey
def test_a_frozen_leader_steps_aside_and_comes_back_as_follower(tmp_path: Path) -> None:
    """SIGSTOP of agent and broker, as a paused machine looks to the others."""
    with demo(tmp_path / "state", 3) as (_, agents):
        before = settled(agents)
        victim = next(agent for agent in agents if agent["name"] == before["leader"])
        survivor = next(agent for agent in agents if agent is not victim)
        for pid in (victim["pid"], victim["nats_pid"]):
            os.kill(pid, signal.SIGSTOP)
        try:
            after = wait(
                lambda: (
                    (view := status(survivor))
                    and view["term"] > before["term"]
                    and view["leader_serving"]
                    and view
                ),
                START_S_MAX,
            )
        finally:
            for pid in (victim["pid"], victim["nats_pid"]):
                os.kill(pid, signal.SIGCONT)

        def healed() -> bool:
            views = [status(agent) for agent in agents]
            return (
                all(
                    view is not None
                    and view["term"] >= after["term"]
                    and view["leader"] is not None
                    and {m["state"] for m in view["members"]} == {"alive"}
                    for view in views
                )
                and len({(view or {})["leader"] for view in views}) == 1
            )

        wait(healed, START_S_MAX)


def test_children_die_with_a_killed_demo(tmp_path: Path) -> None:
    """Kill -9 of the demo itself leaves no agent and no broker behind."""
    with demo(tmp_path / "state", 3) as (process, agents):
        process.kill()
        process.wait(10)
        pids = [agent[key] for agent in agents for key in ("pid", "nats_pid")]
        wait(lambda: all(gone(pid) for pid in pids), 20)


def test_a_closed_terminal_leaves_no_keys_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGHUP, as a closed window sends it: processes and temporary directory are gone."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    argv = [sys.executable, "-m", "bzzz_tui.cli", "demo", "--headless"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait(lambda: list(tmp_path.glob("bzzz-demo-*/bzzz-3/agent.yaml")), START_S_MAX)
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.journey
@pytest.mark.parametrize("agents", [1, 4])
def test_other_sizes_elect_too(tmp_path: Path, agents: int) -> None:
    """One node alone is a cluster; the fourth of four is an edge without a broker."""
    with demo(tmp_path / "state", agents) as (_, found):
        assert len(found) == agents
        voters = [agent for agent in found if agent["nats_pid"] is not None]
        assert len(voters) == (1 if agents == 1 else 3)
        views = [status(agent) for agent in found]
        assert len({(view or {})["leader"] for view in views}) == 1
        edge = status(found[-1])
        assert edge is not None
        wait(lambda: {m["state"] for m in (status(found[-1]) or edge)["members"]} == {"alive"}, 10)


def test_a_used_state_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("do not touch")
    done = subprocess.run(
        [sys.executable, "-m", "bzzz_tui.cli", "demo", "--headless", "--state-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert (tmp_path / "mine").read_text() == "do not touch"
