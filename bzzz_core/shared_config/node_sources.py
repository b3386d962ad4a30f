"""All that one node's configuration is made from: its own sources, and what the cluster says.

Where the cached cluster-wide values lie follows from the node's own values, so those are read
first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bzzz_core.config.layers import ClusterValues
from bzzz_core.config.node_file import Rewritten, change, would_be
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sources import AgentSources, Loaded
from bzzz_core.enrolment.itself import refuse_another_self
from bzzz_core.errors import ConfigError
from bzzz_core.shared_config.cache import SharedConfigCache


@dataclass(frozen=True, slots=True)
class NodeSources:
    """One node's sources; each method reads them anew."""

    own: AgentSources

    @classmethod
    def at(
        cls, path: Path, *, flags: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> NodeSources:
        """Return the sources of a node's file, this process's environment and some flags."""
        if environment is None:
            return cls(AgentSources(path=path, flags=flags))
        return cls(AgentSources(path=path, flags=flags, environment=environment))

    def load(self) -> Loaded:
        """Return the configuration, cluster-wide values included.

        Raises:
            ConfigError: It cannot be.
        """
        return self.own.load(self.cluster_values())

    def config(self) -> AgentConfig:
        """Return `load().config`; what `LiveConfig` loads by."""
        return self.load().config

    def start(self) -> Started:
        """Return what an agent starts with: without the cluster's values if they do not fit.

        Raises:
            ConfigError: The node's own sources are wrong.
        """
        bare = self.own.load()
        try:
            return Started(self.own.load(self._cache(bare.config).values()))
        except ConfigError as exc:
            return Started(bare, str(exc))

    def cluster_values(self) -> ClusterValues:
        """Return the cluster-wide values as far as this node knows them.

        Raises:
            ConfigError: The node's own sources are wrong.
        """
        return self._cache(self.own.load().config).values()

    def change(
        self,
        changes: Mapping[str, str | None],
        *,
        expected: str | None = None,
        then: Callable[[Rewritten], None] = lambda _written: None,
    ) -> Rewritten:
        """Set values in the node's file; see `bzzz_core.config.node_file.change`.

        Raises:
            ConfigError: As there, or the file would be another node's.
        """
        before = self.own.load().config
        return change(
            self.own,
            changes,
            cluster=self._cache(before).values(),
            expected=expected,
            check=partial(refuse_another_self, before),
            then=then,
        )

    def would_be(self, changes: Mapping[str, str | None]) -> Loaded:
        """Return what would be loaded after `change`, which is not done.

        Raises:
            ConfigError: As `change`.
        """
        before = self.own.load().config
        loaded = would_be(self.own, changes, cluster=self._cache(before).values())
        refuse_another_self(before, loaded.config)
        return loaded

    @staticmethod
    def _cache(config: AgentConfig) -> SharedConfigCache:
        return SharedConfigCache(Path(config.resources.paths.data), cluster=config.cluster.id)


@dataclass(frozen=True, slots=True)
class Started:
    """What an agent starts with."""

    loaded: Loaded
    left_out: str = field(default="")
    """Why the cluster-wide values were left out; empty if they were not."""
