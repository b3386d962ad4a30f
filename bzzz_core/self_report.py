"""What this node says about itself: to the roster, and to its own election as a score."""

from __future__ import annotations

from collections.abc import Callable

from bzzz_core import __version__
from bzzz_core.config.schema import AgentConfig
from bzzz_core.election.score import Capability, score
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.membership.beat import Capabilities, Report
from bzzz_core.ports import Clock
from bzzz_core.telemetry.languages import languages
from bzzz_core.telemetry.sample import Sampler


class SelfReport:
    """This node as it is now."""

    def __init__(
        self,
        *,
        config: Callable[[], AgentConfig],
        fabric: NatsFabric,
        sampler: Sampler,
        clock: Clock,
    ) -> None:
        """Read nothing yet; `config` gives the configuration in force."""
        self._config = config
        self._fabric = fabric
        self._sampler = sampler
        self._clock = clock
        self._started_ms = clock.now_ms()
        self._languages = languages()

    @property
    def uptime_ms(self) -> int:
        """Return for how long the agent has run."""
        return self._clock.now_ms() - self._started_ms

    def report(self) -> Report:
        """Return what a beat carries."""
        config = self._config()
        return Report(
            name=config.system.node_name,
            address=config.me.address,
            version=__version__,
            uptime_s=self.uptime_ms // 1000,
            voter=config.me.voter,
            sample=self._sampler.sample(),
            broker=self._fabric.server_name,
            rtt_ms=self._fabric.rtt_ms,
            capabilities=self._capabilities(config),
        )

    def score(self) -> float:
        """Return the capability score, 0 to 100."""
        sample = self._sampler.latest
        return score(
            Capability(
                uptime_s=self.uptime_ms / 1000,
                load_1m=sample.load_1m,
                cpu_count=sample.cpu_count,
                memory_used_bytes=sample.memory_used_bytes,
                memory_total_bytes=sample.memory_total_bytes,
            )
        )

    def _capabilities(self, config: AgentConfig) -> Capabilities:
        endpoint = config.ai.endpoint
        models = (endpoint.model,) if endpoint.provider != "none" and endpoint.model else ()
        roles = tuple(config.system.node_roles)
        return Capabilities(models=models, languages=self._languages, node_roles=roles)
