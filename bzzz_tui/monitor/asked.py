"""What a view asked the cluster for besides what the feed tells, and how old the answer is.

Kept in the store under the view's name, so that tables, filters and files are made from it as from
everything else, and so that it is there again when the operator comes back to the view.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import msgspec

from bzzz_core.errors import TransportError
from bzzz_tui.store import Store

Document = TypeVar("Document", bound=msgspec.Struct)


class Call(Protocol):
    """Asks for an operation of the API; as `session.Feed.call`."""

    async def __call__(
        self, method: str, path: str, body: object | None = None, *, host: str | None = None
    ) -> Any:
        """Ask.

        Raises:
            BzzzError: No connection, or the agent refused.
        """
        ...


async def document(call: Call, path: str, kind: type[Document]) -> Document:
    """Ask for a document.

    Raises:
        BzzzError: No connection, the agent refused, or it answered something else.
    """
    answer = await call("GET", path)
    try:
        return msgspec.convert(answer, kind, strict=False)
    except msgspec.ValidationError as exc:
        raise TransportError(f"{path}: not the document it was asked for: {exc}") from exc


@dataclass(slots=True)
class Asked:
    """One view's rows."""

    rows: Mapping[str, Any] = field(default_factory=dict)
    order: Sequence[str] = ()
    head: Any = None
    """What the answers say besides rows."""
    at_ms: int | None = None
    """When the last answer came; None: none yet."""
    trouble: str = ""
    """Why the last question was not answered; the rows are those of the answer before."""


def asked(store: Store, view: str) -> Asked:
    """Return what a view knows; nothing if it never asked."""
    found = store.asked.get(view)
    return found if isinstance(found, Asked) else Asked()
