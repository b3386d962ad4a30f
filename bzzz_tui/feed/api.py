"""Asks a node's API at a URL: the demo's agents directly, hosts through an SSH forwarding."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from bzzz_core.api.asking import ApiClient
from bzzz_core.api.documents import Status
from bzzz_core.api.event_documents import Message
from bzzz_core.api.event_stream import Follow
from bzzz_core.config.secrets import resolve

_TIMEOUT_S: Final = 60.0
"""Far beyond any deadline of a caller: the caller's is the one that counts."""


class ApiSource:
    """One node's API at one URL."""

    def __init__(self, *, name: str, url: str, token: str) -> None:
        """Take where to ask; open nothing.

        Args:
            name: The host's name in the profile.
            url: Scheme, host and port.
            token: Reference to the token, resolved at each connection, so that a new one is taken.
        """
        self._name = name
        self._url = url
        self._token = token
        self._client: ApiClient | None = None

    @property
    def name(self) -> str:
        """Return the host's name, as the profile calls it."""
        return self._name

    @property
    def prompt(self) -> bool:
        """Return True: what has a URL is near."""
        return True

    async def fetch(self) -> Status:
        """Ask for `/v1/status` once.

        Raises:
            TransportError: No connection, or no status document.
            PermissionDenied: The token was refused.
            SecretError: The token could not be read.
        """
        return await (await self._open()).status()

    async def follow(self, asked: Follow) -> AsyncGenerator[Message, None]:
        """Yield the messages of `/v1/events`.

        Raises:
            NotOffered: The agent is older than that.
            TransportError: No connection, silence, or no messages.
            PermissionDenied: The token was refused.
            SecretError: The token could not be read.
        """
        client = await self._open()
        async with aclosing(client.follow(asked)) as messages:
            async for message in messages:
                yield message

    async def call(self, method: str, path: str, body: object | None = None) -> Any:
        """Ask for an operation; see `ApiClient.call`.

        Raises:
            BzzzError: No connection, or the agent refused.
        """
        return await (await self._open()).call(method, path, body)

    async def _open(self) -> ApiClient:
        if self._client is None:
            client = ApiClient(self._url, token=resolve(self._token), timeout_s=_TIMEOUT_S)
            self._client = await client.__aenter__()
        return self._client

    async def close(self) -> None:
        """Drop the connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.__aexit__(None, None, None)
