"""A host that answers the commands by which a unit is started and watched, from a list."""

from __future__ import annotations

from collections.abc import Iterable

from bzzz_core.deploy.remote import Completed
from bzzz_core.errors import LinkLost

LOST = "lost"
"""An answer: the link breaks."""


class UnitHost:
    """Plays its answers to `watch`, one after the other; whatever else it is asked succeeds."""

    def __init__(self, *answers: str | bytes, start: Iterable[Completed | str] = ()) -> None:
        """Take what `watch` prints each time, and how `start` ends each time."""
        self._answers = list(answers)
        self._starts = list(start)
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    @property
    def name(self) -> str:
        """Return the host's name."""
        return "a"

    async def run(
        self, script: str, *arguments: str, what: str, timeout_s: int = 60, check: bool = True
    ) -> Completed:
        """Note what is asked, and answer."""
        del script, timeout_s, check
        verb = what.partition(":")[0]
        self.asked.append((verb, arguments))
        if verb == "start" and self._starts:
            return _answer(self._starts.pop(0))
        if verb == "watch":
            return _answer(self._answers.pop(0))
        return Completed(0, b"", b"")

    def times(self, verb: str) -> int:
        """Return how often something was asked."""
        return sum(asked == verb for asked, _ in self.asked)


def _answer(said: Completed | str | bytes) -> Completed:
    if isinstance(said, Completed):
        return said
    if said == LOST:
        raise LinkLost("a: connection lost")
    return Completed(0, said if isinstance(said, bytes) else said.encode(), b"grumble")
