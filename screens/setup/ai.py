"""Step 4: one AI endpoint, asked live from this machine."""

from __future__ import annotations

from collections.abc import Iterable

from textual.widget import Widget

from bzzz_core.integrations.ai_endpoint import EndpointReport
from bzzz_tui.parts import Part
from bzzz_tui.widgets.step_rail import StepState
from bzzz_tui.widgets.toned import Lines
from bzzz_tui.wording import Tone, clean
from screens.setup.step import PushButton, StepView

_MODELS_SHOWN = 12


class AiStep(StepView):
    """Provider, URL, model, key; and a live test."""

    def compose_above(self) -> Iterable[Widget]:
        """Offer the test."""
        yield PushButton("Test the endpoint from here", id="test-ai")
        yield Lines(id="ai-report")

    def state(self) -> StepState:
        """Warn when the endpoint was asked and did not answer well."""
        if self.problems():
            return StepState.BAD
        report = self.context.ai
        return StepState.WARN if report is not None and not report.works else StepState.OK

    def edited(self, key: str) -> None:
        """Forget the old report: it was about other answers."""
        del key
        self.context.ai = None
        self.query_one("#ai-report", Lines).show([])

    def pressed(self, button: PushButton) -> None:
        """Ask the endpoint."""
        del button
        if self.check():
            self.query_one("#ai-report", Lines).show([[("asking ...", Tone.INFO)]])
            self.run_worker(self._ask(), group="ai", exclusive=True)

    async def _ask(self) -> None:
        endpoint = self.context.draft.section("ai").endpoint
        self.context.ai = await self.context.engine.examine_ai(endpoint)
        self._paint(self.context.ai)
        self.post_message(self.Answered())

    def _paint(self, report: EndpointReport) -> None:
        glyphs = self.context.glyphs
        mark, tone = (glyphs.done, Tone.OK) if report.works else (glyphs.bad, Tone.BAD)
        lines: list[list[Part]] = [[(f"{mark} {clean(report.words)}", tone)]]
        names = [clean(name) for name in report.models[:_MODELS_SHOWN]]
        if names:
            more = len(report.models) - len(names)
            rest = f" and {more} more" if more else ""
            lines.append([("models: ", Tone.MUTED), (", ".join(names) + rest, Tone.PLAIN)])
        self.query_one("#ai-report", Lines).show(lines)
