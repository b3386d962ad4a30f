"""A cluster whose agents come from two releases: this tree, and the one before it.

The older release is taken from the repository, so it runs exactly as it was released, in a
directory of its own; the two share nothing but the libraries. The cluster is laid out by the older
release: an upgraded agent has to read what was there before it. Brokers are children of their
agents, and everybody is on loopback: what matters here is what they say to each other.
"""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bzzz_core.api.client import ApiClient
from bzzz_core.api.documents import Status
from bzzz_core.config.secrets import resolve
from bzzz_core.config.sources import load_agent_config
from bzzz_core.errors import BzzzError
from bzzz_core.process import die_with_parent
from tests.chaos.host import ROOT

PREVIOUS: Final = "5bb16cc"
"""Commit of the release before this one."""
AGREE_S_MAX: Final = 60.0
_STOP_S_MAX: Final = 15.0
_LOOK_S: Final = 0.1
_LAY_OUT: Final = """
import sys
from pathlib import Path
from bzzz_core.demo.layout import lay_out
lay_out(Path(sys.argv[1]), agents=int(sys.argv[2]))
"""


def previous_missing() -> str | None:
    """Return why the previous release cannot be had here, or None."""
    done = subprocess.run(
        ["git", "cat-file", "-e", f"{PREVIOUS}^{{commit}}"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    return f"commit {PREVIOUS} is not in this clone" if done.returncode else None


def unpack_previous(directory: Path) -> Path:
    """Return the tree of the previous release, unpacked below `directory`."""
    archive = subprocess.run(
        ["git", "archive", PREVIOUS], cwd=ROOT, capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(directory, filter="data")
    return directory


@dataclass(slots=True)
class MixedAgent:
    """One agent and the release it runs."""

    name: str
    config: Path
    url: str
    token: Path
    voter: bool
    tree: Path
    process: subprocess.Popen[bytes] | None = None


class MixedCluster:
    """Agents on loopback, each from a tree of its own."""

    def __init__(self, directory: Path, *, agents: int) -> None:
        """Lay out with the previous release; start nothing."""
        self.previous = unpack_previous(directory / "previous")
        self.present = ROOT
        nodes = directory / "nodes"
        subprocess.run(
            [sys.executable, "-c", _LAY_OUT, str(nodes), str(agents)],
            env=_environment(self.previous),
            cwd=self.previous,
            check=True,
        )
        self.agents = [self._agent(nodes / f"bzzz-{number}") for number in range(1, agents + 1)]

    def __enter__(self) -> Self:
        """Return the cluster, nothing of it started."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End all agents, and with them their brokers."""
        for agent in self.agents:
            if agent.process is not None:
                agent.process.kill()
                agent.process.wait()

    def start(self, agent: MixedAgent, tree: Path) -> None:
        """Start an agent of the release in `tree`."""
        agent.tree = tree
        with (agent.config.parent / "logs" / "agent.err").open("ab") as log:
            agent.process = subprocess.Popen(
                [sys.executable, "-m", "bzzz_core.cli", "run", "--config", str(agent.config)],
                env=_environment(tree),
                cwd=tree,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509  no threads here
            )

    def stop(self, agent: MixedAgent, how: signal.Signals = signal.SIGTERM) -> None:
        """End an agent in order, or without warning."""
        assert agent.process is not None, "start comes first"
        agent.process.send_signal(how)
        agent.process.wait(_STOP_S_MAX)
        agent.process = None

    def named(self, name: str | None) -> MixedAgent:
        """Return the agent of a name."""
        return next(agent for agent in self.agents if agent.name == name)

    async def agreed(
        self, good: Callable[[Status], bool] = lambda _: True, *, edges: bool = True
    ) -> Status:
        """Wait until all running agents name one serving leader of one term, and it is `good`.

        Args:
            good: What the status of the first of them has to be, too.
            edges: Whether edges are asked, or only voters.

        Raises:
            TimeoutError: They did not; the message has what they said.
        """
        running = [a for a in self.agents if a.process is not None and (edges or a.voter)]
        said: Sequence[Status | None] = []
        try:
            async with asyncio.timeout(AGREE_S_MAX):
                while True:
                    said = await asyncio.gather(*(_ask(agent) for agent in running))
                    views = {(s.leader, s.term, s.leader_serving) for s in said if s is not None}
                    if None not in said and len(views) == 1:
                        status = said[0]
                        assert status is not None
                        if status.leader and status.leader_serving and good(status):
                            return status
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError as exc:
            words = "\n".join(
                f"{agent.name} ({agent.tree.name}): {status}"
                for agent, status in zip(running, said, strict=False)
            )
            raise TimeoutError(f"no agreement within {AGREE_S_MAX} s\n{words}") from exc

    def _agent(self, home: Path) -> MixedAgent:
        # Read by this release: what the one before wrote has to be understood.
        config = load_agent_config(home / "agent.yaml", {})
        port = config.network.ports.api
        return MixedAgent(
            name=home.name,
            config=home / "agent.yaml",
            url=f"http://127.0.0.1:{port}",
            token=home / "secrets" / "api-token",
            voter=config.me.voter,
            tree=self.previous,
        )


def _environment(tree: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BZZZ_")}
    return {**kept, "PYTHONPATH": str(tree)}


async def _ask(agent: MixedAgent) -> Status | None:
    try:
        async with ApiClient(agent.url, token=resolve(f"file:{agent.token}")) as client:
            return await client.status()
    except BzzzError:
        return None
