"""Asks a node's API through SSH: the API listens on the host's loopback only.

The way in is the one that setup trusted: the profile's login and the host keys that setup pinned.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from typing import Any

from bzzz_core.api.documents import Status
from bzzz_core.api.event_documents import Message
from bzzz_core.api.event_stream import Follow
from bzzz_core.config.profile import ClusterProfile, ProfileHost
from bzzz_core.deploy.ssh.forward import LOOPBACK, forward
from bzzz_core.errors import ConfigError
from bzzz_tui.feed.api import ApiSource


class SshSource:
    """One host of a profile, reached by forwarding."""

    def __init__(self, profile: ClusterProfile, host: ProfileHost) -> None:
        """Take the profile; open nothing."""
        self._profile = profile
        self._host = host
        self._api: ApiSource | None = None
        self._way = AsyncExitStack()
        self._answered = False

    @property
    def name(self) -> str:
        """Return the host's name, as the profile calls it."""
        return self._host.name

    @property
    def prompt(self) -> bool:
        """Return whether the connection stands and was of use."""
        return self._api is not None and self._answered

    async def fetch(self) -> Status:
        """Ask for `/v1/status` once, connecting first if need be.

        Raises:
            DeployError: The host cannot be reached, trusted or logged in to.
            TransportError: The API does not answer.
            PermissionDenied: It refused the token.
        """
        status = await (await self._open()).fetch()
        self._answered = True
        return status

    async def follow(self, asked: Follow) -> AsyncGenerator[Message, None]:
        """Yield the messages of `/v1/events`, connecting first if need be.

        Raises:
            DeployError: The host cannot be reached, trusted or logged in to.
            NotOffered: The agent is older than that.
            TransportError: The API does not answer.
            PermissionDenied: It refused the token.
        """
        api = await self._open()
        async with aclosing(api.follow(asked)) as messages:
            async for message in messages:
                self._answered = True
                yield message

    async def call(self, method: str, path: str, body: object | None = None) -> Any:
        """Ask for an operation, connecting first; see `ApiClient.call`.

        Raises:
            BzzzError: No connection, or the agent refused.
        """
        return await (await self._open()).call(method, path, body)

    async def _open(self) -> ApiSource:
        if self._api is None:
            access = self._profile.ssh
            if access is None:
                raise ConfigError(f"{self.name}: the profile has neither an api_url nor ssh")
            port = await self._way.enter_async_context(forward(access, self._host))
            token, url = self._profile.api_token, f"http://{LOOPBACK}:{port}"
            self._api = ApiSource(name=self.name, url=url, token=token)
        return self._api

    async def close(self) -> None:
        """End forwarding and connection."""
        api, self._api, self._answered = self._api, None, False
        way, self._way = self._way, AsyncExitStack()
        if api is not None:
            await api.close()
        await way.aclose()
