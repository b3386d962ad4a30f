"""What the wizard needs from the deploy engine, and the real one behind it.

The wizard never touches a host itself: it looks at hosts, fetches keys and applies plans through
this, so that it does exactly what the headless command does, and tests can put a fake here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from bzzz_core.api.documents import Status
from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.config.secrets import Secret
from bzzz_core.config.sections import AiEndpoint
from bzzz_core.deploy.ai_check import Completion
from bzzz_core.deploy.change import Plan
from bzzz_core.deploy.detached.place import Run
from bzzz_core.deploy.events import Event, Finding
from bzzz_core.deploy.existing import Existing
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.model_search import ModelSearch
from bzzz_core.deploy.reach import Matrix
from bzzz_core.deploy.steering import Steering
from bzzz_core.integrations.ai_endpoint import EndpointReport


class LookState(StrEnum):
    """What came of looking at a host."""

    UNSEEN = "not seen"
    LOOKING = "looking"
    READY = "ready"
    WARN = "check"
    KEY_UNKNOWN = "key unknown"
    KEY_CHANGED = "KEY CHANGED"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One host as it was found."""

    state: LookState = LookState.UNSEEN
    words: str = ""
    """What is the matter, for a person."""
    fingerprint: str | None = None
    """Of the host key: the trusted one, or the one that waits for trust."""
    facts: HostFacts | None = None
    findings: tuple[Finding, ...] = ()
    """What preflight says of it alone."""
    existing: Existing | None = None
    """What is to become of a BZZZ that is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Manifests that were written, or why none was."""

    path: Path
    count: int
    in_the_way: tuple[str, ...] = ()
    """Files that hold something else; if there are any, nothing was written."""


Emit = Callable[[Event], None]
Confirm = Callable[[Plan], Awaitable[bool]]


class Engine(Protocol):
    """What can be done to hosts."""

    @property
    def phases(self) -> tuple[str, ...]:
        """Return the names of a run's phases, in order."""
        ...

    @property
    def shared_phases(self) -> tuple[str, ...]:
        """Return those of the phases that are about all hosts at once."""
        ...

    async def look(self, spec: ClusterSpec, host: HostSpec) -> Look:
        """Connect to one host, learn what it is, and change nothing."""
        ...

    async def sweep(self, addresses: tuple[str, ...], port: int) -> tuple[str, ...]:
        """Return those of the addresses where something takes connections at a port."""
        ...

    async def search_models(self, spec: ClusterSpec, facts: Mapping[str, HostFacts]) -> ModelSearch:
        """Look for model servers in the cluster's network, from here and from the hosts."""
        ...

    async def reach(self, spec: ClusterSpec) -> Matrix:
        """Let every host connect to the others' ports, listening there for a few seconds.

        Raises:
            BzzzError: A host could not be looked at, or cannot listen.
        """
        ...

    def manifests(self, spec: ClusterSpec, *, replace: bool = False) -> Written:
        """Write the manifests of `services.target`, over files of other content only if told so.

        Raises:
            ConfigError: An answer that they need is missing, or they cannot be written.
        """
        ...

    async def apply(
        self,
        spec: ClusterSpec,
        *,
        emit: Emit,
        confirm: Confirm,
        steering: Steering,
        only_failed: bool = False,
    ) -> None:
        """Look, plan, ask, and make it so; the last event is a summary.

        Once the word was given, the run goes on by itself: cancelled, this follows it no more.

        Args:
            spec: The answers.
            emit: Takes every event.
            confirm: Asks a person about the plan.
            steering: Takes orders while hosts are changed.
            only_failed: Change only hosts that failed or were not attempted in the last run.

        Raises:
            BzzzError: The run could not even start.
        """
        ...

    async def attach(self, run: Run, *, emit: Emit, steering: Steering) -> None:
        """Follow a run that goes on by itself, from its beginning to its end.

        Cancelled, it follows no more, and the run goes on.

        Args:
            run: The run.
            emit: Takes every event.
            steering: Takes orders, which are passed on to the run.

        Raises:
            BzzzError: The run could not be, or its engine has died.
        """
        ...

    async def pending(self, spec: ClusterSpec) -> int:
        """Return how many changes a new run would make; 0 after a good one.

        Raises:
            BzzzError: A host could not be looked at.
        """
        ...

    async def views(self, cluster: str) -> dict[str, Status | str]:
        """Ask every host of an installed cluster for its own view; a text says why there is none.

        Raises:
            ConfigError: The cluster has no profile here.
        """
        ...

    async def export_kit(self, cluster: str, target: Path, passphrase: Secret) -> int:
        """Write what operates a cluster to an encrypted file; return how many files are in it.

        Raises:
            ConfigError: The cluster is not known here, or the file is there already.
            TrustError: The passphrase is too short, or a file cannot be read.
        """
        ...

    async def complete_ai(self, spec: ClusterSpec) -> tuple[Completion, ...]:
        """Ask every AI endpoint from every host for a few words.

        Raises:
            BzzzError: A host could not be reached.
        """
        ...

    async def close(self) -> None:
        """End the connections to the nodes' APIs."""
        ...

    async def examine_ai(self, endpoint: AiEndpoint) -> EndpointReport:
        """Ask an AI endpoint what it is and which models it has."""
        ...
