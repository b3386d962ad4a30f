"""`bzzz-tui setup --answers FILE` without a screen: plain lines, or one JSON object a line.

The last line is always the summary; what the exit codes mean stands in `exits.py`.
"""

from __future__ import annotations

import asyncio
import difflib
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TextIO

import msgspec

from bzzz_core.clock import SystemClock
from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.sources import load_answers
from bzzz_core.deploy.change import Change, Plan
from bzzz_core.deploy.events import (
    Began,
    Event,
    Finding,
    HostResult,
    Planned,
    Refusal,
    Result,
    Sink,
    Status,
    Step,
    Summary,
)
from bzzz_core.deploy.exits import EXIT_INTERRUPTED, EXIT_PREFLIGHT, EXIT_USAGE
from bzzz_core.deploy.fleet import OpenSession
from bzzz_core.deploy.interrupt import interruptible
from bzzz_core.deploy.runner import NOTHING, Deployment, Prepared
from bzzz_core.deploy.ssh.session import session
from bzzz_core.deploy.steering import Steering
from bzzz_core.deploy.unlock import Unlocking
from bzzz_core.deploy.wishes import Wishes
from bzzz_core.errors import BzzzError, ConfigError, PlanChanged
from bzzz_core.ports import Clock

Mode = Literal["check", "plan", "apply", "unlock"]
Work = Callable[[], Coroutine[Any, Any, int]]
Beside = Callable[[Steering, Work], Coroutine[Any, Any, int]]
_HASH_SHORTEST: Final = 12
"""What `--plan` prints of a hash in words."""
_DIFF_LINES_MAX: Final = 40


def main(
    answers: Path,
    *,
    mode: Mode,
    yes: bool = False,
    as_json: bool = False,
    base: Path | None = None,
    output: TextIO | None = None,
    confirm: Callable[[str], bool] | None = None,
    open_session: OpenSession = session,
    wishes: Wishes | None = None,
    beside: Beside | None = None,
) -> int:
    """Run setup and return the exit code.

    Args:
        answers: The answers file.
        mode: How far to go.
        yes: Apply without asking.
        as_json: Print events as JSON, one a line.
        base: The operator's directory; None: the user's own.
        output: Where to print; standard output by default.
        confirm: Asks a person; without it `apply` needs `yes`.
        open_session: How to connect.
        wishes: What is asked of this run beyond the answers.
        beside: Does the work, from connecting to the summary, and may steer it meanwhile.
    """
    out = output or sys.stdout
    sink = json_sink(out) if as_json else text_sink(out, SystemClock())
    redact: Callable[[str], str] = str
    deployment: Deployment | None = None
    try:
        plan_hash = wishes.plan_hash if wishes else None
        if plan_hash is not None and len(plan_hash) < _HASH_SHORTEST:
            raise ConfigError(f"--plan-hash needs {_HASH_SHORTEST} digits of the hash at least")
        spec = load_answers(answers)
        if mode == "apply" and not yes and confirm is None:
            complain("apply changes hosts; say --yes, or look first with --plan")
            return EXIT_USAGE
        if mode == "unlock":
            unlocking = Unlocking(
                spec=spec, sink=sink, yes=yes, base=base, open_session=open_session
            )
            return asyncio.run(unlocking.run())
        deployment = Deployment(
            spec, sink=sink, base=base, open_session=open_session, wishes=wishes or NOTHING
        )
        redact = deployment.redact
        asking = _Asking(confirm=None if yes else confirm, plan_hash=plan_hash)
        work = partial(_run, deployment, spec, mode, sink, asking)
        return asyncio.run(work() if beside is None else beside(deployment.steering, work))
    except BzzzError as exc:
        if as_json:
            print_json(out, Refusal(exc.code, redact(str(exc))))
        complain(redact(str(exc)))
        if deployment is None or deployment.summary is None:
            sink(Summary(hosts=(), exit_code=exc.exit_code, elapsed_ms=0))
        return exc.exit_code
    except KeyboardInterrupt:
        complain("interrupted; run the same command again to continue")
        if deployment is None or deployment.summary is None:
            sink(Summary(hosts=(), exit_code=EXIT_INTERRUPTED, elapsed_ms=0))
        return EXIT_INTERRUPTED


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    """What has to be true of a plan before it is applied."""

    confirm: Callable[[str], bool] | None
    plan_hash: str | None

    async def allows(self, plan: Plan) -> bool:
        """Return whether it may be applied.

        Raises:
            PlanChanged: It is not the plan that was named.
        """
        if self.plan_hash is not None and not plan.hash.startswith(self.plan_hash.lower()):
            raise PlanChanged(
                f"the plan is {plan.hash[:_HASH_SHORTEST]} now, not {self.plan_hash}; look at it"
                " with --plan"
            )
        return self.confirm is None or await asyncio.to_thread(self.confirm, _question(plan))


