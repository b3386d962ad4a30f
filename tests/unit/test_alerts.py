"""Alerts: found after their time, kept for theirs, one id for one matter, words with figures."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from bzzz_core.alerts.machine import ALERTS_MAX, AlertMachine
from bzzz_core.alerts.prometheus import rule_file
from bzzz_core.alerts.rule import KEEP_S, Rule, constant
from bzzz_core.alerts.rules import RULES
from bzzz_core.alerts.service import Alerts
from bzzz_core.api.event_documents import AlertDocument
from bzzz_core.config.sections import AlertsConfig
from bzzz_core.telemetry import metrics_catalogue as the
from bzzz_core.telemetry.metrics_catalogue import Metric, Reading
from tests.fakes.virtual_time import VirtualClock, run

ROOT = Path(__file__).resolve().parents[2]
CONFIG = AlertsConfig()
LEVEL = Metric("bzzz_level", "gauge", "A level.", ("place",))
COUNT = Metric("bzzz_things_total", "counter", "Things.")


def rule(**more: object) -> Rule:
    fields: dict[str, object] = {
        "name": "level_high",
        "severity": "warning",
        "scope": "node",
        "metric": LEVEL,
        "limit": constant(0.8),
        "for_s": constant(10),
        "per": "place",
        "unit": "%",
        "words": "{subject} is at {value} (above {threshold})",
        "next_step": "look at {subject}",
    }
    return Rule(**{**fields, **more})  # type: ignore[arg-type]


class Watch:
    """A machine with its own seconds."""

    def __init__(self, *rules: Rule) -> None:
        """Start at zero."""
        self.machine = AlertMachine(rules, node="n1", cluster="home")

    def look(self, at_s: float, *readings: Reading) -> list[AlertDocument]:
        """Look once."""
        now_ms = int(at_s * 1000)
        return list(self.machine.look(readings, CONFIG, now_ms=now_ms, at=f"t{at_s:g}"))


def test_what_lasts_long_enough_is_an_alert_with_figures() -> None:
    watch = Watch(rule())
    assert watch.look(0, LEVEL.at(0.9, "data")) == []
    assert watch.look(9, LEVEL.at(0.9, "data")) == []
    (alert,) = watch.look(10, LEVEL.at(0.95, "data"))
    assert (alert.id, alert.rule, alert.subject, alert.node) == (
        "level_high/n1/data",
        "level_high",
        "data",
        "n1",
    )
    assert alert.words == "data is at 95 % (above 80 %)"
    assert alert.next_step == "look at data"
    assert (alert.value, alert.threshold, alert.since_at) == (0.95, 0.8, "t0")


def test_what_comes_and_goes_before_its_time_is_none() -> None:
    watch = Watch(rule())
    for second in range(0, 100, 6):
        assert watch.look(second, LEVEL.at(0.9, "data")) == []
        assert watch.look(second + 3, LEVEL.at(0.7, "data")) == []


def test_an_alert_stays_for_a_while_so_that_what_comes_and_goes_is_one() -> None:
    watch = Watch(rule(for_s=constant(0)))
    (alert,) = watch.look(0, LEVEL.at(0.9, "data"))
    assert watch.look(KEEP_S - 1, LEVEL.at(0.1, "data")) == [alert]
    (again,) = watch.look(KEEP_S, LEVEL.at(0.9, "data"))
    assert again.since_at == "t0"
    assert watch.look(2 * KEEP_S, LEVEL.at(0.1, "data")) == []


def test_a_figure_that_is_not_told_any_more_is_no_alert_for_ever() -> None:
    watch = Watch(rule(for_s=constant(0)))
    assert watch.look(0, LEVEL.at(0.9, "data"))
    assert watch.look(KEEP_S + 1) == []


def test_each_subject_has_an_alert_of_its_own() -> None:
    watch = Watch(rule(for_s=constant(0)))
    found = watch.look(0, LEVEL.at(0.9, "logs"), LEVEL.at(0.99, "data"), LEVEL.at(0.1, "x"))
    assert [alert.subject for alert in found] == ["data", "logs"]


def test_an_alert_of_the_cluster_has_the_same_id_wherever_it_is_found() -> None:
    found = set()
    for node in ("n1", "n2"):
        machine = AlertMachine(RULES, node=node, cluster="home")
        readings = [the.MEMBERS.at(1, "dead", subjects=["n3"]), the.HALTED.at(1)]
        alerts = machine.look(readings, CONFIG, now_ms=0, at="t")
        assert {alert.node for alert in alerts} == {node}
        found.add(tuple(alert.id for alert in alerts))
    assert found == {("halted/home", "node_dead/n3")}


def test_growth_counts_within_the_window_and_through_a_restart() -> None:
    watch = Watch(
        rule(metric=COUNT, window_s=60, limit=constant(3), for_s=constant(0), per="", keep_s=0)
    )
    assert watch.look(0, COUNT.at(100)) == []  # Whatever was before the first look is no growth.
    assert watch.look(10, COUNT.at(103)) == []
    (alert,) = watch.look(20, COUNT.at(104))
    assert (alert.value, alert.id) == (4, "level_high/n1")
    assert watch.look(90, COUNT.at(104)) == []
    assert watch.look(100, COUNT.at(2)) == []
    assert [alert.value for alert in watch.look(110, COUNT.at(4))] == [4]


def test_the_gravest_come_first() -> None:
    watch = Watch(
        rule(name="a_info", severity="info", for_s=constant(0)),
        rule(name="b_warning", for_s=constant(0)),
        rule(name="c_critical", severity="critical", for_s=constant(0)),
    )
    found = watch.look(0, LEVEL.at(1, "x"))
    assert [alert.severity for alert in found] == ["critical", "warning", "info"]


def test_there_are_only_so_many_alerts() -> None:
    watch = Watch(rule(for_s=constant(0)))
    found = watch.look(0, *(LEVEL.at(1, f"place-{n}") for n in range(2 * ALERTS_MAX)))
    assert len(found) == ALERTS_MAX


# ---- the rules


def test_rules_have_names_of_their_own_and_a_step_to_take() -> None:
    assert len({one.name for one in RULES}) == len(RULES)
    for one in RULES:
        assert one.next_step, one.name
        said = one.words.format(subject="x", value="1", threshold="2")
        assert "{" not in said, one.name


def test_every_threshold_that_can_be_configured_is_used() -> None:
    """Of two values for a leaf some rule must say something different."""
    unused = []
    for name, field in AlertsConfig.model_fields.items():
        if name == "enabled":
            continue
        step = 1 if field.annotation is int else 0.01
        other = AlertsConfig(**{name: field.default + step})
        if all(
            (one.limit(other), one.for_s(other)) == (one.limit(CONFIG), one.for_s(CONFIG))
            for one in RULES
        ):
            unused.append(name)
    assert not unused


def test_a_healthy_node_has_no_alerts() -> None:
    machine = AlertMachine(RULES, node="n1", cluster="home")
    readings = [
        the.VOTERS_SPARE.at(1),
        the.LEADER_KNOWN.at(1),
        the.LEADER_CHANGES.at(1),
        the.VERSIONS.at(1),
        the.FABRIC_STATE.at(1, "connected"),
        the.FABRIC_STATE.at(0, "lost"),
        the.BROKER_HEALTHY.at(1),
        the.CERTIFICATE_EXPIRY.at(86_400, "node"),
        the.CERTIFICATE_LEFT.at(0.9, "node"),
        the.DISK_USED.at(0.5, "data"),
        the.HEALTH_CHECK.at(1, "disk", "ok"),
        *(the.MEMBERS.at(0, state) for state in ("suspect", "dead")),
    ]
    for second in range(0, 3_600, 60):
        assert machine.look(readings, CONFIG, now_ms=1000 * second, at="t") == ()


def test_the_shipped_rules_are_those_that_the_nodes_use() -> None:
    shipped = (ROOT / "docs" / "monitoring" / "bzzz.rules.yml").read_text(encoding="utf-8")
    assert shipped == rule_file(CONFIG)


def test_the_thresholds_of_a_cluster_stand_in_its_rules() -> None:
    assert "bzzz_disk_used_ratio > 0.5" in rule_file(AlertsConfig(disk_ratio=0.5))


def test_the_runbook_has_a_section_for_every_alert() -> None:
    text = (ROOT / "docs" / "runbooks" / "alerts.md").read_text(encoding="utf-8")
    titles = re.findall(r"^### (\w+)$", text, re.MULTILINE)
    assert titles == [*(one.title for one in RULES), "BzzzAgentDown"]


# ---- the service


def test_whoever_subscribes_is_told_of_changes_only_and_nobody_looks_when_told_not_to() -> None:
    told: list[tuple[str, ...]] = []
    values = itertools.chain([0, 0, 1, 1, 1], itertools.repeat(0))
    enabled = True

    async def story() -> None:
        nonlocal enabled
        alerts = Alerts(
            AlertMachine(RULES, node="n1", cluster="home"),
            readings=lambda: [the.HALTED.at(next(values))],
            config=lambda: AlertsConfig(enabled=enabled),
            node="n1",
            clock=VirtualClock(),
            now=lambda: "t",
        )
        alerts.subscribe(lambda found: told.append(tuple(one.id for one in found)))
        for _ in range(4):
            alerts.look()
        assert told == [("halted/home",)]
        enabled = False
        alerts.look()
        assert told == [("halted/home",), ()]
        assert alerts.alerts == ()

    run(story())


@pytest.mark.parametrize(("value", "said"), [(1.0, "1"), (2.5, "2.50"), (1234.5, "1234")])
def test_figures_are_rounded_for_people(value: float, said: str) -> None:
    watch = Watch(rule(unit="", for_s=constant(0), words="{value}"))
    assert [alert.words for alert in watch.look(0, LEVEL.at(value, "x"))] == [said]
