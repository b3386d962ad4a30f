"""What a way of asking a host must offer."""

from __future__ import annotations

from typing import Protocol

from bzzz_core.api.documents import Status


class Source(Protocol):
    """One host that can be asked for the status of the cluster."""

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

    async def close(self) -> None:
        """Drop the connection; `fetch` may be called again and connects anew."""
        ...
