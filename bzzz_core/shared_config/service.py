"""A node's configuration as one part of the agent: the live one, and both sides of the shared one.

    sources --> LiveConfig <-- ConfigFollower <-- leader's digest, questions
                    |              |
                subscribers    ConfigKeeper (answers while this node leads)

The composition root makes one, serves `keeper`'s two answers, runs `services`, mounts `operations`,
puts `numbers` into the digest and hands over what it hears in one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from bzzz_core.api.operations import Operation
from bzzz_core.config.live import Audit, LiveConfig
from bzzz_core.config.node_file import being_changed
from bzzz_core.config.schema import AgentConfig
from bzzz_core.model import FencingToken, NodeId, Revision
from bzzz_core.ports import Clock, Records
from bzzz_core.shared_config.cache import SharedConfigCache
from bzzz_core.shared_config.follower import POLL_MS, ConfigFollower
from bzzz_core.shared_config.keeper import READ, WRITE, ConfigKeeper
from bzzz_core.shared_config.node_sources import NodeSources
from bzzz_core.shared_config.operations import ConfigApi

VOTER_POLL_MS: Final = 2_000
"""Voters hear no digests; five of them ask the leader, which costs it a read each."""
NAME: Final = "config"
"""Under this name the digest carries the number of the cluster-wide configuration."""
_READ_MS: Final = 1_500
"""A question that nobody answers because a leader is being elected should not hold up the next."""
Report = Callable[[str, dict[str, object]], None]


class Leader(Protocol):
    """How a node asks the leader; `bzzz_core.leader_requests` does it."""

    async def ask(self, operation: str, body: bytes, *, timeout_ms: int) -> bytes:
        """Return the leader's answer."""
        ...

    def serve(self, operation: str, handler: Callable[[NodeId, bytes], Awaitable[bytes]]) -> None:
        """Let `handler` answer while this node leads."""
        ...


class NodeConfiguration:
    """Everything about configuration that runs in an agent."""

    def __init__(self, sources: NodeSources, *, clock: Clock, audit: Audit, report: Report) -> None:
        """Load the configuration; the cluster is joined by `connect`.

        Raises:
            ConfigError: The node's own sources are wrong.
        """
        started = sources.start()
        if started.left_out:
            report("cluster-wide configuration left out", {"reason": started.left_out})
        config = started.loaded.config
        self._sources = sources
        self._clock = clock
        self._audit = audit
        self._cache = SharedConfigCache(
            Path(config.resources.paths.data), cluster=config.cluster.id
        )
        self.live = LiveConfig(
            sources.config,
            clock=clock,
            audit=audit,
            watched=(sources.own.path,),
            being_changed=partial(being_changed, sources.own.path),
            report=report,
            current=config,
        )
        self._follower: ConfigFollower | None = None
        self._keeper: ConfigKeeper | None = None
        self._leader: Leader | None = None

    @property
    def current(self) -> AgentConfig:
        """Return what the agent runs with."""
        return self.live.current

    def connect(
        self,
        *,
        leader: Leader,
        records: Records,
        put: Callable[[FencingToken, str, bytes], Awaitable[Revision]],
        token: Callable[[], FencingToken],
        may_change: Callable[[NodeId], bool],
        now: Callable[[], str],
    ) -> None:
        """Join the cluster's part of it; once, before `services`.

        Args:
            leader: Asks and serves.
            records: The control stream.
            put: Writes a record through the lane of a leadership.
            token: The present leadership of this node; raises NotLeader while there is none.
            may_change: Whether a node may pass on wishes: a voter.
            now: Wall-clock UTC, for people.
        """

        async def put_as_leader(key: str, value: bytes) -> Revision:
            return await put(token(), key, value)

        config = self.current
        keeper = ConfigKeeper(
            records=records,
            put=put_as_leader,
            config=lambda: self.current,
            may_change=may_change,
            audit=self._audit,
            now=now,
        )

        def learnt(number: int, trace: str) -> None:
            keeper.saw(number)
            self.live.ask(f"cluster-wide revision {number}", trace=trace)

        self._leader, self._keeper = leader, keeper
        self._follower = ConfigFollower(
            ask=lambda body: leader.ask(READ, body, timeout_ms=_READ_MS),
            cache=self._cache,
            cluster=config.cluster.id,
            clock=self._clock,
            learnt=learnt,
            poll_ms=VOTER_POLL_MS if config.me.voter else POLL_MS,
        )
        keeper.saw(self._follower.number)
        leader.serve(READ, keeper.answer_read)
        leader.serve(WRITE, keeper.answer_write)

    def numbers(self) -> dict[str, int]:
        """Return what the digest of this node carries while it leads."""
        return {NAME: self._keeper.number if self._keeper else 0}

    def hear(self, numbers: dict[str, int]) -> None:
        """Take the numbers that a digest of the leader carries."""
        if self._follower is not None:
            self._follower.hear(numbers.get(NAME, 0))

    def services(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """Return what runs as long as the agent does."""
        assert self._follower is not None, "connect comes first"
        return [("config", self.live.run()), ("shared-config", self._follower.run())]

    def operations(self) -> list[Operation]:
        """Return what the local API offers."""
        leader, follower = self._leader, self._follower
        assert leader is not None, "connect comes first"
        assert follower is not None, "connect comes first"
        return ConfigApi(
            sources=self._sources,
            live=self.live,
            follower=follower,
            wish=lambda body, timeout_ms: leader.ask(WRITE, body, timeout_ms=timeout_ms),
        ).operations()
