"""The events of an agent behind its real API on loopback, with a status that a test decides."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bzzz_core.api.auth import Doorkeeper
from bzzz_core.api.documents import Status
from bzzz_core.api.event_documents import LogLevel, LogLine
from bzzz_core.api.events.hub import Events
from bzzz_core.api.events.reading import Speaker
from bzzz_core.api.events.sampling import Sight
from bzzz_core.api.events.streaming import operation
from bzzz_core.api.http import build_app
from bzzz_core.api.server import ApiServer
from bzzz_core.clock import SystemClock
from bzzz_core.config.secrets import Secret
from bzzz_core.model import NodeId
from bzzz_core.telemetry.log_ring import LogRing
from bzzz_core.trust.secrets_directory import SecretsDirectory
from bzzz_core.trust.tls import pinned_context, server_context
from tests.fakes import statuses
from tests.fakes.sights import sight_of

TOKEN = Secret("open sesame")
SPEAKER = Speaker(node="bzzz-1", node_id=NodeId("n1"), version="0.1.0", epoch="epoch-1")


@dataclass
class EventAgent:
    """What the test holds of it."""

    status: Status = field(default_factory=statuses.status)
    looked: int = 0
    """How often its status was asked for."""
    ring: LogRing = field(default_factory=LogRing)
    port: int = 0
    pinned: ssl.SSLContext | None = None
    """For callers, if it speaks TLS."""
    withdrawn: bool = False
    """Whether its token is no longer taken of whoever reads already."""

    def __post_init__(self) -> None:
        """Build its events."""
        self.events = Events(
            speaker=SPEAKER, sight=self._look, log=self.ring, clock=SystemClock(), now=lambda: "t"
        )

    @property
    def url(self) -> str:
        """Return where it serves."""
        return f"http://127.0.0.1:{self.port}"

    def _look(self) -> Sight:
        self.looked += 1
        return sight_of(self.status)

    def write(self, text: str, level: LogLevel = "info", component: str = "agent") -> None:
        """Write a line into its log."""
        self.ring.add(
            lambda number: LogLine(
                number=number, at="t", node="bzzz-1", level=level, component=component, text=text
            )
        )


@asynccontextmanager
async def serving(secrets: SecretsDirectory | None = None) -> AsyncIterator[EventAgent]:
    """Serve until the block ends, then end as an agent does; with `secrets` by TLS."""
    agent = EventAgent()
    context = None
    if secrets is not None:
        context = server_context(secrets)
        agent.pinned = pinned_context(secrets.node_ca.read_text())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        agent.port = probe.getsockname()[1]
    app = build_app(
        doorkeeper=Doorkeeper.of_one(TOKEN),
        status=lambda: agent.status,
        not_ready=lambda: (),
        operations=(operation(agent.events, still=lambda *_who: not agent.withdrawn),),
    )
    server = ApiServer(
        app,
        host="127.0.0.1",
        port=agent.port,
        context=context,
        farewell=agent.events.farewell,
    )
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(server.run()), group.create_task(agent.events.run())]
        await until(lambda: server.started)
        try:
            yield agent
        finally:
            for task in tasks:
                task.cancel()


async def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Return once something holds that nobody tells of."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def on_agent(
    check: Callable[[EventAgent], Awaitable[None]], *, secrets: SecretsDirectory | None = None
) -> None:
    """Run a check on an agent that serves; with `secrets` by TLS."""

    async def run() -> None:
        async with asyncio.timeout(60), serving(secrets) as agent:
            await check(agent)

    asyncio.run(run())
