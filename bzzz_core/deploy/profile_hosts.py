"""The hosts in a cluster's profile: those of the answers, and those that are not gone yet.

Whoever is left out of the answers stays in the profile until it was removed: it is where its
address is known from, and by which setup notices that it is missing.
"""

from __future__ import annotations

from pathlib import Path

from bzzz_core.config.profile import ProfileHost, load_profile, save_profile
from bzzz_core.config.schema import ClusterSpec
from bzzz_core.deploy.goal import node_address
from bzzz_core.errors import ConfigError


def known(profile: Path) -> tuple[ProfileHost, ...]:
    """Return the hosts that setup installed last; none if there is no profile to read."""
    try:
        return load_profile(profile).hosts
    except ConfigError:
        return ()


def of_answers(spec: ClusterSpec, before: tuple[ProfileHost, ...]) -> tuple[ProfileHost, ...]:
    """Return the hosts that belong into a profile.

    Args:
        spec: The answers.
        before: The hosts that the profile has.
    """
    present = {host.name for host in spec.hosts}
    told = tuple(
        ProfileHost(
            name=host.name,
            address=node_address(host),
            port=host.port,
            user=host.user,
            api_port=spec.network.ports.api,
        )
        for host in spec.hosts
    )
    return told + tuple(host for host in before if host.name not in present)


def forget(profile: Path, names: frozenset[str]) -> None:
    """Take hosts out of a profile, if there is one; without any left it is removed."""
    try:
        document = load_profile(profile)
    except ConfigError:
        return
    left = tuple(host for host in document.hosts if host.name not in names)
    if not left:
        profile.unlink()
    elif left != document.hosts:
        save_profile(profile, document.model_copy(update={"hosts": left}))
