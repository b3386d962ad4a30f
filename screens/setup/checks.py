"""The checks of the last step: what is asked, and what the answer means. No Textual."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from bzzz_core.api.documents import Status
from bzzz_core.config.schema import ClusterSpec
from bzzz_core.errors import BzzzError, ConfigError, TransportError
from bzzz_core.model import FabricState, MemberState
from screens.setup.engine import Engine


class Verdict(StrEnum):
    """How a check came out."""

    WAITING = "waiting"
    RUNNING = "running"
    PASS = "pass"  # noqa: S105  a verdict
    WARN = "warn"
    FAIL = "fail"
    NOT_AVAILABLE = "not available"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict and why."""

    verdict: Verdict
    words: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One question to the installed cluster."""

    key: str
    title: str
    ask: Callable[[Engine, ClusterSpec], Awaitable[Outcome]] | None
    """None: the part it is about is not installed."""


async def run(check: Check, engine: Engine, spec: ClusterSpec) -> Outcome:
    """Ask one question; an expected failure is an outcome."""
    if check.ask is None:
        return Outcome(Verdict.NOT_AVAILABLE, "comes with a later release")
    try:
        return await check.ask(engine, spec)
    except BzzzError as exc:
        return Outcome(Verdict.FAIL, str(exc))


async def _answers(engine: Engine, spec: ClusterSpec) -> Outcome:
    count = len(await _statuses(engine, spec))
    return Outcome(Verdict.PASS, f"{count} of {count} answer")


async def _one_leader(engine: Engine, spec: ClusterSpec) -> Outcome:
    statuses = await _statuses(engine, spec)
    seen = {(status.leader, status.term) for status in statuses}
    if len(seen) == 1 and statuses[0].leader:
        leader, term = seen.pop()
        return Outcome(Verdict.PASS, f"all name {leader} in term {term}")
    views = "; ".join(f"{s.node}: {s.leader or 'none'} in term {s.term}" for s in statuses)
    return Outcome(Verdict.FAIL, views)


async def _serving(engine: Engine, spec: ClusterSpec) -> Outcome:
    statuses = await _statuses(engine, spec)
    if all(status.leader_serving for status in statuses):
        return Outcome(Verdict.PASS, "the leader's first write is durable on a majority")
    return Outcome(Verdict.FAIL, "the leader has not written yet; look at the fabric of its node")


async def _fabric(engine: Engine, spec: ClusterSpec) -> Outcome:
    statuses = await _statuses(engine, spec)
    loose = [s.node for s in statuses if s.fabric.state is not FabricState.CONNECTED]
    if loose:
        return Outcome(Verdict.FAIL, f"not attached to the fabric: {', '.join(loose)}")
    voters, need = statuses[0].fabric.voters, statuses[0].fabric.quorum
    words = f"{voters} voters, {need} needed"
    if voters <= 2:  # noqa: PLR2004  one or two voters survive no loss
        return Outcome(Verdict.WARN, f"{words}: the loss of one stops the cluster")
    return Outcome(Verdict.PASS, f"{words}: {voters - need} may be lost")


async def _roster(engine: Engine, spec: ClusterSpec) -> Outcome:
    statuses = await _statuses(engine, spec)
    wrong = [
        f"{status.node} holds {member.name} {member.state.value}"
        for status in statuses
        for member in status.members
        if member.state is not MemberState.ALIVE
    ]
    if wrong:
        return Outcome(Verdict.FAIL, wrong[0])
    return Outcome(Verdict.PASS, "every node hears every node")


async def _unchanged(engine: Engine, spec: ClusterSpec) -> Outcome:
    count = await engine.pending(spec)
    if count:
        return Outcome(Verdict.WARN, f"{count} changes are pending; make a new plan in step 6")
    return Outcome(Verdict.PASS, "a second run would change nothing")


async def _ai(engine: Engine, spec: ClusterSpec) -> Outcome:
    if not spec.ai.names:
        return Outcome(Verdict.WARN, "no endpoint chosen; agents have no model to ask")
    reports = {name: await engine.examine_ai(spec.ai.effective(name)) for name in spec.ai.names}
    bad = {name: report for name, report in reports.items() if not report.works}
    if bad:
        name, report = next(iter(bad.items()))
        fix = f"; {report.fix}" if report.fix else ""
        return Outcome(Verdict.FAIL, f"{name}: {report.words}{fix}")
    return Outcome(Verdict.PASS, "; ".join(report.words for report in reports.values()))


async def _ai_from_hosts(engine: Engine, spec: ClusterSpec) -> Outcome:
    if not spec.ai.names:
        return Outcome(Verdict.NOT_AVAILABLE, "no endpoint chosen")
    paid = any(spec.ai.effective(name).provider == "openai" for name in spec.ai.names)
    if paid and spec.ai.costs.daily_cents == 0:
        return Outcome(Verdict.NOT_AVAILABLE, "ai.costs.daily_cents is 0: no paid call is made")
    found = await engine.complete_ai(spec)
    bad = [one for one in found if not one.works]
    if bad:
        first = bad[0]
        words = f"{len(bad)} of {len(found)} fail: {first.host}, {first.endpoint}: {first.words}"
        return Outcome(Verdict.FAIL, f"{words}; {first.fix}" if first.fix else words)
    slowest = max(found, key=lambda one: one.latency_ms or 0)
    return Outcome(
        Verdict.PASS, f"{len(found)} of {len(found)}; slowest {slowest.host}: {slowest.words}"
    )


CHECKS: Final = (
    Check("answers", "Every node answers", _answers),
    Check("leader", "One leader, one term", _one_leader),
    Check("serving", "The leader serves", _serving),
    Check("fabric", "Fabric and quorum", _fabric),
    Check("roster", "Nodes hear each other", _roster),
    Check("unchanged", "Nothing left to change", _unchanged),
    Check("ai", "AI endpoint (from here)", _ai),
    Check("ai-hosts", "AI answers to hosts", _ai_from_hosts),
    Check("security", "Security", None),
    Check("storage", "Storage write and read", None),
    Check("task", "Task round trip", None),
    Check("failover", "Failover on request", None),
)


def report(
    outcomes: Sequence[tuple[Check, Outcome]],
    *,
    cluster: str,
    at: str,
    remarks: Sequence[str] = (),
    kept: Sequence[str] = (),
) -> str:
    """Return the report file's text.

    Args:
        outcomes: How each check came out.
        cluster: Its name.
        at: The time, for people.
        remarks: What the run before could not prove, or has left.
        kept: Keys of the answers that nothing acts upon yet.
    """
    lines = [f"BZZZ validation of cluster {cluster}, {at}", ""]
    lines += [
        f"{outcome.verdict.value:<14} {check.title:<26} {outcome.words}".rstrip()
        for check, outcome in outcomes
    ]
    if remarks:
        lines += ["", "of the run that installed it", *(f"{'warn':<14} {text}" for text in remarks)]
    if kept:
        lines += [
            "",
            "saved, and nothing acts upon it yet",
            *(f"{'warn':<14} {key}" for key in kept),
        ]
    return "\n".join(lines) + "\n"


def write_report(text: str, path: Path) -> None:
    """Write the report, readable by its owner only.

    Raises:
        ConfigError: It cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as exc:
        raise ConfigError(f"{path}: the report cannot be written: {exc.strerror}") from exc


async def _statuses(engine: Engine, spec: ClusterSpec) -> list[Status]:
    """Return the view of every node; what a silent node would say is not known, so none is judged.

    Raises:
        TransportError: A node does not answer.
    """
    views = await engine.views(spec.cluster.name)
    silent = {name: why for name, why in views.items() if isinstance(why, str)}
    if silent:
        name, why = next(iter(silent.items()))
        raise TransportError(f"{len(silent)} of {len(views)} nodes do not answer: {name}: {why}")
    if not views:
        raise TransportError("no node answers")
    return [view for view in views.values() if isinstance(view, Status)]
