"""`bzzz-tui setup --answers FILE` with `--uninstall`, or with hosts that go: no screen needed.

A host goes from a cluster in one of two ways, and always because the operator said so:

    --remove NAME           it leaves in order, its identity is revoked, BZZZ is taken off it
    --remove NAME --dead    it is not asked: a voter revokes it, and nothing is done on it
    --replace OLD=NEW       NEW, a host of the answers, joins first; then OLD goes as above

Hosts that are new in the answers join in the same run, before anybody goes. What the run does to
hosts that stay is `Deployment`'s, what it does to those that go is `Uninstall`'s or `Burial`'s;
here is the order, and one summary for both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from bzzz_core.config.profile import ProfileHost
from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.config.sources import load_answers
from bzzz_core.deploy.asking import Confirm, agreed
from bzzz_core.deploy.burial import Burial
from bzzz_core.deploy.change import Plan
from bzzz_core.deploy.events import Sink, Summary
from bzzz_core.deploy.exits import EXIT_INTERRUPTED, EXIT_PREFLIGHT
from bzzz_core.deploy.fleet import OpenSession
from bzzz_core.deploy.headless import Mode
from bzzz_core.deploy.interrupt import interruptible
from bzzz_core.deploy.lines import complain
from bzzz_core.deploy.operation import Means
from bzzz_core.deploy.removals import Wish
from bzzz_core.deploy.report import Report
from bzzz_core.deploy.runner import Deployment
from bzzz_core.deploy.ssh.session import session
from bzzz_core.deploy.state import ClusterState
from bzzz_core.deploy.steering import Steering
from bzzz_core.deploy.uninstall import Uninstall
from bzzz_core.deploy.wishes import Wishes
from bzzz_core.errors import ConfigError

Run = Callable[[ClusterSpec, Confirm | None], Coroutine[None, None, int | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Going:
    """Which hosts are to go from a cluster that stays, and how."""

    remove: frozenset[str] = frozenset()
    keep: frozenset[str] = frozenset()
    """Left out of the answers, and left alone."""
    replace: tuple[tuple[str, str], ...] = ()
    """(old, new)."""
    dead: bool = False
    """Those that go are not asked."""
    wish: Wish = field(default_factory=Wish)

    @property
    def names(self) -> frozenset[str]:
        """Return who goes."""
        return self.remove | {old for old, _ in self.replace}

    def check(self, spec: ClusterSpec) -> None:
        """Return if the words fit the answers.

        Raises:
            ConfigError: They do not.
        """
        present = {host.name for host in spec.hosts}
        for name in sorted((self.names | self.keep) & present):
            raise ConfigError(f"{name} is in the answers: take it out of them first")
        for old, new in self.replace:
            if new not in present:
                raise ConfigError(f"--replace {old}={new}: the answers have no host {new}")
        for name in sorted(self.names & self.keep):
            raise ConfigError(f"--remove and --keep {name} contradict each other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """How a command talks and connects."""

    report: Report
    """Has all that is told."""
    base: Path | None = None
    confirm: Confirm | None = None
    """Asks a person; without it `apply` needs `yes`."""
    open_session: OpenSession = session
    wishes: Wishes = field(default_factory=Wishes)
    """What is asked of the run besides: a bundle, say."""

    def means(self, sink: Sink, steering: Steering) -> Means:
        """Return what a run of the command has."""
        return Means(sink=sink, base=self.base, open_session=self.open_session, steering=steering)


def parse_replace(words: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return `OLD=NEW` words as pairs.

    Raises:
        ConfigError: One is none.
    """
    pairs = []
    for word in words:
        old, equals, new = word.partition("=")
        if not (old and equals and new) or old == new:
            raise ConfigError(f"--replace {word}: write OLD=NEW, two names of hosts")
        pairs.append((old, new))
    return tuple(pairs)


def uninstall(
    answers: Path,
    *,
    mode: Mode,
    yes: bool,
    hosts: frozenset[str],
    wish: Wish,
    around: Surroundings,
) -> int:
    """Uninstall hosts of the answers, all of them if none is named, and return the exit code."""
    report = around.report

    async def run(spec: ClusterSpec, confirm: Confirm | None) -> int | None:
        chosen = hosts or frozenset(host.name for host in spec.hosts)
        means = around.means(report, Steering())
        async with Uninstall(spec, means, chosen=chosen, wish=wish) as removal:
            report.cleaned_by(removal.redact)
            plan = await removal.prepare()
            if mode != "apply" or not await _agreed(confirm, _question(plan, "Remove"), report):
                removal.finish()
                return None
            with interruptible(removal.steering, complain, report.cut_off):
                await removal.apply(plan)
            return None

    return _guarded(answers, mode, yes=yes, around=around, run=run)


