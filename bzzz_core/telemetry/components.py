"""Who writes into the log: the parts of BZZZ by their own names, libraries by theirs.

Operators name these when they ask for more or less words of one part. Whoever calls `logs.get`
with a new name adds it here; a test compares both.
"""

from __future__ import annotations

from typing import Final

OWN: Final[dict[str, str]] = {
    "agent": "start, stop, configuration",
    "alerts": "rules that hold",
    "api": "requests to this node",
    "audit": "the record of acts",
    "broker": "the broker's process",
    "dht": "the hash table",
    "discovery": "announcing this node to others",
    "enrolment": "who joins and leaves",
    "events": "who watches this node live",
    "fabric": "connections to brokers, messages, streams",
    "growth": "how many brokers there are, and where",
    "halt": "the emergency stop",
    "health": "checks of this node",
    "join": "the door for new machines",
    "leadership": "elections",
    "lifecycle": "how the parts of this node start and end",
    "log": "the log itself",
    "metrics": "figures for others to read",
    "placement": "where streams are led",
    "registry": "the list of members",
    "renewal": "new certificates",
    "roster": "who is alive",
    "shutdown": "how this node ends",
    "trust": "proofs of misconduct",
}
"""Name -> what it writes about."""

LIBRARIES: Final[dict[str, str]] = {
    "asyncio": "the event loop",
    "httpx": "calls to other services",
    "nats": "the brokers' protocol",
    "python": "Python itself and all other libraries",
    "uvicorn": "the server of the API",
    "zeroconf": "announcements in the local network",
}
"""The same; these are kept at warning unless somebody names them."""

ALL: Final[dict[str, str]] = OWN | LIBRARIES


def of_logger(name: str) -> str:
    """Return the component that a logger of Python's `logging` belongs to."""
    head = name.partition(".")[0]
    if head in LIBRARIES:
        return head
    return "httpx" if head == "httpcore" else "python"
