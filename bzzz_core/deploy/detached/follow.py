"""Watching a detached run: every event from the first, however late somebody comes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import msgspec

from bzzz_core.deploy.detached.place import Run
from bzzz_core.deploy.events import Event, Refusal
from bzzz_core.deploy.past import one_run
from bzzz_core.ports import Clock

_LOOK_MS: Final = 100


async def follow(run: Run, clock: Clock) -> AsyncIterator[Event | Refusal]:
    """Yield what a run says from its beginning on, until its engine has ended.

    Without a `Summary` as the last one the engine was killed, see `death_words`.

    Raises:
        OSError: The run's files are gone.
    """
    rest = b""
    with run.events.open("rb") as file:
        while True:
            alive = run.alive  # asked first: what a dead engine wrote is all there
            *lines, rest = (rest + file.read()).split(b"\n")
            for line in lines:
                try:
                    yield msgspec.json.decode(line, type=Event | Refusal)
                except msgspec.DecodeError:
                    continue  # of a later version, or torn
            if not alive:
                return
            await clock.sleep_ms(_LOOK_MS)


def death_words(run: Run) -> str:
    """Return what is known of a run whose engine ended without a summary, and what to do."""
    past = one_run(run.journal, run.id)
    far = "before it changed anything" if past is None else f"in the middle: {past.words}"
    return (
        f"the engine of run {run.id} was ended from outside, {far}; apply again: each step is"
        f" looked at and then gone on with (what it said last: {run.log})"
    )
