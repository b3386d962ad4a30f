"""An agent with everything an agent has, that never runs: its API answers, nobody else does.

So each route that an agent offers is here, with its real handler; what asks the leader or the
fabric is told in the end that nobody answers. The hash table is this node's own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Self

import msgspec
from starlette.types import ASGIApp

from bzzz_core.agent import Agent
from bzzz_core.api.about import everything
from bzzz_core.api.auth import Doorkeeper, Keys
from bzzz_core.api.http import build_app
from bzzz_core.api.limits import Hosts
from bzzz_core.api.openapi import describe
from bzzz_core.api.operations import Offer
from bzzz_core.api.server import ApiServer
from bzzz_core.clock import SystemClock
from bzzz_core.config.secrets import Secret
from bzzz_core.demo.layout import free_ports
from bzzz_core.enrolment.founder import Founding, found
from bzzz_core.enrolment.home import Home
from bzzz_core.enrolment.joiner import Newcomer
from bzzz_core.model import ApiRole
from bzzz_core.shared_config.node_sources import NodeSources

ROLES: tuple[ApiRole, ...] = ("viewer", "operator", "admin")
TOKENS: dict[ApiRole, str] = {role: f"the token of one {role}" for role in ROLES}


def founded(directory: Path) -> Path:
    """Found a cluster of one in a directory; return the file of its node."""
    founding = Founding(cluster_name="home", leaf_s=3_600, ca_directory=directory / "ca")
    home = Home.below(directory / "one")
    ports = free_ports(1)[0].model_dump()
    newcomer = Newcomer.described("one", "127.0.0.1", [f"{k}={v}" for k, v in ports.items()])
    found(newcomer, founding, home=home)
    return home.config


class ApiNode:
    """One node of a cluster of one, founded in a directory, for the length of a `with`."""

    def __init__(self, directory: Path) -> None:
        """Found it, and build its agent."""
        self.file = founded(directory)
        environment = {"BZZZ_SERVICES__PROFILE": "development"}
        self.clock = SystemClock()
        sources = NodeSources.at(self.file, environment=environment)
        self.config = sources.config()
        self.agent = Agent(sources, clock=self.clock)
        self.audited: list[tuple[str, dict[str, object]]] = []

    def __enter__(self) -> Self:
        """Return the node."""
        return self

    def __exit__(self, *_failure: object) -> None:
        """Let go of the files that an agent holds, as its end would."""
        self.agent._table._queue.close()
        self.agent._audit.close()

    def offers(self) -> tuple[Offer, ...]:
        """Return every route under `/v1`."""
        return everything(self.agent.status, self.agent.operations())

    def description(self) -> str:
        """Return what `docs/formats/openapi.json` has to hold."""
        return msgspec.json.format(msgspec.json.encode(describe(self.offers())), indent=2).decode()

    def app(
        self, operations: Sequence[Offer] | None = None, *, requests_per_s: int = 10_000
    ) -> ASGIApp:
        """Return the API, as the agent builds it; or with other operations."""
        doorkeeper = Doorkeeper(
            Keys([(role, role, Secret(token)) for role, token in TOKENS.items()]),
            clock=self.clock,
            audit=self._note,
            rate_per_s=lambda: requests_per_s,
        )
        return build_app(
            doorkeeper=doorkeeper,
            status=self.agent.status,
            not_ready=tuple,
            operations=self.agent.operations() if operations is None else operations,
            hosts=Hosts.of(self.config),
        )

    def _note(self, what: str, *, actor: str, **fields: object) -> None:
        self.audited.append((what, {"actor": actor, **fields}))


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """Serve an app by the real server; give the port."""
    port = free_ports(1)[0].api
    server = ApiServer(app, host=host, port=port)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.run())
        try:
            while not server.started:  # noqa: ASYNC110  uvicorn tells by a flag
                await asyncio.sleep(0)
            yield port
        finally:
            running.cancel()
