"""Step 7: the cluster forms: each node's own view of leader and term, live."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from textual.widget import Widget

from bzzz_core.api.documents import Status
from bzzz_core.errors import BzzzError
from bzzz_tui.parts import Part, fit
from bzzz_tui.widgets.step_rail import StepState
from bzzz_tui.widgets.toned import Lines
from bzzz_tui.wording import UNKNOWN, Tone, clean, fabric_state
from screens.setup.context import Context
from screens.setup.run_view import RunView, Stage
from screens.setup.step import StepView
from screens.setup.steps import StepSpec
from screens.setup.survives import survives_lines

_EVERY_S = 1.0


class ClusterStep(StepView):
    """Name and timings before the work, the election after it."""

    def __init__(self, spec: StepSpec, context: Context) -> None:
        """Take which step this is and what the wizard knows."""
        super().__init__(spec, context)
        self._views: dict[str, Status | str] = {}
        self._watched = False
        self._of: RunView | None = None
        """The run that the views belong to."""

    def compose_above(self) -> Iterable[Widget]:
        """Lay out the nodes' views."""
        yield Lines(id="views")
        yield Lines(id="survives")

    def edited(self, key: str) -> None:
        """Say anew what such a cluster survives."""
        del key
        self.query_one("#survives", Lines).show(
            survives_lines(self.context.draft, self.context.voters)
        )

    def shown(self) -> None:
        """Watch the nodes while this step is shown."""
        self._paint()
        self.query_one("#survives", Lines).show(
            survives_lines(self.context.draft, self.context.voters)
        )
        super().shown()
        self._watched = True
        self._watch_run()

    def refreshed(self) -> None:
        """Begin to watch when the run begins to change hosts: the first election is part of it."""
        if self._watched and self._of is not self.context.run:
            self._watch_run()

    def hidden(self) -> None:
        """Stop watching."""
        self._watched = False
        self.errands.end("views")

    def _watch_run(self) -> None:
        run = self.context.run
        if _to_watch(run):
            self._views = self._views if self._of is run else {}
            self._of = run
            self.errands.begin("views", self._watch())
        self._paint()

    def state(self) -> StepState:
        """Say whether all nodes name the same serving leader."""
        if self.problems():
            return StepState.BAD
        if not _to_watch(self.context.run):
            return StepState.OPEN
        run = self.context.run
        if self._of is not run or not self._views or not run.succeeded:
            return StepState.RUNNING
        return StepState.OK if agree(self._views) else StepState.WARN

    async def _watch(self) -> None:
        while _to_watch(self.context.run):
            try:
                name = self.context.draft.get("cluster.name")
                self._views = await self.context.engine.views(name)
            except BzzzError as exc:
                # While the run works it is no fault that there is no cluster yet.
                self._views = {"": str(exc)} if self.context.run.succeeded else {}
            self._paint()
            self.context.changed()
            await asyncio.sleep(_EVERY_S)
        self._paint()

    def _paint(self) -> None:
        if not self.query("#views"):
            return  # An answer came while the screen was being left.
        lines: list[list[Part]] = [[("Election", Tone.ACCENT)]]
        if not _to_watch(self.context.run):
            words = "after step 6 each node's own view of the leader stands here"
            lines.append([(words, Tone.MUTED)])
        elif not self._views:
            lines.append([("asking the nodes ...", Tone.INFO)])
        else:
            lines += self._table()
        self.query_one("#views", Lines).show(lines)

    def _paint_survives(self) -> None:
        lines = survives_lines(self.context.draft, self.context.voters)
        self.query_one("#survives", Lines).show(lines)

    def _table(self) -> list[list[Part]]:
        glyphs = self.context.glyphs
        head = "".join(fit(title, 12) for title in ("NODE", "LEADER", "TERM", "ROLE", "FABRIC"))
        lines: list[list[Part]] = [[(head, Tone.MUTED)]]
        for name, view in self._views.items():
            if isinstance(view, str):
                lines.append([(fit(name, 12), Tone.PLAIN), (clean(view), Tone.BAD)])
                continue
            fabric, tone = fabric_state(view.fabric.state, glyphs)
            leader = clean(view.leader) if view.leader else UNKNOWN
            lines.append(
                [
                    (fit(name, 12), Tone.PLAIN),
                    (fit(leader, 12), Tone.ACCENT if view.leader else Tone.BAD),
                    (fit(str(view.term), 12), Tone.PLAIN),
                    (fit(clean(view.role), 12), Tone.PLAIN),
                    (fabric, tone),
                ]
            )
        if agree(self._views):
            first = next(v for v in self._views.values() if isinstance(v, Status))
            words = f"{glyphs.done} all name {clean(first.leader or '')} in term {first.term}"
            lines.append([(words, Tone.OK)])
        else:
            lines.append([(f"{glyphs.warn} the nodes do not agree yet", Tone.WARN)])
        return lines


def _to_watch(run: RunView) -> bool:
    return run.succeeded or run.stage is Stage.WORKING


def agree(views: dict[str, Status | str]) -> bool:
    """Return whether every node answers and all name the same serving leader and term."""
    statuses = [view for view in views.values() if isinstance(view, Status)]
    seen = {(status.leader, status.term, status.leader_serving) for status in statuses}
    return (
        len(statuses) == len(views)
        and len(seen) == 1
        and all(leader and serving for leader, _, serving in seen)
    )
