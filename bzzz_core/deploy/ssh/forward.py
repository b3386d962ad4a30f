"""A way from this machine's loopback to a node's API, inside an SSH connection.

The monitor uses it: keepalives are short, because a frozen host must be noticed by someone who
watches.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import asyncssh

from bzzz_core.config import secrets
from bzzz_core.config.profile import ProfileHost, SshAccess
from bzzz_core.deploy.ssh.connect import opened
from bzzz_core.deploy.ssh.host_keys import KnownHosts
from bzzz_core.deploy.ssh.login import Login, Pace
from bzzz_core.deploy.ssh.user_config import routed
from bzzz_core.errors import HostUnreachable

LOOPBACK: Final = "127.0.0.1"
WATCHING: Final = Pace(connect_s=4, login_s=6, keepalive_s=2, keepalives_max=2)


@asynccontextmanager
async def forward(
    access: SshAccess, host: ProfileHost, *, pace: Pace = WATCHING
) -> AsyncIterator[int]:
    """Yield a local port that leads to the host's `127.0.0.1:api_port` until the block ends.

    Only keys that setup pinned are trusted.

    Raises:
        HostUnreachable: No connection, or the port could not be opened.
        HostKeyUnknown: The host is not in the profile's known_hosts file.
        HostKeyChanged: It shows another key than the pinned one.
        AuthenticationFailed: It refused the login.
    """
    login = await asyncio.to_thread(_login, access, host)
    async with opened(login, KnownHosts(Path(access.known_hosts)), pace) as connection:
        try:
            listener = await connection.forward_local_port(LOOPBACK, 0, LOOPBACK, host.api_port)
        except (asyncssh.Error, OSError) as exc:
            raise HostUnreachable(f"{host.name}: no forwarding: {exc}") from exc
        try:
            yield listener.get_port()
        finally:
            listener.close()


def way_to(access: SshAccess, host: ProfileHost) -> Login:
    """Return how to reach a host of a profile and as whom; without any password.

    Raises:
        ConfigError: The operator's SSH configuration is damaged.
    """
    stated = Login(
        name=host.name,
        address=host.address,
        port=host.port or access.port,
        user=host.user or access.user,
        key=Path(access.key) if access.key else None,
    )
    return routed(stated, config=access.config, jump=access.jump)


def _login(access: SshAccess, host: ProfileHost) -> Login:
    password = secrets.resolve(access.password) if access.password else None
    return replace(way_to(access, host), password=password)
