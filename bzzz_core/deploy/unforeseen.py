"""Mistakes of our own, met where they must not end more than the one thing that was done there.

What such a failure says could quote anything, a secret too. So it goes nowhere unless somebody
takes the secrets out of it; the log gets the places in our code, which is what mends it.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bzzz_core.deploy.remote import printable
from bzzz_core.errors import BzzzError, Unforeseen

_LOG = logging.getLogger("bzzz.setup")


@contextmanager
def foreseen(what: str, redact: Callable[[str], str] | None = None) -> Iterator[None]:
    """Make whatever goes wrong in the block a failure of ours, and log where it came from.

    Args:
        what: What is done in it; a host's name, say.
        redact: Takes secrets out of what the failure says; None: that is told to nobody.

    Raises:
        BzzzError: As the block; `Unforeseen` for all that is none of ours.
    """
    try:
        yield
    except BzzzError:
        raise
    except Exception as exc:
        first = _first(exc)
        said = printable(redact(str(first))) if redact else ""
        kind = type(first).__name__ + (f": {said}" if said else "")
        _LOG.error("%s: %s\n%s", what, kind, "".join(_places(exc)))
        blame = "" if isinstance(first, OSError) else ", which is a mistake of its own"
        raise Unforeseen(f"{what}: setup stumbled{blame} ({kind}{_where(first)})") from exc


def _places(exc: BaseException) -> Iterator[str]:
    """Yield the frames of an exception, of what caused it, and of those within it."""
    if exc.__cause__ is not None:
        yield from _places(exc.__cause__)
    yield f"{type(exc).__name__}\n"
    yield from traceback.format_tb(exc.__traceback__)
    if isinstance(exc, BaseExceptionGroup):
        for inner in exc.exceptions:
            yield from _places(inner)


def _first(exc: BaseException) -> BaseException:
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return exc


def _where(exc: BaseException) -> str:
    frames = traceback.extract_tb(exc.__traceback__)
    return f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
