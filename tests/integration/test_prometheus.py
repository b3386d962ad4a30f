"""A real Prometheus takes the rules, finds by them what the nodes find, and reads three agents."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from bzzz_core.alerts.machine import AlertMachine
from bzzz_core.alerts.prometheus import rule_file
from bzzz_core.alerts.rule import Rule
from bzzz_core.alerts.rules import RULES
from bzzz_core.clock import SystemClock
from bzzz_core.config.sections import AlertsConfig
from bzzz_core.demo.cluster import DemoCluster
from bzzz_core.telemetry.metrics_catalogue import Reading

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        None in {shutil.which("prometheus"), shutil.which("promtool")},
        reason="prometheus is not installed",
    ),
]
SHIPPED = Path(__file__).resolve().parents[2] / "docs" / "monitoring"
CONFIG = AlertsConfig()
STEP_S = 5
SOON_S = 40.0


def promtool(*words: str, cwd: Path) -> str:
    done = subprocess.run(
        ["promtool", *words], check=False, capture_output=True, text=True, cwd=cwd, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_what_is_shipped(tmp_path: Path) -> None:
    assert f"{len(RULES) + 1} rules found" in promtool(
        "check", "rules", str(SHIPPED / "bzzz.rules.yml"), cwd=tmp_path
    )
    for file in ("/etc/prometheus/bzzz-token", "/etc/prometheus/bzzz-node-ca.pem"):
        (tmp_path / Path(file).name).write_text("x")
    config = (SHIPPED / "prometheus.yml").read_text().replace("/etc/prometheus/", f"{tmp_path}/")
    (tmp_path / "prometheus.yml").write_text(config)
    shutil.copy(SHIPPED / "bzzz.rules.yml", tmp_path)
    promtool("check", "config", "--syntax-only", "prometheus.yml", cwd=tmp_path)


# ---- the same figures for both


def labels_of(rule: Rule) -> dict[str, str]:
    given = dict(rule.where)
    return {label: given.get(label, "one") for label in rule.metric.labels}


def step_of(rule: Rule, *, wrong: bool) -> float:
    """Return the figure, or how much it grows in a step; at the threshold nothing is wrong yet."""
    limit = rule.limit(CONFIG)
    if rule.window_s:
        return (limit + 1) * 2 * STEP_S / rule.window_s if wrong else 0.0
    if not wrong:
        return limit
    return limit * 1.02 + 0.01 if rule.above else limit * 0.9 - 0.01


def lasting_s(rule: Rule) -> int:
    return int(rule.for_s(CONFIG)) + rule.window_s + 4 * STEP_S


def series(rule: Rule, *, wrong: bool) -> dict[str, str]:
    """Return the figures of one job, which no other rule is about."""
    labels = {**labels_of(rule), "job": rule.name, "instance": "n1:8080"}
    text = ",".join(f'{name}="{value}"' for name, value in labels.items())
    step = step_of(rule, wrong=wrong)
    count = lasting_s(rule) // STEP_S + 10
    values = f"0+{step}x{count}" if rule.window_s else f"{step}+0x{count}"
    return {"series": f"{rule.metric.name}{{{text}}}", "values": values}


def firing(rule: Rule, *, wrong: bool) -> dict[str, Any]:
    labels = f'alertname="{rule.title}",alertstate="firing",job="{rule.name}"'
    expected = [{"labels": "{}", "value": 1}] if wrong else []
    return {
        "expr": f"count(ALERTS{{{labels}}})",
        "eval_time": f"{lasting_s(rule)}s",
        "exp_samples": expected,
    }


def case(*, wrong: bool) -> dict[str, Any]:
    return {
        "interval": f"{STEP_S}s",
        "input_series": [series(rule, wrong=wrong) for rule in RULES],
        "promql_expr_test": [firing(rule, wrong=wrong) for rule in RULES],
    }


def found_here(rule: Rule, *, wrong: bool) -> list[str]:
    machine = AlertMachine(RULES, node="n1", cluster="home")
    labels, step = tuple(labels_of(rule).values()), step_of(rule, wrong=wrong)
    alerts: list[str] = []
    for number in range(lasting_s(rule) // STEP_S + 1):
        value = number * step if rule.window_s else step
        reading = Reading(rule.metric, value, labels)
        now_ms = 1000 * STEP_S * number
        found = machine.look([reading], CONFIG, now_ms=now_ms, at="t")
        alerts = [alert.rule for alert in found]
    return alerts


def test_prometheus_and_the_nodes_find_the_same(tmp_path: Path) -> None:
    """Every rule is given figures that are wrong, and figures that are just right, for its time."""
    (tmp_path / "rules.yml").write_text(rule_file(CONFIG))
    cases = [case(wrong=wrong) for wrong in (True, False)]
    interval = f"{STEP_S}s"
    document = {"rule_files": ["rules.yml"], "evaluation_interval": interval, "tests": cases}
    (tmp_path / "tests.yml").write_text(json.dumps(document))
    assert "SUCCESS" in promtool("test", "rules", "tests.yml", cwd=tmp_path)
    for rule in RULES:
        assert rule.name in found_here(rule, wrong=True)
        assert rule.name not in found_here(rule, wrong=False)


# ---- three agents


@asynccontextmanager
async def prometheus(directory: Path, cluster: DemoCluster) -> AsyncIterator[httpx.AsyncClient]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (directory / "rules.yml").write_text(rule_file(CONFIG))
    token = directory / "token"
    token.write_text(cluster.agents[0].files.token.read_text().strip())
    targets = [f"127.0.0.1:{agent.files.api_port}" for agent in cluster.agents]
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [
            {
                "job_name": "bzzz-demo",
                "authorization": {"credentials_file": str(token)},
                "static_configs": [{"targets": targets}],
            },
            {
                "job_name": "stranger",
                "authorization": {"credentials": "a guess"},
                "static_configs": [{"targets": targets[:1]}],
            },
        ],
    }
    (directory / "prometheus.yml").write_text(json.dumps(config))
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        *("--config.file", str(directory / "prometheus.yml")),
        *("--storage.tsdb.path", str(directory / "data")),
        *("--web.listen-address", f"127.0.0.1:{port}"),
        "--log.level=error",
    )
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=5
        ) as client:
            yield client
    finally:
        process.terminate()
        await process.wait()


async def query(client: httpx.AsyncClient, text: str) -> list[dict[str, Any]]:
    try:
        answer = await client.get("/api/v1/query", params={"query": text})
    except httpx.TransportError:
        return []  # It starts.
    # While it starts it answers, but in words.
    return list(answer.json()["data"]["result"]) if answer.status_code == 200 else []


async def until(
    client: httpx.AsyncClient, text: str, holds: Callable[[list[float]], bool]
) -> list[dict[str, Any]]:
    deadline = time.monotonic() + SOON_S
    while True:
        found = await query(client, text)
        if holds([float(one["value"][1]) for one in found]):
            return found
        assert time.monotonic() < deadline, f"{text} is {found}"
        await asyncio.sleep(0.3)


def test_it_reads_three_agents_and_sees_one_of_them_die(tmp_path: Path) -> None:
    async def story() -> None:
        async with DemoCluster(
            agents=3, state_dir=tmp_path / "state", clock=SystemClock()
        ) as cluster:
            status = await cluster.elected()
            place = tmp_path / "prometheus"
            place.mkdir()
            async with prometheus(place, cluster) as client:
                await until(client, 'up{job="bzzz-demo"}', lambda values: values == [1] * 3)
                await until(client, "sum(bzzz_leader)", lambda values: values == [1])
                await until(client, 'up{job="stranger"}', lambda values: values == [0])
                await until(client, 'bzzz_members{state="alive"}', lambda v: v == [3] * 3)
                names = await query(client, "bzzz_build_info")
                assert {one["metric"]["node"] for one in names} == {"bzzz-1", "bzzz-2", "bzzz-3"}
                gone = next(a for a in cluster.agents if a.files.name != status.leader)
                gone.process.kill()
                alerts = 'ALERTS{alertname="BzzzNodeDead",alertstate="firing"}'
                (alert,) = await until(client, alerts, bool)
                assert alert["metric"]["job"] == "bzzz-demo"
                other = next(a for a in cluster.agents if a.process.returncode is None)
                token = other.files.token.read_text().strip()
                await sees(client, other.files.api_url, token, gone.files.name)

    asyncio.run(story())


async def sees(client: httpx.AsyncClient, url: str, token: str, name: str) -> None:
    """Look whether a node finds by itself that another one is dead."""
    headers = {"authorization": f"Bearer {token}"}
    deadline = time.monotonic() + SOON_S
    while True:
        found = (await client.get(f"{url}/v1/alerts", headers=headers)).json()
        if f"node_dead/{name}" in {alert["id"] for alert in found["alerts"]}:
            return
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.3)
