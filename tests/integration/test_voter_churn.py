"""A voter that is demoted and promoted again and again, on real agents with real brokers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.test_demo import demo, status, wait

pytestmark = pytest.mark.integration
SETTLED_S_MAX = 90
"""Six times what is measured."""
STEP_S_MAX = 45
SHUT_OUT_S = 2.0
"""Brokers look at the registry four times a second, and reload within another second."""

Agent = dict[str, Any]


def ask(agent: Agent, method: str, path: str) -> Any:
    """Return what an agent's API answers, or None while it cannot."""
    token = Path(agent["token_file"]).read_text().strip()
    try:
        answer = httpx.request(
            method,
            agent["api_url"] + path,
            headers={"authorization": f"Bearer {token}"},
            timeout=20,
            trust_env=False,
        )
    except httpx.HTTPError:
        return None
    return answer.json() if answer.is_success else None


def nodes(agent: Agent) -> dict[str, dict[str, Any]]:
    found = ask(agent, "GET", "/v1/nodes")
    return {node["name"]: node for node in found["nodes"]} if found else {}


def at_rest(agents: list[Agent], voters: int) -> bool:
    """Return whether the leader has nothing left to do and this many brokers count."""
    view = status(agents[0])
    leader = next((agent for agent in agents if view and agent["name"] == view["leader"]), None)
    seen = ask(leader, "GET", "/v1/fabric") if leader else None
    if seen is None or seen["growth"] != "all is as it should be":
        return False
    fabric = seen["fabric"]
    return (
        len(fabric["peers"]) == voters
        and all(peer["online"] and peer["current"] for peer in fabric["peers"])
        and all(s["settled"] and s["replicas"] == voters for s in fabric["streams"])
    )


def insist(agent: Agent, method: str) -> None:
    """Ask until a leader does it: between two leaders it is refused."""
    wait(lambda: ask(agent, method, "/v1/leave") is not None, STEP_S_MAX)


def votes(agent: Agent, name: str, *, wanted: bool) -> Callable[[], bool]:
    return lambda: (nodes(agent).get(name) or {}).get("voter") is wanted


def led_anew(agent: Agent, term: int) -> dict[str, Any] | None:
    """Return the status of an agent that follows a leader of a later term."""
    view = status(agent) or {}
    return view if view.get("leader") and view["term"] > term else None


def counted(agent: Agent) -> int | None:
    """Return how many voters count in elections, as an agent knows them."""
    view = status(agent)
    return view and view["fabric"]["voters"]


@pytest.mark.journey
def test_a_voter_is_demoted_and_promoted_twice_within_seconds(tmp_path: Path) -> None:
    """Whoever stays is demoted first, as two members have one voter; each leave is called off."""
    with demo(tmp_path / "state", 3) as (_, agents):
        wait(lambda: at_rest(agents, 3), SETTLED_S_MAX)
        view = status(agents[0])
        assert view is not None
        known = nodes(agents[0])
        first, second = sorted(
            (agent for agent in agents if agent["name"] != view["leader"]),
            key=lambda agent: str(known[agent["name"]]["id"]),
        )
        for _ in range(2):
            insist(second, "POST")
            wait(votes(second, first["name"], wanted=False), STEP_S_MAX)
            insist(second, "DELETE")
            wait(votes(second, first["name"], wanted=True), STEP_S_MAX)
        wait(lambda: at_rest(agents, 3), SETTLED_S_MAX)
        assert all(node["state"] == "member" and node["voter"] for node in nodes(second).values())
        wait(lambda: all((status(agent) or {}).get("leader") for agent in agents), STEP_S_MAX)
        before = status(second)
        assert before is not None
        insist(second, "POST")
        view = wait(lambda: led_anew(second, before["term"]), STEP_S_MAX)
        assert view["leader_since_at"] > before["at"], "it counts from the term before"
        rest = [agent for agent in agents if agent is not second]
        wait(lambda: nodes(rest[0])[second["name"]]["state"] == "left", SETTLED_S_MAX)
        wait(lambda: at_rest(rest, 1), SETTLED_S_MAX)


@pytest.mark.journey
def test_a_voter_that_sleeps_through_its_demotion_learns_of_it(tmp_path: Path) -> None:
    """Its broker is shut out before the news reach it; it was cut off for ever (seen on hosts)."""
    with demo(tmp_path / "state", 3) as (_, agents):
        wait(lambda: at_rest(agents, 3), SETTLED_S_MAX)
        view = status(agents[0])
        assert view is not None
        known = nodes(agents[0])
        (leader,) = [agent for agent in agents if agent["name"] == view["leader"]]
        sleeper, leaver = sorted(
            (agent for agent in agents if agent is not leader),
            key=lambda agent: str(known[agent["name"]]["id"]),
        )
        insist(leaver, "POST")
        wait(lambda: counted(leader) == 1, STEP_S_MAX)
        os.kill(sleeper["pid"], signal.SIGSTOP)
        try:
            wait(votes(leader, sleeper["name"], wanted=False), STEP_S_MAX)
            time.sleep(SHUT_OUT_S)
        finally:
            os.kill(sleeper["pid"], signal.SIGCONT)
        wait(votes(sleeper, sleeper["name"], wanted=False), STEP_S_MAX)
        rest = [leader, sleeper]
        wait(lambda: nodes(sleeper)[leaver["name"]]["state"] == "left", STEP_S_MAX)
        wait(lambda: at_rest(rest, 1), SETTLED_S_MAX)
