"""The whole roster, page by page, from the leader to a node whose own does not fit.

A page is made once between two digests, however many nodes ask for it: after a power cycle all
edges ask at the same time, and the leader's event loop has heartbeats to send.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from bzzz_core.errors import RequestInvalid, TransportError
from bzzz_core.membership.beat import (
    PAGE_MEMBERS_MAX,
    Page,
    PageAsked,
    Told,
    decode_asked,
    decode_page,
    encode,
    size_of,
)
from bzzz_core.membership.machine import Roster
from bzzz_core.model import NodeId

PAGE_BYTES_MAX: Final = 400_000


class Pages:
    """The leader's side."""

    def __init__(self, roster: Roster) -> None:
        """Answer from `roster`."""
        self._roster = roster
        self._made: dict[NodeId, bytes] = {}

    def forget(self) -> None:
        """Make pages anew from now on."""
        self._made.clear()

    def answer(self, question: bytes, now_ms: int) -> bytes:
        """Return the page that is asked for.

        Raises:
            RequestInvalid: The question is malformed.
        """
        try:
            after = decode_asked(question).after
        except TransportError as exc:
            raise RequestInvalid(str(exc)) from exc
        made = self._made.get(after)
        if made is None:
            if len(self._made) >= PAGE_MEMBERS_MAX:
                self.forget()  # Whoever asks from all places makes nobody's memory grow.
            made = self._made[after] = self._make(after, now_ms)
        return made

    def _make(self, after: NodeId, now_ms: int) -> bytes:
        page: list[Told] = []
        size_bytes = 0
        for told in self._roster.told_after(after, now_ms):
            size_bytes += size_of(told)
            if page and (len(page) >= PAGE_MEMBERS_MAX or size_bytes > PAGE_BYTES_MAX):
                return encode(Page(tuple(page), more=True))
            page.append(told)
        return encode(Page(tuple(page), more=False))


async def fetch(ask: Callable[[bytes], Awaitable[bytes]]) -> AsyncIterator[tuple[Told, ...]]:
    """Yield the leader's roster page by page.

    Raises:
        TransportError: An answer is malformed.
        BzzzError: What `ask` fails with.
    """
    after = NodeId("")
    while True:
        page = decode_page(await ask(encode(PageAsked(after))))
        yield page.members
        if not page.more or not page.members or page.members[-1].node <= after:
            return
        after = page.members[-1].node
