"""Turns what the operator named (a cluster, a profile file, a demo's directory) into sources.

Heavy imports happen here, inside the functions, after the first frame has been painted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from bzzz_core.clock import utc_now
from bzzz_core.config.profile_places import known_profiles, profile_path
from bzzz_core.errors import ConfigError
from bzzz_core.ports import Clock
from bzzz_tui.feed.rotation import Pace, Rotation
from bzzz_tui.feed.source import Source
from bzzz_tui.monitor.opened import Opened
from bzzz_tui.store import FeedEvent

if TYPE_CHECKING:
    from bzzz_core.config.profile import ClusterProfile, ProfileHost, SshAccess
    from bzzz_tui.monitor.opened import Feed
    from bzzz_tui.recording.recorder import Recorder

_STATE_BYTES_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which cluster to watch; at most one of the three is given."""

    cluster: str | None = None
    """Name of a cluster whose profile setup wrote."""
    profile: Path | None = None
    """A profile file elsewhere."""
    demo_state: Path | None = None
    """Directory in which a running demo wrote `cluster.json`."""
    record: Path | None = None
    """Where to write down what the feed tells."""


class _DemoAgent(msgspec.Struct, frozen=True):
    name: str
    api_url: Annotated[str, msgspec.Meta(pattern="^http://(127\\.0\\.0\\.1|localhost)[:/]")]
    token_file: str


class _DemoState(msgspec.Struct, frozen=True):
    agents: Annotated[tuple[_DemoAgent, ...], msgspec.Meta(min_length=1, max_length=1_000)]


def open_target(
    target: Target,
    *,
    clock: Clock,
    pace: Pace,
    emit: Callable[[FeedEvent], None],
    follow: bool = True,
) -> Feed:
    """Return the feed of a target; without `follow` it asks for the status again and again.

    Raises:
        ConfigError: There is no such target, it says something that cannot be, or the recording
            cannot be written.
    """
    sources = sources_of(target)
    if target.record is None:
        return Rotation(sources, clock=clock, pace=pace, emit=emit, follow=follow)
    recorder = recorder_of(target.record, clock=clock, emit=emit)
    feed = Rotation(sources, clock=clock, pace=pace, emit=recorder.take, follow=follow)
    return recorded(feed, recorder)


def recorder_of(path: Path, *, clock: Clock, emit: Callable[[FeedEvent], None]) -> Recorder:
    """Return what writes down what a feed tells from now on.

    Raises:
        ConfigError: The file cannot be written.
    """
    from bzzz_tui.recording.recorder import Recorder  # noqa: PLC0415

    return Recorder(path, clock=clock, started_at=utc_now(), emit=emit)


def recorded(feed: Feed, recorder: Recorder) -> Feed:
    """Return a feed that emits to a recorder, with the recorder running beside it."""
    from bzzz_tui.recording.recorder import RecordedFeed  # noqa: PLC0415

    return RecordedFeed(feed, recorder)


def open_cluster(
    target: Target, *, clock: Clock, pace: Pace, emit: Callable[[FeedEvent], None]
) -> Opened:
    """Return the feed of a target, and what its profile allows.

    Raises:
        ConfigError: There is no such target, or it says something that cannot be.
    """
    feed = open_target(target, clock=clock, pace=pace, emit=emit)
    if target.demo_state is not None:
        return Opened(feed=feed, hosts=lambda: sources_of(target))
    profile = _profile(target)
    return Opened(
        feed=feed,
        hosts=lambda: of_profile(profile),
        context=profile.name,
        color=profile.color or "",
        production=profile.production,
        write=profile.write,
        ssh={host.name: shell_of(profile.ssh, host) for host in profile.hosts if profile.ssh},
    )


def shell_of(access: SshAccess, host: ProfileHost) -> tuple[str, ...]:
    """Return the command that opens a shell on a host, trusting only the keys of the profile.

    It goes the way that setup went: user and port are settled here, since setup's defaults are not
    those of ssh, and ssh reads the rest from the same configuration.

    Raises:
        ConfigError: The operator's SSH configuration is damaged.
    """
    from bzzz_core.deploy.ssh.forward import way_to  # noqa: PLC0415

    login = way_to(access, host)
    key = ("-i", access.key) if access.key else ()
    jump = ("-J", access.jump) if access.jump else ()
    return (
        "ssh",
        *_configuration(access),
        *jump,
        "-o",
        f"UserKnownHostsFile={access.known_hosts}",
        "-o",
        "StrictHostKeyChecking=yes",
        *key,
        "-p",
        str(login.port),
        "-l",
        login.user,
        "--",
        host.address,
    )


def _configuration(access: SshAccess) -> tuple[str, ...]:
    """Return how ssh is told of a configuration that is not the one it reads by itself."""
    if access.config is None:
        return ("-F", "none")
    path = Path(access.config).expanduser()
    usual = path == Path.home() / ".ssh" / "config" or not path.exists()
    return () if usual else ("-F", str(path))


def sources_of(target: Target) -> Sequence[Source]:
    """Return the hosts of a target in the order in which to ask them.

    Raises:
        ConfigError: There is no such target, or it says something that cannot be.
    """
    if target.demo_state is not None:
        return _of_demo(target.demo_state)
    return of_profile(_profile(target))


def _profile(target: Target) -> ClusterProfile:
    from bzzz_core.config.profile import load_profile  # noqa: PLC0415

    if target.profile is not None:
        return load_profile(target.profile)
    return load_profile(profile_path(target.cluster or _only(known_profiles())))


def _only(names: Sequence[str]) -> str:
    if not names:
        raise ConfigError(
            "no cluster is known here yet; run: bzzz-tui setup, or: bzzz-tui demo."
            " A demo started with --state-dir DIR: bzzz-tui monitor --demo-state DIR"
        )
    if len(names) > 1:
        raise ConfigError(f"several clusters are known; add --cluster NAME: {', '.join(names)}")
    return names[0]


def of_profile(profile: ClusterProfile) -> Sequence[Source]:
    """Return one source a host: direct where an API URL is known, else through SSH."""
    from bzzz_tui.feed.api import ApiSource  # noqa: PLC0415

    sources: list[Source] = []
    for host in profile.hosts:
        if host.api_url is not None:
            url = host.api_url
            sources.append(ApiSource(name=host.name, url=url, token=profile.api_token))
        else:
            from bzzz_tui.feed.ssh import SshSource  # noqa: PLC0415

            sources.append(SshSource(profile, host))
    return sources


def _of_demo(directory: Path) -> Sequence[Source]:
    from bzzz_tui.feed.api import ApiSource  # noqa: PLC0415

    path = directory / "cluster.json"
    try:
        with path.open("rb") as file:
            state = msgspec.json.decode(file.read(_STATE_BYTES_MAX), type=_DemoState)
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}; is the demo running there?") from exc
    except msgspec.DecodeError as exc:
        raise ConfigError(f"{path}: not the state of a demo: {exc}") from exc
    return [
        ApiSource(name=agent.name, url=agent.api_url, token=f"file:{agent.token_file}")
        for agent in state.agents
    ]
