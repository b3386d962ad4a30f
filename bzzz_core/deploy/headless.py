"""`bzzz-tui setup --answers FILE` without a screen: from the answers to the exit code.

    runner.py      does the work: check, prepare, apply
    report.py      the frame around it: whatever happens, one summary is the last line
    lines.py       prints what is told: plain text, or one JSON object a line
    output.py      lets no reader of that hold up the run
    asking.py      asks whether a plan may be carried out
    interrupt.py   what Ctrl-C and SIGTERM do meanwhile
    exits.py       what the exit codes mean

This file only puts them together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.sources import load_answers
from bzzz_core.deploy import last_answers
from bzzz_core.deploy.asking import Confirm, agreed
from bzzz_core.deploy.change import Plan
from bzzz_core.deploy.events import Finding, HostResult, Result, Summary
from bzzz_core.deploy.exits import EXIT_PREFLIGHT
from bzzz_core.deploy.fleet import OpenSession
from bzzz_core.deploy.interrupt import interruptible
from bzzz_core.deploy.lines import complain
from bzzz_core.deploy.operation import Means
from bzzz_core.deploy.report import Report
from bzzz_core.deploy.runner import NOTHING, Deployment, Prepared
from bzzz_core.deploy.ssh.session import session
from bzzz_core.deploy.steering import Steering
from bzzz_core.deploy.unlock import Unlocking
from bzzz_core.deploy.wishes import Wishes
from bzzz_core.errors import BzzzError, ConfigError, PlanChanged

Mode = Literal["check", "plan", "apply", "unlock"]
Work = Callable[[], Coroutine[Any, Any, int]]
Beside = Callable[[Steering, Work], Coroutine[Any, Any, int]]
_HASH_SHORTEST: Final = 12
"""What `--plan` prints of a hash in words."""


def main(
    answers: Path,
    report: Report,
    *,
    mode: Mode,
    yes: bool = False,
    base: Path | None = None,
    confirm: Confirm | None = None,
    open_session: OpenSession = session,
    wishes: Wishes | None = None,
    beside: Beside | None = None,
) -> int:
    """Run setup and return the exit code.

    Args:
        answers: The answers file.
        report: Has all that is told.
        mode: How far to go.
        yes: Apply without asking.
        base: The operator's directory; None: the user's own.
        confirm: Asks a person; without it `apply` needs `yes`.
        open_session: How to connect.
        wishes: What is asked of this run beyond the answers.
        beside: Does the work, from connecting to the summary, and may steer it meanwhile.
    """

    def begin() -> int:
        plan_hash = wishes.plan_hash if wishes else None
        if plan_hash is not None and len(plan_hash) < _HASH_SHORTEST:
            raise ConfigError(f"--plan-hash needs {_HASH_SHORTEST} digits of the hash at least")
        spec = load_answers(answers)
        if mode == "apply" and not yes and confirm is None:
            raise ConfigError("apply changes hosts; say --yes, or look first with --plan")
        means = Means(sink=report, base=base, open_session=open_session)
        if mode == "unlock":
            unlocking = Unlocking(spec, means, yes=yes)
            report.cleaned_by(unlocking.redact)
            return asyncio.run(unlocking.run())
        deployment = Deployment(spec, means, wishes=wishes or NOTHING)
        report.cleaned_by(deployment.redact)
        asking = _Asking(confirm=None if yes else confirm, plan_hash=plan_hash, ready=report.settle)
        work = partial(_run, deployment, spec, mode, report, asking, base=base)
        return asyncio.run(work() if beside is None else beside(deployment.steering, work))

    return report.framed(begin)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    """What has to be true of a plan before it is applied."""

    confirm: Confirm | None
    plan_hash: str | None
    ready: Callable[[], object]
    """Waits until the plan is printed."""

    async def allows(self, plan: Plan) -> bool:
        """Return whether it may be applied.

        Raises:
            PlanChanged: It is not the plan that was named.
            PreconditionFailed: Nobody could be asked.
        """
        if self.plan_hash is not None and not plan.hash.startswith(self.plan_hash.lower()):
            raise PlanChanged(
                f"the plan is {plan.hash[:_HASH_SHORTEST]} now, not {self.plan_hash}; look at it"
                " with --plan"
            )
        return self.confirm is None or await agreed(self.confirm, _question(plan), self.ready)


async def _run(
    deployment: Deployment,
    spec: ClusterSpec,
    mode: Mode,
    report: Report,
    asking: _Asking,
    *,
    base: Path | None,
) -> int:
    async with deployment:
        if mode == "check":
            return _finish(await deployment.check(), spec, report)
        prepared = await deployment.prepare()
        plan = prepared.plan
        if mode == "plan" or plan is None:
            return _finish(prepared, spec, report)
        if not await asking.allows(plan):
            return _finish(prepared, spec, report)
        with interruptible(deployment.steering, complain, report.cut_off):
            exit_code = (await deployment.apply(plan)).exit_code
        if exit_code == 0:
            _keep(spec, report, base)
        return exit_code


def _keep(spec: ClusterSpec, report: Report, base: Path | None) -> None:
    """Keep the answers of a good run; that they cannot be kept makes it no bad one."""
    try:
        last_answers.keep(spec, base)
    except BzzzError as exc:
        fix = "keep your answers file: --plan and --uninstall need it"
        report(Finding("warning", "answers", "", str(exc), fix))


def _finish(prepared: Prepared, spec: ClusterSpec, report: Report) -> int:
    """End a run that changed nothing with its summary."""
    exit_code = EXIT_PREFLIGHT if prepared.errors else 0
    reasons = {finding.host: finding.message for finding in prepared.errors}
    results = tuple(
        HostResult(host.name, Result.SKIPPED, 0, reasons.get(host.name, "")) for host in spec.hosts
    )
    report(Summary(hosts=results, exit_code=exit_code, elapsed_ms=0))
    return exit_code


def _question(plan: Plan) -> str:
    return f"Make {plan.change_count} changes on {len(plan.hosts)} hosts?"
