"""Asking a person in the middle of a run, which they may also end instead of answering."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future

Confirm = Callable[[str], bool]
"""Asks a person something and returns whether they agree; it waits, and raises nothing."""


async def agreed(confirm: Confirm, question: str) -> bool:
    """Return whether a person agrees; connections are kept alive meanwhile.

    In a thread that nobody waits for: one of the loop's own would hold up the end of the process
    until somebody pressed Enter.
    """
    answer: Future[bool] = Future()
    answer.set_running_or_notify_cancel()

    def ask() -> None:
        answer.set_result(confirm(question))

    threading.Thread(target=ask, name="question", daemon=True).start()
    return await asyncio.wrap_future(answer)
