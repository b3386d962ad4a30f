"""The frame of the setup wizard: rail, one step at a time, and the memory of both.

Steps are built when they are first shown. The wizard alone knows the order; a step says only "go
on", "an answer changed" or "look at these hosts". Answers are kept on disk a moment after the last
change (`autosave.py`), so a crash costs nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.events import Key
from textual.screen import Screen
from textual.widgets import ContentSwitcher

from bzzz_core.clock import utc_now
from bzzz_core.deploy.detached.place import Run
from bzzz_tui.actions import Scope, bindings, hints
from bzzz_tui.feed.opening import Target
from bzzz_tui.parts import Fact
from bzzz_tui.widgets.bars import HintBar
from bzzz_tui.widgets.form import FieldRow
from bzzz_tui.widgets.step_rail import StepRail
from bzzz_tui.widgets.top_line import TopLine
from bzzz_tui.wording import Tone
from screens.dialogs import Reading
from screens.setup import session, support_view
from screens.setup.autosave import Autosave
from screens.setup.begin import Begin, Beginning, Way
from screens.setup.context import Context
from screens.setup.draft import Draft
from screens.setup.errands import Errands
from screens.setup.leaving import LEFT_WORDS, LeaveQuestion, Leaving
from screens.setup.looking import look_at
from screens.setup.run_view import Stage
from screens.setup.step import StepView
from screens.setup.steps import (
    DEPENDENTS,
    EVERY,
    EXPRESS,
    STEPS,
    next_of,
    route_of,
)
from screens.setup.unseen import states_of
from screens.setup.views import VIEWS

if TYPE_CHECKING:
    from screens.app import BzzzApp
    from screens.setup.services import ServicesStep

_DEPLOY: Final = 6


class Wizard(Screen[None]):
    """Eight steps, then the monitor."""

    CSS_PATH = "wizard.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Scope.SETUP)]
    # Beside the rail a fingerprint must still be readable whole.
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012  Textual declares it as an instance variable
        (0, "-tiny"),
        (40, "-narrow"),
        (110, "-wide"),
    ]

    def __init__(
        self,
        context: Context,
        *,
        offer: Begin | None = None,
        kept: session.Session | None = None,
        live: Run | None = None,
    ) -> None:
        """Take the shared state, how to ask for the way to begin, kept answers, a run to follow."""
        super().__init__()
        self.context = context
        context.changed = self._news
        self._offer = offer
        self._kept = kept
        self._live = live
        self._here = 1
        self._reached = 1
        self._views: dict[int, StepView] = {}
        self._moving = asyncio.Lock()
        """Keys come by the app, what is pressed by the wizard: both may want to go on at once."""
        self._errands = Errands(self)
        self._autosave = Autosave(self, context, lambda: (self._here, self._reached))

    @property
    def here(self) -> int:
        """Return the number of the step that is shown."""
        return self._here

    @property
    def step(self) -> StepView:
        """Return the step that is shown."""
        return self._views[self._here]

    @property
    def SCOPES(self) -> tuple[Scope, ...]:  # noqa: N802  the same name as on other screens
        """Return where keys are looked up now."""
        own = self.step.SCOPES if self._here in self._views else ()
        return (*own, Scope.SETUP, Scope.EVERYWHERE)

    def compose(self) -> ComposeResult:
        """Lay out the frame."""
        yield TopLine(self.context.glyphs)
        with Horizontal(id="frame"):
            yield StepRail([spec.title for spec in STEPS], self.context.glyphs)
            yield ContentSwitcher(id="steps")
        yield HintBar()

    async def on_mount(self) -> None:
        """Show the first step, or ask where to go on."""
        if self._offer is not None:
            self.app.push_screen(self._offer, self._begin)
        elif self._live is not None:
            await self._follow()
        else:
            await self._start_at(self.context.route[0])

    async def _start_at(self, number: int) -> None:
        """Show the first step; other answers of an earlier setup are not overwritten."""
        words = session.set_aside(self.context.session, self.context.draft, at=utc_now())
        if words:
            self.notify(words, timeout=8, markup=False)
        await self._go_to(number)

    def _on_prune(self) -> None:
        """Look at no host any more, and write no bundle."""
        self._errands.end()

    async def on_unmount(self) -> None:
        """Let go of the nodes."""
        await self.context.engine.close()

    async def _begin(self, chosen: Beginning | None) -> None:
        """Begin in the way that was chosen; none is chosen by who leaves."""
        if chosen is None:
            cast("BzzzApp", self.app).leave(self)
            return
        first = 1
        match chosen.way:
            case Way.FOLLOW:
                await self._follow()
                return
            case Way.RESUME:
                assert self._kept is not None, "it was offered"
                self.context.draft = self._kept.draft()
                self.context.express = self._kept.express
                self.context.route = EXPRESS if self._kept.express else EVERY
                self.context.recheck = set(self._kept.recheck)
                self._reached, first = self._kept.reached, self._kept.step
            case Way.EXPRESS:
                self.context.express, self.context.route = True, EXPRESS
            case Way.LOAD:
                assert chosen.answers is not None, "a file was loaded"
                self.context.draft = Draft.of(chosen.answers)
                self.context.route = route_of(chosen.answers.interactive_sections)
                first = self.context.route[0]
            case Way.NEW:
                pass
        await self._start_at(first)

    async def _follow(self) -> None:
        """Show a run that goes on by itself, and the answers that it was started with."""
        assert self._live is not None, "it is offered only then"
        self.context.draft = Draft.of(self._live.spec())
        await self._start_at(_DEPLOY)
        cast("ServicesStep", self.step).follow(self._live)

    async def _go_to(self, number: int) -> None:
        async with self._moving:
            await self._open(number)

    async def _open(self, number: int) -> None:
        if self._here in self._views:
            self.step.hidden()
        self._take_detected()
        if number not in self._views:
            view = VIEWS[number - 1](STEPS[number - 1], self.context)
            await self.query_one(ContentSwitcher).mount(view)
            self._views[number] = view
        self._here = number
        self.context.recheck.discard(number)
        self._reached = max(self._reached, number)
        self.query_one(ContentSwitcher).current = self.step.id
        self.step.freeze(frozen=self.context.frozen)
        self.step.shown()
        self._paint()
        self._autosave.soon()

    def _take_detected(self) -> None:
        """Let the hosts suggest what nobody answered; forms that are there show it."""
        for key, text in self.context.take_detected().items():
            for view in self._views.values():
                if key in view.rows:
                    view.rows[key].put(text)

    def _paint(self) -> None:
        states = states_of(self._views, self.context, reached=self._reached)
        self.query_one(StepRail).show(self._here, self._reached, states)
        spec = STEPS[self._here - 1]
        self.query_one(TopLine).show(
            [
                Fact(2, [("setup", Tone.PLAIN)]),
                Fact(1, [("cluster ", Tone.MUTED), (self._cluster(), Tone.ACCENT)]),
                Fact(0, [(f"step {spec.number}/{len(STEPS)}", Tone.PLAIN)]),
                Fact(0, [self.context.run.standing]),
            ]
        )
        self.query_one(HintBar).show(hints(*self.step.SCOPES, Scope.SETUP, Scope.EVERYWHERE))

    def _cluster(self) -> str:
        return self.context.draft.get("cluster.name") or "?"

    @property
    def _stands(self) -> bool:
        """Return whether there is a step to paint; news may come while it is being exchanged."""
        return self.is_attached and self.display and self._here in self._views

    def _news(self) -> None:
        if self._stands:
            if self._here == _DEPLOY + 1:
                self.step.refreshed()
            self._paint()

    @on(StepView.Answered)
    def _answered(self) -> None:
        later = DEPENDENTS.get(self._here, ())
        self.context.recheck |= {number for number in later if number <= self._reached}
        if self._stands:
            self._paint()
        self._autosave.soon()

    @on(StepView.GoOn)
    async def _go_on(self) -> None:
        await self.action_next()

    @on(StepRail.Picked)
    async def _pick(self, event: StepRail.Picked) -> None:
        # The cluster's name and timings (step 7) belong to the plan (step 6): both can be reached.
        limit = max(self._reached, _DEPLOY + 1) if self._reached >= _DEPLOY else self._reached
        if event.number <= limit:
            await self._go_to(event.number)
            self.query_one(StepRail).focus()
        else:
            self.notify(
                f"first finish step {self._here}: Ctrl+N checks it", timeout=3, markup=False
            )

    async def action_next(self) -> None:
        """Check this step; go to the next one, or into the monitor from the last."""
        if not self._stands:
            return
        if self._here == len(STEPS):
            self._finish()
        elif self.step.check():
            if words := self.step.end_words():
                self._autosave.now()
                cast("BzzzApp", self.app).leave(self, words)
                return
            await self._go_to(next_of(self._here, self.context.route))
        self._paint()

    async def on_key(self, event: Key) -> None:
        """Let the step's own keys act from the rail, too: they stand in the hints."""
        if self.query_one(StepRail).has_focus and self._here in self._views:
            await self.step.take_key(event.key)

    async def action_back(self) -> None:
        """Leave the field for the rail; from the rail, go one step back."""
        rail = self.query_one(StepRail)
        if not rail.has_focus:
            rail.focus()
        elif self._here > 1:
            await self._go_to(self._here - 1)
            rail.focus()

    def action_leave(self) -> None:
        """Leave setup; ask while hosts are being changed."""
        if self.context.run.stage is Stage.WORKING:
            self.app.push_screen(LeaveQuestion(), self._leave_as)
        else:
            self._leave_as(Leaving.FREE)

    def _leave_as(self, leaving: Leaving | None) -> None:
        if leaving is Leaving.STOP:
            cast("ServicesStep", self._views[_DEPLOY]).stop()
        if leaving not in {None, Leaving.STAY}:
            self._autosave.now()
            cast("BzzzApp", self.app).leave(self, LEFT_WORDS[leaving])

    async def action_edit(self) -> None:
        """Open answers again that hosts were changed by; a new plan is made of them."""
        if not self.context.frozen:
            return
        if self.context.run.stage is Stage.WORKING:
            self.notify("first stop the run in step 6", timeout=3)
            return
        self.context.editing = True
        self.step.freeze(frozen=False)
        self.step.refreshed()
        self.notify("answers are open; step 6 makes a new plan of them", timeout=3)
        self._paint()

    async def action_all_questions(self) -> None:
        """Ask everything from here on, not only what has no safe default."""
        if self.context.express and self.context.run.busy:
            self.notify("first stop the run in step 6", timeout=3)
        elif self.context.express:
            self.context.express, self.context.route = False, EVERY
            async with self._moving:
                for number in [n for n in EXPRESS if n in self._views]:
                    await self._views.pop(number).remove()
                await self._open(self._here)

    def action_bundle(self) -> None:
        """Write a support bundle and say where it is."""
        self._errands.begin("bundle", self._bundle())

    async def _bundle(self) -> None:
        words, severity = await support_view.bundle_words(self.context)
        self.notify(words, severity=severity, timeout=10, markup=False)

    def action_reveal(self) -> None:
        """Show or hide what is masked in the field with the focus."""
        for widget in () if self.focused is None else self.focused.ancestors:
            if isinstance(widget, FieldRow):
                widget.action_reveal()

    def action_show_yaml(self) -> None:
        """Show the answers file that says the same, and the command that uses it."""
        text = "# bzzz-tui setup --answers answers.yaml --apply\n" + self.context.draft.yaml()
        self.app.push_screen(Reading("Answers file", text))

    @on(StepView.LookWanted)
    def _look(self, event: StepView.LookWanted) -> None:
        work = look_at(self.context, event.hosts, self._looked)
        self._errands.begin("look", work, beside=True)

    def _looked(self) -> None:
        if self._stands:
            self.step.refreshed()
            self._paint()

    def _finish(self) -> None:
        if not self.context.run.succeeded:
            self.notify("there is no cluster yet: apply the plan in step 6", timeout=3)
            return
        self._autosave.end()
        app = cast("BzzzApp", self.app)
        app.switch_screen(app.monitor(Target(cluster=self._cluster())))
