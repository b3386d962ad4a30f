"""What a way of asking a host must offer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Protocol

from bzzz_core.api.documents import Status
from bzzz_core.api.event_documents import Message
from bzzz_core.api.event_stream import Follow


class Source(Protocol):
    """One host that can be asked for the status of the cluster, or followed."""

    @property
    def name(self) -> str:
        """Return the host's name, as the profile calls it."""
        ...

    @property
    def prompt(self) -> bool:
        """Return whether an answer is a matter of milliseconds: no connection has to be made."""
        ...

    async def fetch(self) -> Status:
        """Ask once, connecting first if need be. The caller sets the deadline by cancelling.

        Raises:
            BzzzError: Unreachable, refused, or no status document.
        """
        ...

    def follow(self, asked: Follow) -> AsyncGenerator[Message, None]:
        """Yield the messages of its event stream, connecting first if need be.

        The caller sets the deadlines by cancelling, and closes the generator.

        Raises:
            NotOffered: Its agent has no event stream: fetch instead.
            BzzzError: Unreachable, refused, or no messages.
        """
        ...

    async def call(self, method: str, path: str, body: object | None = None) -> Any:
        """Ask for an operation of the API, connecting first if need be; as `ApiClient.call`.

        Raises:
            BzzzError: Unreachable, or the agent refused.
        """
        ...

    async def close(self) -> None:
        """Drop the connection; `fetch` may be called again and connects anew."""
        ...
