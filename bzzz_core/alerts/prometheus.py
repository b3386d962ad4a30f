"""Writes the rules down as Prometheus reads them: the shipped file, or one with other thresholds.

What is one alert for the whole cluster is one here as well: the nodes' views of it are put together
over all instances of a job, so give each cluster a job of its own. Where a node counts what is
wrong, the worst view counts (`max`); where it says that something is there, one that sees it is
enough.

The text is put together by hand, because it is short and a reader shall find it in order; every
word in it is a JSON string, which YAML reads as its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from bzzz_core.alerts.rule import Rule
from bzzz_core.alerts.rules import CLUSTER, NODE
from bzzz_core.config.sections import AlertsConfig

_HEAD: Final = """\
# Alert rules of BZZZ for Prometheus 2.42 or newer. Made from the rules that the agents evaluate
# themselves: `bzzz-agent alerts --rules` prints this file with the thresholds of a cluster.
# Each cluster is to be a job of its own; docs/runbooks/alerts.md says what each alert means.
groups:
"""
_DOWN: Final = (
    "BzzzAgentDown",
    'up{job=~"bzzz.*"} == 0',
    "the agent of {{ $labels.instance }} does not answer",
    "look at the machine and at `systemctl status bzzz-agent` there",
)
"""What no agent can say of itself."""
_VALUES: Final = {
    "": "{{ $value | humanize }}",
    "s": "{{ $value | humanizeDuration }}",
    "%": "{{ $value | humanizePercentage }}",
}


def rule_file(config: AlertsConfig) -> str:
    """Return the whole file."""
    groups = (("bzzz-cluster", CLUSTER), ("bzzz-node", NODE))
    lines = [
        line
        for name, rules in groups
        for line in (f"  - name: {name}", "    rules:", *_rules(rules, config))
    ]
    return _HEAD + "\n".join([*lines, *_alert(*_DOWN, for_s=30, keep_s=0, severity="critical"), ""])


def expression(rule: Rule, config: AlertsConfig) -> str:
    """Return what Prometheus has to compute; it has a result for whatever is wrong."""
    labels = ",".join(f"{label}={json.dumps(value)}" for label, value in rule.where)
    series = f"{rule.metric.name}{{{labels}}}" if labels else rule.metric.name
    if rule.window_s:
        series = f"increase({series}[{rule.window_s}s])"
    if rule.scope == "cluster":
        by = ", ".join(["job", *([rule.per] if rule.per else [])])
        series = f"max by ({by}) ({series})"
    return f"{series} {'>' if rule.above else '<'} {rule.limit(config):g}"


def _rules(rules: tuple[Rule, ...], config: AlertsConfig) -> Iterator[str]:
    for rule in rules:
        said = {
            "subject": _subject(rule),
            "value": _VALUES[rule.unit],
            "threshold": _threshold(rule, config),
        }
        yield from _alert(
            rule.title,
            expression(rule, config),
            rule.words.format(**said) + _place(rule),
            rule.next_step.format(**said),
            for_s=int(rule.for_s(config)),
            keep_s=rule.keep_s,
            severity=rule.severity,
        )


def _alert(
    title: str, expr: str, words: str, next_step: str, *, for_s: int, keep_s: int, severity: str
) -> Iterator[str]:
    yield f"      - alert: {title}"
    yield f"        expr: {json.dumps(expr)}"
    yield f"        for: {for_s}s"
    if keep_s:
        yield f"        keep_firing_for: {keep_s}s"
    yield f"        labels: {{severity: {severity}}}"
    yield "        annotations:"
    yield f"          summary: {json.dumps(words)}"
    yield f"          description: {json.dumps(next_step)}"
    yield f"          runbook: {json.dumps(f'docs/runbooks/alerts.md#{title.lower()}')}"


def _subject(rule: Rule) -> str:
    if rule.per:
        return f"{{{{ $labels.{rule.per} }}}}"
    if rule.scope == "node":
        return "{{ $labels.instance }}"
    # What was counted has names on the nodes alone.
    return "{{ $value | humanize }} of the nodes"


def _place(rule: Rule) -> str:
    """Return where it is, if the words do not say so yet."""
    return " on {{ $labels.instance }}" if rule.scope == "node" and rule.per else ""


def _threshold(rule: Rule, config: AlertsConfig) -> str:
    limit = rule.limit(config)
    return {"": f"{limit:g}", "s": f"{limit:g} s", "%": f"{100 * limit:g} %"}[rule.unit]
