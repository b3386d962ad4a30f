"""Asking a person in the middle of a run, which they may also end instead of answering."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future

from bzzz_core.deploy.unforeseen import foreseen
from bzzz_core.errors import BzzzError, PreconditionFailed

Confirm = Callable[[str], bool]
"""Asks a person something and returns whether they agree; it waits."""


async def agreed(
    confirm: Confirm, question: str, ready: Callable[[], object] = lambda: None
) -> bool:
    """Return whether a person agrees; connections are kept alive meanwhile.

    In a thread that nobody waits for: one of the loop's own would hold up the end of the process
    until somebody pressed Enter.

    Args:
        confirm: Asks.
        question: What is asked.
        ready: Waits until the person has before them what they are asked about.

    Raises:
        PreconditionFailed: Nobody could be asked: nobody reads where the question is printed, say.
            Only a person says no.
    """
    answer: Future[bool] = Future()
    answer.set_running_or_notify_cancel()

    def ask() -> None:
        try:
            with foreseen("asking you"):
                ready()
                said = confirm(question)
        except BzzzError as exc:
            answer.set_exception(exc)
        else:
            answer.set_result(said)

    threading.Thread(target=ask, name="question", daemon=True).start()
    try:
        return await asyncio.wrap_future(answer)
    except BzzzError as exc:
        raise PreconditionFailed(f"{exc}; nobody has answered, so say --yes") from exc
