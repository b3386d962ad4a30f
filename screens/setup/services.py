"""Step 6: the plan, the operator's word, and the work, host by host.

One run of the engine does all of it: it looks at the hosts, makes the plan, asks (`confirm`), and
goes on with exactly that plan, on the same connections. So what is applied is what was shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import ClassVar, cast

from textual import on
from textual.binding import BindingType
from textual.widget import Widget

from bzzz_core.config.profile_places import home
from bzzz_core.deploy import durations
from bzzz_core.deploy.change import Plan
from bzzz_core.deploy.detached.place import Run
from bzzz_core.deploy.events import Event
from bzzz_core.deploy.steering import Cut, Order, Retry, Skip, Steering, Stop
from bzzz_core.errors import BzzzError
from bzzz_tui.actions import Scope, bindings
from bzzz_tui.app_base import AppBase, end_service
from bzzz_tui.parts import Part
from bzzz_tui.widgets.host_matrix import HostMatrix
from bzzz_tui.widgets.log_tail import LogTail
from bzzz_tui.widgets.step_rail import StepState
from bzzz_tui.widgets.toned import Lines, Paragraph
from bzzz_tui.wording import Tone, clean, span
from screens.dialogs import Question
from screens.setup.context import Context
from screens.setup.plan_view import plan_lines
from screens.setup.run_view import RunView, Stage
from screens.setup.steering_words import skipped_words, why_not_skip
from screens.setup.step import PushButton, StepView
from screens.setup.steps import StepSpec
from screens.setup.taken import taken_lines

_BUTTONS = {
    Stage.IDLE: "Make the plan",
    Stage.LOOKING: "Looking at the hosts ...",
    Stage.ASKING: "Apply this plan",
    Stage.WORKING: "Stop",
    Stage.DONE: "Make a new plan",
}

_FIRST = {True: "write the manifests", False: "apply the plan"}
_SHOWN_MAX = 8
_OUTDATED = "the answers changed since this plan was made: p makes a new one"


class ServicesStep(StepView):
    """Plan, confirm, apply."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Scope.DEPLOY)]
    SCOPES: ClassVar[tuple[Scope, ...]] = (Scope.DEPLOY,)

    def __init__(self, spec: StepSpec, context: Context) -> None:
        """Take which step this is and what the wizard knows."""
        super().__init__(spec, context)
        self._word: asyncio.Future[bool] | None = None
        self._service: asyncio.Task[None] | None = None
        self._difference = False
        self._steering = Steering(hold=True)
        self._skipped: set[str] = set()
        self._took: dict[str, int] = {}
        """Phase -> milliseconds that it took here before."""

    def compose_above(self) -> Iterable[Widget]:
        """Lay out the button first: the answers below it have safe defaults."""
        yield PushButton(_BUTTONS[Stage.IDLE], id="deploy")
        yield Paragraph(id="deploy-words")
        yield Lines(id="taken")

    def compose_below(self) -> Iterable[Widget]:
        """Lay out the plan, the matrix and the log."""
        yield HostMatrix(self.context.glyphs, id="matrix")
        yield LogTail(id="deploy-log")
        yield Lines(id="plan")

    def shown(self) -> None:
        """Show the run as it is."""
        self.refreshed()
        self.begin_with(self.query_one("#deploy", PushButton))

    def state(self) -> StepState:
        """Follow the run."""
        if self.problems():
            return StepState.BAD
        if self.context.manifests_written and not self.context.run.busy:
            return StepState.OK
        return self.context.run.state(same=self.context.run_is_of_these_answers)

    def check(self) -> bool:
        """Do not go on before a run ended well, or manifests of these answers are there."""
        good = super().check()
        done = self.context.manifests_written or self.context.run.succeeded
        if good and not done:
            self.notify(f"first {_FIRST[self._writes_manifests()]}", timeout=3, markup=False)
        return good and done

    def end_words(self) -> str:
        """Return how setup ends here: what manifests say, the operator does."""
        written = self.context.manifests
        if written is None or not self.context.manifests_written:
            return ""
        return f"the manifests are in {clean(str(written.path))}; apply them yourself"

    def on_unmount(self) -> None:
        """Follow no more what runs; a run that changes hosts goes on by itself."""
        if self._service is not None:
            end_service(self._service)

    def pressed(self, button: PushButton) -> None:
        """Do what the button says."""
        del button
        match self.context.run.stage:
            case Stage.IDLE | Stage.DONE:
                self.action_plan()
            case Stage.ASKING if self._outdated():
                self.action_plan()
            case Stage.ASKING:
                self.action_apply()
            case Stage.WORKING:
                self.action_stop()
            case Stage.LOOKING:
                return

    def action_plan(self, *, only_failed: bool = False) -> None:
        """Look at the hosts and make a plan; perhaps only of what failed before."""
        if self.context.run.stage is Stage.WORKING:
            return
        if self.context.draft.spec() is None:
            first = self.context.draft.problems()[0]
            self._say(f"{first.key or 'answers'}: {first.words}", Tone.BAD)
            return
        if self._writes_manifests():
            self._manifests()
            return
        self._answer(word=False)
        if self._service is not None:
            end_service(self._service)
        self._steering, self._skipped = Steering(hold=True), set()
        run = self._run(only_failed=only_failed)
        self._service = cast("AppBase", self.app).start_service(run)

    def follow(self, run: Run) -> None:
        """Follow a run that goes on by itself; the answers are those it was started with."""
        self._steering, self._skipped = Steering(hold=True), set()
        following = self._run(follows=run)
        self._service = cast("AppBase", self.app).start_service(following)

    def _writes_manifests(self) -> bool:
        return self.context.draft.get("services.target") != "systemd"

    def _manifests(self, *, replace: bool = False) -> None:
        """Write what the operator applies: setup changes no host then. Ask before replacing."""
        spec = self.context.draft.spec()
        assert spec is not None, "only complete answers become manifests"
        try:
            written = self.context.engine.manifests(spec, replace=replace)
        except BzzzError as exc:
            self._say(clean(str(exc)), Tone.BAD)
            return
        if written.in_the_way:
            lines = [f"in {written.path}:", *written.in_the_way[:_SHOWN_MAX]]
            question = Question("Replace these files?", lines, yes="replace", no="leave them")
            self.app.push_screen(question, self._replace_if)
            return
        self.context.manifests, self.context.manifests_for = written, self.context.draft.yaml()
        words = f"{written.count} files in {written.path}; apply them, setup changes no host"
        self._say(clean(words), Tone.OK)
        self.context.changed()

    def _replace_if(self, replace: bool | None) -> None:  # noqa: FBT001  Textual calls it so
        if replace:
            self._manifests(replace=True)
        else:
            self._say("nothing was written", Tone.WARN)

    def edited(self, key: str) -> None:
        """Say on the button what it will do."""
        if key == "services.target":
            self.refreshed()

    def action_retry(self) -> None:
        """Try again what failed: within the run, or by another one of these hosts alone."""
        run = self.context.run
        if run.stage is Stage.WORKING:
            for name in run.failing_now():
                if name not in self._skipped:
                    self._order(Retry(name))
        elif run.stage is Stage.DONE and not run.succeeded:
            self.action_plan(only_failed=run.confirmed)

    def action_retry_host(self) -> None:
        """Try the host under the cursor again."""
        name = self.query_one("#matrix", HostMatrix).selected
        if self.context.run.stage is Stage.WORKING and name in self.context.run.failing_now():
            self._skipped.discard(name)
            self._order(Retry(name))
            self.notify(f"{name} is tried again", timeout=3, markup=False)

    def action_skip_host(self) -> None:
        """Leave the host under the cursor out, if the others are enough to elect a leader."""
        run, name = self.context.run, self.query_one("#matrix", HostMatrix).selected
        if run.stage is not Stage.WORKING or not run.has(name):
            return
        voters = self.context.voters
        why = why_not_skip(name or "", voters=voters, lost=self._skipped)
        if why:
            self.notify(why, severity="warning", timeout=8, markup=False)
            return
        words = skipped_words(name or "", voters=voters, lost=self._skipped)
        self._skipped.add(name or "")
        self._order(Skip(name or ""))
        self.notify(words, timeout=6, markup=False)

    def _order(self, order: Order) -> None:
        self._steering.take(order)

    def action_apply(self) -> None:
        """Give the word, unless the plan is of other answers than those that are there now."""
        if self.context.run.stage is Stage.ASKING and self._outdated():
            self.context.run.failure = _OUTDATED
            self._answer(word=False)
        elif self.context.run.stage is Stage.ASKING:
            self.context.run.stage = Stage.WORKING
            self.context.run.confirmed = True
            self.context.run.begun_ms = self.context.clock.now_ms()
            self._answer(word=True)
            self._refresh_all()

    def stop(self) -> None:
        """Let what was begun be finished, and nothing new begin."""
        self._order(Stop())

    def _outdated(self) -> bool:
        """Return whether the plan that waits for the word is of other answers."""
        asking = self.context.run.stage is Stage.ASKING
        return asking and not self.context.run_is_of_these_answers

    def action_stop(self) -> None:
        """Stop: what was begun is finished, nothing new begins; once more cuts it off."""
        if self._service is None:
            return
        if self.context.run.stage is Stage.WORKING and not self._steering.stopping:
            self._order(Stop())
            self._refresh_all()
        elif self.context.run.stage is Stage.WORKING:
            self._order(Cut())
        else:
            end_service(self._service)

    def refreshed(self) -> None:
        """Paint the run."""
        run = self.context.run
        self.set_class(run.busy or self.context.frozen, "-run")
        self.set_class(run.stage in {Stage.WORKING, Stage.DONE}, "-work")
        idle = run.stage in {Stage.IDLE, Stage.DONE} and self._writes_manifests()
        label = "Write the manifests" if idle else _BUTTONS[run.stage]
        label = _BUTTONS[Stage.DONE] if self._outdated() else label
        self.query_one("#deploy", PushButton).say(label)
        matrix = self.query_one("#matrix", HostMatrix)
        matrix.show(run.phases, run.rows())
        self.query_one("#deploy-log", LogTail).show(run.log(matrix.selected))
        short = self.context.express and run.stage is Stage.IDLE
        self.query_one("#taken", Lines).show(taken_lines(self.context) if short else [])
        plan = self.context.plan
        shown = plan is not None and run.stage is Stage.ASKING
        self.query_one("#plan", Lines).show(self._plan_lines(plan) if shown and plan else [])
        words, tone = self._words()
        self._say(words, tone)

    def _plan_lines(self, plan: Plan) -> list[list[Part]]:
        return plan_lines(
            plan,
            self.context.glyphs,
            estimate=durations.estimate(plan, self._took),
            sudo={name: facts.sudo for name, facts in self.context.seen.items()},
            difference=self._difference,
        )

    def action_difference(self) -> None:
        """Show what changes within files, or hide it."""
        self._difference = not self._difference
        self.refreshed()

    @on(HostMatrix.Moved)
    def _show_log(self, event: HostMatrix.Moved) -> None:
        self.query_one("#deploy-log", LogTail).show(self.context.run.log(event.name))

    def _words(self) -> tuple[str, Tone]:
        run = self.context.run
        match run.stage:
            case Stage.IDLE:
                name = self.context.draft.get("cluster.name")
                count = len(self.context.draft.hosts)
                return f"cluster {name} on {count} hosts (name and timings: step 7)", Tone.MUTED
            case Stage.LOOKING:
                return run.looking_words, Tone.INFO
            case Stage.ASKING if self._outdated():
                return _OUTDATED, Tone.WARN
            case Stage.ASKING:
                return "nothing was changed yet; d shows what changes, a applies it", Tone.WARN
            case Stage.WORKING:
                return self._working_words()
            case Stage.DONE:
                return self._end_words()

    def _working_words(self) -> tuple[str, Tone]:
        if self._steering.stopping:
            return "stopping: what was begun is finished; x once more cuts it off", Tone.WARN
        failing = [name for name in self.context.run.failing_now() if name not in self._skipped]
        if failing:
            names = clean(", ".join(failing))
            return f"{names} failed: r tries it again, s leaves it out, x stops", Tone.BAD
        return "applying the plan; x stops after the running action", Tone.INFO

    def _end_words(self) -> tuple[str, Tone]:
        run = self.context.run
        if run.failure:
            return clean(run.failure), Tone.BAD
        if run.summary is None or run.begun_ms is None or run.ended_ms is None:
            return "stopped", Tone.WARN
        took = span((run.ended_ms - run.begun_ms) / 1_000)
        changes = sum(host.changes for host in run.summary.hosts)
        if run.succeeded:
            leader = f"; {clean(run.summary.leader)} leads" if run.summary.leader else ""
            done = f"done in {took}: {changes} changes{leader}"
            remarks = run.remarks
            return ("; ".join((done, *remarks)), Tone.WARN) if remarks else (done, Tone.OK)
        if run.errors:
            return clean(run.errors[0].message), Tone.BAD
        failed = ", ".join(run.failed_hosts()) or "see the log"
        return f"failed after {took}: {failed}; R runs it again", Tone.BAD

    async def _run(self, *, only_failed: bool = False, follows: Run | None = None) -> None:
        spec = self.context.draft.spec()
        assert spec is not None, "only complete answers are run"
        engine = self.context.engine
        run = RunView(tuple(host.name for host in spec.hosts), engine.phases, engine.shared_phases)
        run.stage = Stage.LOOKING if follows is None else Stage.WORKING
        if follows is not None:
            run.confirmed, run.begun_ms = True, self.context.clock.now_ms()
        self.context.run, self.context.plan = run, None
        self.context.planned_for = self.context.draft.yaml()
        self.context.editing = False
        self._refresh_all()
        try:
            if follows is None:
                await engine.apply(
                    spec,
                    emit=self._take_event,
                    confirm=self._ask,
                    steering=self._steering,
                    only_failed=only_failed,
                )
            else:
                await engine.attach(follows, emit=self._take_event, steering=self._steering)
        except BzzzError as exc:
            run.failure = str(exc)
        finally:
            run.stage = Stage.DONE
            run.ended_ms = self.context.clock.now_ms()
            if follows is not None and run.summary is not None:  # it began before we looked
                run.begun_ms = run.ended_ms - run.summary.elapsed_ms
            self._refresh_all()
        if run.succeeded and self.is_mounted and self.display:
            # What came of it must stay in sight, however many hosts lie between it and the button.
            self.query_one(f"#next-{self.spec.key}", PushButton).focus(scroll_visible=False)
            self.scroll_home(animate=False)

    async def _ask(self, plan: Plan) -> bool:
        self.context.plan = plan
        self._took = await asyncio.to_thread(durations.past, home() / "clusters")
        self.context.run.stage = Stage.ASKING
        self._word = asyncio.get_running_loop().create_future()
        self._refresh_all()
        return await self._word

    def _answer(self, *, word: bool) -> None:
        if self._word is not None and not self._word.done():
            self._word.set_result(word)

    def _take_event(self, event: Event) -> None:
        self.context.run.apply(event)
        self._refresh_all()

    def _refresh_all(self) -> None:
        if self.is_running and self.display and self.query("#matrix"):
            self.refreshed()
        self.context.changed()

    def _say(self, words: str, tone: Tone) -> None:
        self.query_one("#deploy-words", Paragraph).show((words, tone))