def change(answers: Path, *, mode: Mode, yes: bool, going: Going, around: Surroundings) -> int:
    """Apply the answers to a cluster from which hosts go, and return the exit code."""

    async def run(spec: ClusterSpec, confirm: Confirm | None) -> int | None:
        going.check(spec)
        return await _change(spec, mode, going, confirm=confirm, around=around)

    return _guarded(answers, mode, yes=yes, around=around, run=run)


async def _change(
    spec: ClusterSpec,
    mode: Mode,
    going: Going,
    *,
    confirm: Confirm | None,
    around: Surroundings,
) -> int | None:
    steering, report = Steering(), around.report
    means = around.means(report, steering)
    wishes = replace(around.wishes, answered=going.names | going.keep)
    wider = _with_former(spec, going.names, around.base)
    async with (
        Deployment(spec, means, wishes=wishes) as staying,
        _leaver(wider, means, going) as leaver,
    ):
        report.cleaned_by(staying.redact)
        report.cleaned_by(leaver.redact)
        prepared = await (staying.check() if mode == "check" else staying.prepare())
        if prepared.errors or prepared.plan is None:
            return EXIT_PREFLIGHT if prepared.errors else 0
        removal = await leaver.prepare()
        count = prepared.plan.change_count + removal.change_count
        question = f"Make {count} changes, and let {', '.join(sorted(going.names)) or 'nobody'} go?"
        if mode != "apply" or not await _agreed(confirm, question, report):
            return 0
        steps = ((staying, prepared.plan), (leaver, removal))
        return await in_order(steps, steering, report)


class Part(Protocol):
    """One of the runs of which a command consists."""

    async def apply(self, plan: Plan) -> Summary:
        """Carry out a plan, and say how it went."""


async def in_order(
    steps: tuple[tuple[Part, Plan], ...], steering: Steering, report: Report
) -> int | None:
    """Carry out plans one after the other, until one fails or the operator says stop.

    Args:
        steps: Who carries out what.
        steering: The orders of all of them.
        report: Has their summaries.

    Returns:
        The exit code; None: by what the parts say.

    Raises:
        BzzzError: One could not do its work; the report has what those before it did.
        KeyboardInterrupt: The operator cut it off.
    """
    with interruptible(steering, complain, report.cut_off):
        for part, plan in steps:
            if steering.stopping:
                return EXIT_INTERRUPTED
            done = await part.apply(plan)
            if done.exit_code and part is not steps[-1][0]:
                return done.exit_code
    return None


def _leaver(spec: ClusterSpec, means: Means, going: Going) -> Uninstall | Burial:
    if going.dead:
        stay = tuple(host for host in spec.hosts if host.name not in going.names)
        return Burial(spec.model_copy(update={"hosts": stay}), means, dead=going.names)
    return Uninstall(spec, means, chosen=going.names, wish=going.wish)


def _with_former(spec: ClusterSpec, names: frozenset[str], base: Path | None) -> ClusterSpec:
    """Return the answers with hosts that only the cluster's profile knows.

    Raises:
        ConfigError: The profile does not know one of them.
    """
    known = {host.name: host for host in ClusterState(spec.cluster.name, base).profile_hosts()}
    unknown = sorted(names - known.keys())
    if unknown:
        raise ConfigError(
            f"the profile of cluster {spec.cluster.name} has no host {', '.join(unknown)}"
        )
    return spec.model_copy(
        update={"hosts": (*spec.hosts, *(_host_spec(known[name]) for name in sorted(names)))}
    )


def _host_spec(host: ProfileHost) -> HostSpec:
    return HostSpec(name=host.name, address=host.address, port=host.port, user=host.user)


async def _agreed(confirm: Confirm | None, question: str, report: Report) -> bool:
    return confirm is None or await agreed(confirm, question, report.settle)


def _question(plan: Plan, verb: str) -> str:
    return f"{verb} {plan.change_count} things on {len(plan.hosts)} hosts?"


def _guarded(answers: Path, mode: Mode, *, yes: bool, around: Surroundings, run: Run) -> int:
    """Read the answers and run, in the report's frame; return the exit code."""

    def begin() -> int | None:
        if mode == "apply" and not yes and around.confirm is None:
            raise ConfigError("this changes hosts; say --yes, or look first with --plan")
        spec = load_answers(answers)
        return asyncio.run(run(spec, None if yes else around.confirm))

    return around.report.framed(begin)
