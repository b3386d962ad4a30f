"""The deployment, one screen: every phase in order.

A phase is a module with a pure `plan(goal)`, an `apply` that is called only with what its plan
returned, and a `verify` that looks at the host afterwards. Adding one means a file here and a line
below. Rules of a phase: scripts are constants and values are their arguments; `apply` may be
repeated after any interruption; `plan` reads nothing but its goal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from bzzz_core.deploy.change import Change
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.made import Made
from bzzz_core.deploy.phases import (
    admit_release,
    commit_release,
    create_account,
    create_identity,
    distribute_key,
    harden_ssh,
    install_command,
    install_model_program,
    install_units,
    issue_certificates,
    join_cluster,
    keep_config,
    limit_services,
    note_before,
    open_firewall,
    prune_releases,
    pull_models,
    start_agent,
    start_fabric,
    start_model_servers,
    switch_release,
    upload_release,
    upload_runtime,
    wait_ready,
    write_config,
    write_secrets,
)
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One step of the deployment on one host."""

    name: str
    title: str
    plan: Callable[[Goal], tuple[Change, ...]]
    apply: Callable[[RemoteHost, Goal, tuple[Change, ...], Work], Awaitable[None]]
    verify: Callable[[RemoteHost, Goal, Work], Awaitable[None]]
    always_verify: bool = False
    """Look at the host even if nothing was changed there."""


class PhaseModule(Protocol):
    """What a module in this package offers."""

    __name__: str

    @property
    def TITLE(self) -> str:  # noqa: N802  a constant of the module
        """Name the phase for people."""
        ...

    def plan(self, goal: Goal) -> tuple[Change, ...]:
        """Return what would change on the host, from the goal alone."""
        ...

    async def apply(
        self, host: RemoteHost, goal: Goal, changes: tuple[Change, ...], work: Work
    ) -> None:
        """Make the changes; repeating it after an interruption is harmless."""
        ...

    async def verify(self, host: RemoteHost, goal: Goal, work: Work) -> None:
        """Look at the host whether it is as it should be."""
        ...


def _phase(module: PhaseModule, *, always_verify: bool = False) -> Phase:
    return Phase(
        name=module.__name__.rpartition(".")[2],
        title=module.TITLE,
        plan=module.plan,
        apply=module.apply,
        verify=module.verify,
        always_verify=always_verify,
    )


ENROL: Final = (
    _phase(note_before),
    _phase(upload_runtime),
    _phase(upload_release),
    _phase(create_account),
    _phase(distribute_key),
    _phase(admit_release),
    _phase(create_identity),
)
"""Without effect on what runs. Afterwards the keys of all nodes are known."""

OPEN: Final = (_phase(open_firewall),)
"""On all hosts before anybody joins: whoever is new comes to the others' ports."""

ADMIT: Final = (_phase(join_cluster),)
"""Afterwards a cluster that was there has taken in whoever is new."""

STAGE: Final = (
    _phase(keep_config),
    _phase(issue_certificates),
    _phase(write_secrets),
    _phase(write_config),
    _phase(install_units),
    _phase(limit_services),
    _phase(install_command),
)
"""Still without effect on what runs, but these need to know all nodes."""

ACTIVATE: Final = (
    _phase(switch_release),
    _phase(start_fabric, always_verify=True),
    _phase(start_agent),
    _phase(wait_ready, always_verify=True),
)
"""Each is done on all hosts before the next begins."""

VERIFY_CLUSTER: Final = "verify_cluster"
"""Comes next; it is about all hosts at once, so it is no `Phase`."""

FINISH: Final = (
    _phase(commit_release),
    _phase(prune_releases),
    _phase(harden_ssh),
    _phase(install_model_program),
    _phase(start_model_servers),
    _phase(pull_models),
)
"""Only once the cluster is well: an older release may be needed until then, and pulls take long."""

ALL: Final = (*ENROL, *OPEN, *ADMIT, *STAGE, *ACTIVATE, *FINISH)

REMOVERS: Final[dict[str, Callable[[RemoteHost, Made], Awaitable[None]]]] = {
    "install_model_program": install_model_program.remove,
    "limit_services": limit_services.remove,
    "open_firewall": open_firewall.remove,
    "distribute_key": distribute_key.remove,
    "harden_ssh": harden_ssh.remove,
    "start_model_servers": start_model_servers.remove,
}
"""Phase -> what takes an entry of a host's record (`made.py`) back, while the host is left."""
