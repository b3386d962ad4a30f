"""Metrics: names that Prometheus expects, series that have a bound, a text that can be parsed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from bzzz_core.api.measured import NO_ROUTE, measured
from bzzz_core.collectors.requests import RequestFigures
from bzzz_core.errors import QuorumUnavailable
from bzzz_core.telemetry import metrics_catalogue as the
from bzzz_core.telemetry.histogram import Histogram
from bzzz_core.telemetry.loop_lag import KEPT_S, LOOK_S, STALL_S, LoopLag
from bzzz_core.telemetry.metrics import SERIES_MAX, Metrics, exposition
from bzzz_core.telemetry.metrics_catalogue import ALL, Metric, Reading
from bzzz_core.telemetry.metrics_process import of_process
from tests.fakes.virtual_time import pass_s, run

ROOT = Path(__file__).resolve().parents[2]
PERSONAL = {"node", "member", "peer", "address", "instance", "id", "key", "path", "reason_text"}
"""Labels with as many values as there are nodes, or as somebody cares to send."""


def parsed(text: bytes) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in plain(text.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


# ---- the catalogue


def test_names_are_those_that_prometheus_expects() -> None:
    names = [metric.name for metric in ALL]
    assert len(set(names)) == len(names)
    wrong = [
        metric.name
        for metric in ALL
        if (metric.kind == "counter") != metric.name.endswith("_total")
        or not re.fullmatch(r"(bzzz|process)_[a-z_]+", metric.name)
        or re.search(r"_(ms|percent|milliseconds|mb|kb)(_|$)", metric.name)
        or not metric.help.endswith(".")
    ]
    assert not wrong


def test_no_label_has_as_many_values_as_there_are_nodes() -> None:
    wrong = [m.name for m in ALL if set(m.labels) & PERSONAL and m is not the.BUILD_INFO]
    assert not wrong


def test_the_documentation_lists_every_metric_as_it_is() -> None:
    text = (ROOT / "docs" / "formats" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+?) \| (.+) \|$", text, re.MULTILINE)
    said = [
        (m.name, m.kind, ", ".join(f"`{label}`" for label in m.labels) or "-", m.help) for m in ALL
    ]
    assert rows == said


# ---- the text


GAUGE = Metric("bzzz_test", "gauge", "A gauge.", ("kind",))
COUNTER = Metric("bzzz_tests_total", "counter", "A counter.")
HISTOGRAM = Metric("bzzz_test_seconds", "histogram", "A histogram.", ("route",))


def test_the_text_says_what_was_read() -> None:
    histogram = Histogram((0.1, 1.0))
    for took_s in (0.05, 0.1, 0.5, 7.0):
        histogram.note(took_s)
    readings = [
        GAUGE.at(1.5, 'a "quoted"\nname'),
        GAUGE.at(True, "b"),  # noqa: FBT003  a truth is 1
        COUNTER.at(7),
        HISTOGRAM.boxes(histogram.boxes(), "/x"),
    ]
    text, media_type = exposition(readings)
    assert media_type.startswith("text/plain; version=0.0.4")
    found = parsed(text)
    assert found["bzzz_test"] == [({"kind": 'a "quoted"\nname'}, 1.5), ({"kind": "b"}, 1.0)]
    assert found["bzzz_tests_total"] == [({}, 7.0)]
    boxes = {labels["le"]: count for labels, count in found["bzzz_test_seconds_bucket"]}
    assert boxes == {"0.1": 2, "1": 3, "+Inf": 4}
    assert found["bzzz_test_seconds_count"] == [({"route": "/x"}, 4.0)]
    assert found["bzzz_test_seconds_sum"][0][1] == pytest.approx(7.65)


def test_openmetrics_is_answered_where_it_is_asked_for() -> None:
    accept = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5"
    text, media_type = exposition([COUNTER.at(7)], accept)
    assert media_type.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith(b"# EOF\n")
    assert {family.name for family in openmetrics(text.decode())} == {"bzzz_tests"}


@pytest.mark.parametrize("accept", ["", "*/*", "nonsense", ";;;,,,=", "a" * 100_000])
def test_whatever_is_accepted_gets_a_text(accept: str) -> None:
    text, media_type = exposition([COUNTER.at(7)], accept)
    assert media_type.startswith("text/plain")
    assert b"bzzz_tests_total 7.0" in text


def test_a_part_that_fails_is_left_out_and_the_rest_is_told() -> None:
    def failing() -> Iterator[Reading]:
        yield COUNTER.at(1)
        raise QuorumUnavailable("nobody answers")

    metrics = Metrics()
    metrics.add(failing, lambda: [GAUGE.at(1, "a")])
    assert GAUGE.at(1, "a") in metrics.readings()


def test_of_one_metric_there_are_only_so_many_series() -> None:
    metrics = Metrics()
    metrics.add(lambda: [GAUGE.at(1, str(number)) for number in range(SERIES_MAX + 5)])
    readings = metrics.readings()
    assert sum(reading.metric is GAUGE for reading in readings) == SERIES_MAX
    assert readings[-1] == the.SERIES_DROPPED.at(5)


# ---- the process


def test_the_process_is_read() -> None:
    readings = {reading.metric: reading.value for reading in of_process(LoopLag())()}
    assert readings[the.RESIDENT] > 1_000_000
    assert readings[the.OPEN_FDS] >= 3
    assert readings[the.CPU_SECONDS] > 0


def test_the_longest_delay_of_the_last_seconds_is_told_and_then_forgotten() -> None:
    lag = LoopLag()
    lag.note(0.5)
    for _ in range(int(KEPT_S / LOOK_S) - 1):
        lag.note(0.001)
    assert lag.longest_s == 0.5
    lag.note(0.001)
    assert lag.longest_s == 0.001
    assert lag.stalls == 1
    assert STALL_S <= 0.5


def test_an_idle_loop_has_no_delay() -> None:
    async def story() -> None:
        async with asyncio.TaskGroup() as group:
            lag = LoopLag()
            task = group.create_task(lag.run())
            await pass_s(10)
            task.cancel()
            assert lag.longest_s < 0.001

    run(story())


# ---- requests


async def ask(app: object, path: str, method: str = "GET") -> None:
    async def receive() -> dict[str, object]:
        return {"type": "http.request"}

    async def send(_message: object) -> None:
        return

    scope = {"type": "http", "path": path, "method": method}
    await app(scope, receive, send)  # type: ignore[operator]


class Route:
    """What a router leaves in the scope."""

    path = "/v1/nodes/{name}"


def answers(status: int, *, found: bool = True) -> object:
    async def app(scope: dict[str, object], _receive: object, send: object) -> None:
        if found:
            scope["route"] = Route()
        await send({"type": "http.response.start", "status": status})  # type: ignore[operator]

    return app


def counted(figures: RequestFigures) -> dict[tuple[str, ...], float]:
    return {r.labels: r.value for r in figures.collect() if r.metric is the.API_REQUESTS}


def test_requests_are_counted_by_the_route_that_matched_never_by_what_was_asked() -> None:
    figures = RequestFigures()

    async def story() -> None:
        app = measured(answers(200), figures.note)  # type: ignore[arg-type]
        await ask(app, "/v1/nodes/a")
        await ask(app, "/v1/nodes/b")
        lost = measured(answers(404, found=False), figures.note)  # type: ignore[arg-type]
        for number in range(1_000):
            await ask(lost, f"/{number}", method=f"M{number}")

    asyncio.run(story())
    assert counted(figures) == {
        ("/v1/nodes/{name}", "GET", "200"): 2,
        (NO_ROUTE, "other", "404"): 1_000,
    }


@pytest.mark.parametrize(("status", "denied"), [(200, 0), (401, 1), (403, 1), (404, 0), (429, 1)])
def test_who_is_not_let_in_is_counted(status: int, denied: int) -> None:
    figures = RequestFigures()
    asyncio.run(ask(measured(answers(status), figures.note), "/"))  # type: ignore[arg-type]
    assert next(figures.collect()) == the.API_DENIED.at(denied)


def test_an_app_that_fails_is_counted_as_a_failure() -> None:
    figures = RequestFigures()

    async def app(_scope: object, _receive: object, _send: object) -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        asyncio.run(ask(measured(app, figures.note), "/"))
    assert counted(figures) == {(NO_ROUTE, "GET", "500"): 1}
