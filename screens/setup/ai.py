"""Step 4: endpoints asked live from this machine, model servers, models and their places, limits.

The step has more fields than a screen has lines, so it is shown page by page; its first line
chooses the page. A page is a group of fields and what belongs to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from textual import on
from textual.containers import Vertical
from textual.widget import Widget

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.sections import AiAnswers
from bzzz_core.deploy import model_search
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.integrations.ai_endpoint import EndpointReport
from bzzz_tui.parts import Part
from bzzz_tui.widgets.form import Choice, Form
from bzzz_tui.widgets.step_rail import StepState
from bzzz_tui.widgets.toned import Paragraph
from bzzz_tui.wording import Tone, clean
from screens.setup.ai_view import place_lines, search_lines, server_lines, use_words
from screens.setup.step import PushButton, StepView

_MODELS_SHOWN = 12
PAGES: Final = ("endpoint", "more", "servers", "models", "costs")
"""In the order of the step's groups."""


class AiStep(StepView):
    """Endpoints, servers, models, costs."""

    def compose_above(self) -> Iterable[Widget]:
        """Lay out the choice of pages and the test of endpoints."""
        pages = Choice(PAGES, PAGES[0])
        pages.id = "ai-pages"
        yield pages
        yield PushButton("Test the endpoints from here", id="test-ai")
        yield Paragraph(id="ai-report", indent=2)

    def compose_below(self) -> Iterable[Widget]:
        """Lay out what the hosts have, and where models would lie."""
        yield Paragraph(id="ai-servers", indent=2)
        yield PushButton("Look for model servers in the network", id="search-models")
        yield Paragraph(id="ai-found", indent=2)
        yield Vertical(id="ai-found-servers")
        yield Paragraph(id="ai-places", indent=2)

    def on_mount(self) -> None:
        """Write the texts and show the first page."""
        super().on_mount()
        self._found: dict[Widget, str] = {}
        self._show_page(PAGES[0])

    def refreshed(self) -> None:
        """Show what is known of the hosts now."""
        self._paint_hosts()

    def shown(self) -> None:
        """Show the page again; its first field gets the focus."""
        self._paint_hosts()
        first = next(row for row in self.rows.values() if self._form_of(row).display)
        self.begin_with(first.editor)

    def state(self) -> StepState:
        """Warn when an endpoint was asked and did not answer well."""
        if self.problems():
            return StepState.BAD
        reports = self.context.ai
        bad = any(not report.works for report in reports.values())
        return StepState.WARN if bad else StepState.OK

    def check(self) -> bool:
        """Complain about what is wrong; the page of the first of it is shown."""
        if super().check():
            return True
        wrong = next((row for row in self.rows.values() if row.wrong), None)
        if wrong is not None:
            self._show_page(PAGES[list(self.query(Form)).index(self._form_of(wrong))])
            wrong.focus_editor()
        return False

    def edited(self, key: str) -> None:
        """Forget the old reports: they were about other answers."""
        if key.startswith(("ai.endpoint", "ai.asking.default_model")):
            self.context.ai = {}
            self.errands.end("ai")  # Its answer would be about the old ones.
            self.query_one("#ai-report", Paragraph).show()
        else:
            self._paint_hosts()

    def pressed(self, button: PushButton) -> None:
        """Ask the endpoints, look through the network, or take a server that was found there."""
        if button.id == "search-models":
            self._search()
        elif button in self._found:
            self._use(self._found[button])
        elif self.check():
            self.query_one("#ai-report", Paragraph).show(("asking ...", Tone.INFO))
            self.errands.begin("ai", self._ask())

    def _search(self) -> None:
        spec = self.context.draft.spec()
        if spec is None:
            self.check()
            words = ("first mend what is wrong in the answers", Tone.BAD)
            self.query_one("#ai-found", Paragraph).show(words)
            return
        asks = model_search.wanted(spec, self._facts())
        ports = ", ".join(map(str, asks.ports))
        words = (f"asking {len(asks.addresses)} addresses at port {ports} ...", Tone.INFO)
        self.query_one("#ai-found", Paragraph).show(words)
        self.errands.begin("models", self._look_through(spec))

    async def _look_through(self, spec: ClusterSpec) -> None:
        found = await self.context.engine.search_models(spec, self._facts())
        self.query_one("#ai-found", Paragraph).show(*search_lines(found, self.context.glyphs))
        self._found = {PushButton(use_words(one)): one.url for one in found.servers}
        room = self.query_one("#ai-found-servers", Vertical)
        await room.remove_children()
        await room.mount_all(self._found)
        self.call_after_refresh(room.scroll_visible, animate=False)

    def _use(self, url: str) -> None:
        """Make a server that was found the endpoint."""
        self.rows["ai.endpoint.provider"].put("ollama")
        self.rows["ai.endpoint.base_url"].put(url)
        words = (f"{self.context.glyphs.done} {url} is the endpoint now", Tone.OK)
        self.query_one("#ai-found", Paragraph).show(words)

    @on(Choice.Chosen)
    def _turned(self, event: Choice.Chosen) -> None:
        if event.choice.id == "ai-pages":
            event.stop()
            self._show_page(event.choice.value)

    def _show_page(self, page: str) -> None:
        choice = self.query_one("#ai-pages", Choice)
        choice.value = page
        forms = list(self.query(Form))
        choice.display = len(forms) > 1  # The short way asks for the endpoint alone.
        for name, form in zip(PAGES, forms, strict=False):
            form.display = name == page
        asking = page in {"endpoint", "more"}
        self.query_one("#test-ai").display = asking
        self.query_one("#ai-report").display = asking
        self.query_one("#ai-servers").display = page in {"endpoint", "servers"}
        for name in ("#search-models", "#ai-found", "#ai-found-servers"):
            self.query_one(name).display = page == "servers"
        self.query_one("#ai-places").display = page == "models"

    def _form_of(self, row: Widget) -> Form:
        return next(form for form in self.query(Form) if row in form.rows)

    def _facts(self) -> dict[str, HostFacts]:
        looks = {host.name: self.context.look(host) for host in self.context.draft.hosts}
        return {name: look.facts for name, look in looks.items() if look.facts is not None}

    def _paint_hosts(self) -> None:
        facts, glyphs = self._facts(), self.context.glyphs
        self.query_one("#ai-servers", Paragraph).show(*server_lines(facts, glyphs))
        places: list[Part] = []
        if not any(p.key.startswith("ai") for p in self.context.draft.problems()):
            answers: AiAnswers = self.context.draft.section("ai")
            places = place_lines(answers.servers, facts, glyphs)
        self.query_one("#ai-places", Paragraph).show(*places)

    async def _ask(self) -> None:
        answers: AiAnswers = self.context.draft.section("ai")
        for name in answers.names or ("main",):
            self.context.ai[name] = await self.context.engine.examine_ai(answers.effective(name))
            self._paint(self.context.ai)
        self.post_message(self.Answered())

    def _paint(self, reports: dict[str, EndpointReport]) -> None:
        lines: list[Part] = []
        for name, report in reports.items():
            lines += self._report_lines(name if len(reports) > 1 else "", report)
        self.query_one("#ai-report", Paragraph).show(*lines)

    def _report_lines(self, name: str, report: EndpointReport) -> Sequence[Part]:
        glyphs = self.context.glyphs
        mark, tone = (glyphs.done, Tone.OK) if report.works else (glyphs.bad, Tone.BAD)
        who = f"{name}: " if name else ""
        lines: list[Part] = [(f"{mark} {who}{clean(report.words)}", tone)]
        if report.fix:
            lines.append((f"  {report.fix}", Tone.MUTED))
        names = [clean(model) for model in report.models[:_MODELS_SHOWN]]
        if names:
            more = len(report.models) - len(names)
            rest = f" and {more} more" if more else ""
            lines.append((f"models: {', '.join(names)}{rest}", Tone.PLAIN))
        lines.append((f"spent so far: {report.usage}", Tone.MUTED))
        return lines
