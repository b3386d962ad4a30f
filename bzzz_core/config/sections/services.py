"""6 Service Deployment: how services run, and what stands behind each of them.

A service's *backend* is `real` (the fabric), `mock` (this node's memory, lost at its end) or
`hybrid` (both, switched while it runs). *Fallback* is whether the real one gives way to memory by
itself when it fails. A profile is a named set of such choices; a flag set by hand goes before it.
"""

from __future__ import annotations

from typing import Final, Literal

from bzzz_core.config.setting import Section, setting

Backend = Literal["mock", "real", "hybrid"]
Profile = Literal["development", "integration", "staging", "production"]

_BY_PROFILE: Final[dict[Profile, tuple[Backend, bool]]] = {
    "development": ("mock", True),
    "integration": ("hybrid", True),
    "staging": ("real", True),
    "production": ("real", False),
}
"""Profile -> what every service without a flag of its own uses, and whether it falls back."""


class ServicesAnswers(Section):
    """6 Service Deployment."""

    target: Literal["systemd"] = setting(
        "systemd", label="Target", help="How services run on the hosts."
    )
    releases_kept: int = setting(
        3, ge=2, le=10, label="Releases kept", help="How many releases stay on a host for rollback."
    )
    ready_ms_max: int = setting(
        90_000,
        ge=5_000,
        le=600_000,
        unit="ms",
        label="Start limit",
        help="How long a started service may take until it says it is ready.",
    )
    profile: Profile = setting(
        "production",
        label="Profile",
        help="What stands behind the services: memory for development, the fabric for production.",
    )


class BackendsConfig(Section):
    """Flags that go before the profile; empty means "as the profile says"."""

    dht: Backend | None = setting(
        None,
        reloadable=True,
        aliases=("BZZZ_DHT_BACKEND",),
        label="DHT backend",
        help="Where DHT values are kept: mock, real or hybrid; empty: as the profile says.",
    )


class ServicesConfig(Section):
    """How this node's services are run."""

    broker: Literal["unit", "child", "none"] = setting(
        "unit",
        of_node=True,
        label="Broker",
        help="unit: a service of its own; child: started by the agent; none: an edge without one.",
    )
    profile: Profile = setting(
        "production",
        reloadable=True,
        label="Profile",
        help="Default of every backend: development mock; integration hybrid; staging real with "
        "fallback; production real without.",
    )
    fallback: bool | None = setting(
        None,
        reloadable=True,
        aliases=("BZZZ_FALLBACK_ON_ERROR",),
        label="Fallback",
        help="Whether a real backend that fails gives way to memory; empty: as the profile says.",
    )
    backends: BackendsConfig = setting(
        BackendsConfig(), label="Backends", help="Flags that go before the profile."
    )

    def backend_of(self, service: str) -> Backend:
        """Return what stands behind a service, by its flag or else by the profile."""
        chosen: Backend | None = getattr(self.backends, service)
        return chosen or _BY_PROFILE[self.profile][0]

    @property
    def falls_back(self) -> bool:
        """Return whether a real backend that fails gives way to memory by itself."""
        return _BY_PROFILE[self.profile][1] if self.fallback is None else self.fallback
