"""A demo whose nodes a test breaks: it knows what was done to which, and starts nothing."""

from __future__ import annotations

from collections.abc import Sequence

from bzzz_core.api.documents import Status
from bzzz_core.demo.faults import Act, Done
from bzzz_core.errors import BzzzError

_CONDITIONS = {Act.KILL: "killed", Act.PAUSE: "paused", Act.PARTITION: "partitioned"}


class FakeBreaking:
    """Satisfies `bzzz_tui.monitor.breaking.Breaking`."""

    def __init__(self) -> None:
        self.acts: list[tuple[Act, tuple[str, ...]]] = []
        self.ready = True
        self.refusal: BzzzError | None = None
        self._conditions: dict[str, str] = {}

    async def act(self, act: Act, targets: Sequence[str], view: Status | None) -> Done:
        self.acts.append((act, tuple(targets)))
        if self.refusal is not None:
            raise self.refusal
        assert view is not None, "a role is judged by what is watched"
        for name in targets or list(self._conditions):
            if act in _CONDITIONS:
                self._conditions[name] = _CONDITIONS[act]
            else:
                self._conditions.pop(name, None)
        return Done(words=f"{act} {' '.join(targets)}", watch="what happens")

    def conditions(self) -> dict[str, str]:
        return dict(self._conditions)
