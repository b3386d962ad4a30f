"""Which request the running code works for, so that every line it logs can say so, on any node.

A *trace* is the number of a request, 32 hexadecimal digits, and stays the same on every node that
the request reaches; its form and the header that carries it are those of W3C Trace Context, so a
caller that traces already finds its own number in our logs. A *request id* belongs to one call of
one node's API. Both live in a context variable: tasks inherit it, threads do so by
`asyncio.to_thread`.

Rules: what comes from outside is used only if it has the exact form, else it counts as absent; so a
hostile caller can write nothing into a log but digits of its own choice.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

HEADER: Final = "traceparent"
_TRACE_BYTES: Final = 16
_SPAN_BYTES: Final = 8
_TRACE: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_REQUEST: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_PARENT: Final = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}"
    r"(?P<more>-[!-~]{0,200})?",
    re.ASCII,
)
Bytes = Callable[[int], bytes]
"""Returns so many random bytes."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the running code works for; both empty while it works for itself."""

    trace: str = ""
    request: str = ""


_NONE: Final = Request()
_current: Final[ContextVar[Request]] = ContextVar("bzzz_request", default=_NONE)


def current() -> Request:
    """Return what the running code works for."""
    return _current.get()


@contextmanager
def request(*, trace: str = "", request: str = "") -> Iterator[Request]:
    """Let what runs inside work for a request.

    Args:
        trace: As another node or caller says; what has not the form of one counts as none, and
            then the surrounding one goes on.
        request: Of this node's API; the same holds for it.
    """
    around = _current.get()
    inside = Request(valid_trace(trace) or around.trace, valid_request(request) or around.request)
    token = _current.set(inside)
    try:
        yield inside
    finally:
        _current.reset(token)


def new_trace(random: Bytes = secrets.token_bytes) -> str:
    """Return a number that no other request has."""
    while not int(made := random(_TRACE_BYTES).hex(), 16):
        pass  # All zeros means "none" to others.
    return made


def new_request(random: Bytes = secrets.token_bytes) -> str:
    """Return an id for one call."""
    return random(_SPAN_BYTES).hex()


def valid_trace(text: str) -> str:
    """Return `text` if it is a trace, else nothing."""
    return text if _TRACE.fullmatch(text) and text.strip("0") else ""


def valid_request(text: str) -> str:
    """Return `text` if it can be a request id, else nothing."""
    return text if _REQUEST.fullmatch(text) else ""


def parse(header: str) -> str:
    """Return the trace that a `traceparent` header names; empty if it is none that can be used.

    W3C Trace Context, section 3.2: version ff is invalid, version 00 has exactly four parts, a
    later one may have more.
    """
    found = _PARENT.fullmatch(header)
    if found is None or found["version"] == "ff" or not found["span"].strip("0"):
        return ""
    if found["version"] == "00" and found["more"] is not None:
        return ""
    return valid_trace(found["trace"])


def traceparent(trace: str, random: Bytes = secrets.token_bytes) -> str:
    """Return the header that hands a trace on."""
    assert valid_trace(trace), "only what was checked is handed on"
    while not int(span := random(_SPAN_BYTES).hex(), 16):
        pass
    return f"00-{trace}-{span}-01"
