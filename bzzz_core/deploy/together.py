"""Several things at once, of which none is still at work when something goes wrong.

What follows a run's failure (the way back of hosts, the end of its journal and of its leases) may
not happen beside a host that is just being changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable


async def together(doings: Iterable[Awaitable[object]]) -> None:
    """Await all of them to their ends, also if one fails; only then raise what went wrong.

    If the caller is cancelled, all of them are, and are over when that is raised.

    Raises:
        Exception: As the one that failed.
        ExceptionGroup: Several failed.
    """
    outcomes = await asyncio.gather(*doings, return_exceptions=True)
    failures = [one for one in outcomes if isinstance(one, Exception)]
    if len(failures) > 1:
        raise ExceptionGroup("several at once", failures)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