async def _run(
    deployment: Deployment,
    spec: ClusterSpec,
    mode: Mode,
    sink: Sink,
    asking: _Asking,
) -> int:
    async with deployment:
        if mode == "check":
            return _finish(await deployment.check(), spec, sink)
        prepared = await deployment.prepare()
        plan = prepared.plan
        if mode == "plan" or plan is None:
            return _finish(prepared, spec, sink)
        if not await asking.allows(plan):
            return _finish(prepared, spec, sink)
        with interruptible(deployment.steering, complain):
            return (await deployment.apply(plan)).exit_code


def _finish(prepared: Prepared, spec: ClusterSpec, sink: Sink) -> int:
    """End a run that changed nothing with its summary."""
    exit_code = EXIT_PREFLIGHT if prepared.errors else 0
    reasons = {finding.host: finding.message for finding in prepared.errors}
    results = tuple(
        HostResult(host.name, Result.SKIPPED, 0, reasons.get(host.name, "")) for host in spec.hosts
    )
    sink(Summary(hosts=results, exit_code=exit_code, elapsed_ms=0))
    return exit_code


def _question(plan: Plan) -> str:
    return f"Make {plan.change_count} changes on {len(plan.hosts)} hosts?"


def json_sink(out: TextIO) -> Sink:
    """Return what prints each event as JSON, one a line."""

    def sink(event: Event) -> None:
        print_json(out, event)

    return sink


def text_sink(out: TextIO, clock: Clock) -> Sink:
    """Return what prints each event as lines for people."""
    begun_ms = clock.now_ms()

    def sink(event: Event) -> None:
        seconds = (clock.now_ms() - begun_ms) / 1_000
        out.writelines(f"{seconds:7.1f}s  {line}\n" for line in render(event))
        out.flush()

    return sink


def render(event: Event) -> list[str]:
    """Return an event as plain lines, without the time in front."""
    match event:
        case Step(status=Status.UNCHANGED, elapsed_ms=0):
            return []
        case Step():
            who = event.host or "cluster"
            took = f" {event.elapsed_ms / 1_000:.1f}s" if event.elapsed_ms else ""
            if event.quiet_ms:
                took += f" (silent for {event.quiet_ms / 1_000:.0f}s)"
            detail = f": {event.detail}" if event.detail else ""
            return [f"{who:<12} {event.phase:<18} {event.status.value}{took}{detail}"]
        case Finding():
            where = f"{event.host}: " if event.host else ""
            fix = f" -> {event.fix}" if event.fix else ""
            return [f"{event.severity.upper():<8} {where}{event.message}{fix}"]
        case Planned():
            return _render_plan(event)
        case Summary():
            return _render_summary(event)
        case Began():
            return [f"run {event.run}, process {event.pid}"]


def _render_plan(plan: Planned) -> list[str]:
    lines = [f"PLAN {plan.hash[:12]}, release {plan.release}"]
    lines.extend(f"  {change.sentence}" for change in plan.operator)
    for host, changes in plan.hosts.items():
        lines.append(f"  {host}: {len(changes) or 'no'} changes")
        for change in changes:
            lines.append(f"    {change.action:<8} {change.sentence}")
            lines.extend(f"             {line}" for line in _difference(change))
    return lines


def _difference(change: Change) -> list[str]:
    """Return what differs, for a change of text; nothing secret is in a `Change`."""
    if "\n" not in change.before or "\n" not in change.after:
        return []
    lines = difflib.unified_diff(
        change.before.splitlines(), change.after.splitlines(), "before", "after", "", "", 1
    )
    shown = [line.rstrip() for line in lines][2:]
    more = len(shown) - _DIFF_LINES_MAX
    return shown[:_DIFF_LINES_MAX] + ([f"... {more} more lines"] if more > 0 else [])


def _render_summary(summary: Summary) -> list[str]:
    lines = [
        f"{host.name:<12} {host.result}, {host.changes} changes"
        + (f": {host.detail}" if host.detail else "")
        for host in summary.hosts
    ]
    if summary.leader:
        lines.append(f"leader {summary.leader}, term {summary.term}")
    took = f" after {summary.elapsed_ms / 1_000:.1f}s" if summary.elapsed_ms else ""
    return [*lines, f"exit {summary.exit_code}{took}"]


def print_json(out: TextIO, event: Event | Refusal) -> None:
    """Print an event as JSON, on a line of its own."""
    out.write(msgspec.json.encode(event).decode("utf-8") + "\n")
    out.flush()


def complain(message: str) -> None:
    """Say something beside the events."""
    sys.stderr.write(f"bzzz-tui setup: {message}\n")
