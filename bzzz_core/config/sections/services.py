"""6 Service Deployment: how services run, and what stands behind each of them.

A service's *backend* is `real` (the fabric), `mock` (this node's memory, lost at its end) or
`hybrid` (both, switched while it runs). *Fallback* is whether the real one gives way to memory by
itself when it fails. A profile is a named set of such choices; a flag set by hand goes before it.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, model_validator

from bzzz_core.config.sections.patterns import URL
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


def _file(text: str) -> str:
    if "://" in text:
        raise ValueError("write the path of a file; setup fetches no bundle by URL")
    return text


BundleFile = Annotated[str, AfterValidator(_file)]
"""The path of a bundle."""

_DAY: Final = "(daily|mon|tue|wed|thu|fri|sat|sun)"
_TIME: Final = "([01][0-9]|2[0-3]):[0-5][0-9]"
WINDOW: Final = f"^{_DAY} {_TIME}-{_TIME}$"


class ImageAnswers(Section):
    """The container image of manifests; none is published, so it is one that you built."""

    reference: str | None = setting(
        None,
        max_length=512,
        label="Image",
        help="registry/path:tag, better with @sha256:digest; needed for all but systemd.",
    )
    pull_policy: Literal["always", "missing", "never"] = setting(
        "missing", label="Pull policy", help="When the image is fetched from its registry."
    )
    pull_secret: str | None = setting(
        None,
        pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$",
        label="Pull secret",
        help="Name of the Kubernetes Secret with the registry's login.",
    )


class UpdatesAnswers(Section):
    """How new releases come."""

    channel: Literal["stable", "beta", "dev", "custom"] = setting(
        "stable", label="Release channel", help="Which releases are offered."
    )
    channel_url: str | None = setting(
        None, pattern=URL, label="Channel URL", help="Where they are, for custom."
    )
    automatic: Literal["off", "notify", "scheduled"] = setting(
        "off",
        label="Automatic",
        help="off: by command only; notify: you are told; scheduled: installed in the window.",
    )
    window: str = setting(
        "sun 03:00-05:00",
        pattern=WINDOW,
        label="Update window",
        help="When (UTC), as in sun 03:00-05:00 or daily 02:00-03:00, for scheduled.",
    )
    notify_url: str | None = setting(
        None, pattern=URL, label="Notify", help="Web hook that is told of updates."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.channel == "custom" and not self.channel_url:
            raise ValueError("channel custom needs channel_url")
        return self


class RolloutAnswers(Section):
    """How a change is spread over the hosts of a cluster that serves."""

    batch: str = setting(
        "10%",
        pattern=r"^([1-9][0-9]{0,2}|([1-9][0-9]?|100)%)$",
        label="Batch",
        help="How many hosts are restarted together after the first one: a number, or a share of "
        "the hosts such as 25%. Voters always go one by one.",
    )
    max_failures: int = setting(
        1,
        ge=1,
        le=100,
        label="Failures allowed",
        help="After how many hosts that do not come back no further one is touched.",
    )


class ServicesAnswers(Section):
    """6 Service Deployment."""

    target: Literal["systemd", "compose", "swarm", "kubernetes"] = setting(
        "systemd",
        label="Target",
        help="systemd: installed on the hosts by setup. compose, swarm and kubernetes: manifests "
        "only, which you apply yourself; setup changes no host then.",
    )
    image: ImageAnswers = setting(
        ImageAnswers(), label="Image", help="What manifests name; nothing for systemd."
    )
    updates: UpdatesAnswers = setting(
        UpdatesAnswers(), active=False, label="Updates", help="How new releases come."
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
    bundle: BundleFile | None = setting(
        None,
        min_length=1,
        max_length=4_096,
        label="Bundle",
        help="File with signed releases, for hosts and operators without internet; empty: setup "
        "builds the release itself.",
    )
    rollout: RolloutAnswers = setting(
        RolloutAnswers(), label="Rollout", help="How a change is spread over the hosts."
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
