"""Step 8: does it hold? Checks with pass, warn or fail, a report, and the way into the monitor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar, Final

from textual import on
from textual.binding import BindingType
from textual.widget import Widget

from bzzz_core.clock import utc_now
from bzzz_core.config.profile_places import cluster_directory
from bzzz_core.deploy import kept_answers
from bzzz_core.errors import BzzzError
from bzzz_tui.actions import Scope, bindings
from bzzz_tui.parts import Line
from bzzz_tui.widgets.columns import Column, Placed
from bzzz_tui.widgets.live_table import LiveTable
from bzzz_tui.widgets.step_rail import StepState
from bzzz_tui.widgets.toned import Paragraph
from bzzz_tui.wording import Glyphs, Tone, clean
from screens.setup import checks
from screens.setup.checks import CHECKS, Check, Outcome, Verdict
from screens.setup.context import Context
from screens.setup.hosts_step import HostsTable
from screens.setup.kit_dialog import KitDialog, KitWish
from screens.setup.step import PushButton, StepView
from screens.setup.steps import StepSpec

_COLUMNS: Final = (
    Column(key="title", title="CHECK", width=24),
    Column(key="verdict", title="RESULT", width=15),
    Column(key="words", title="WHAT WAS FOUND", width=20, width_max=200),
)
_MARKS: Final = {
    Verdict.WAITING: ("pending", Tone.MUTED),
    Verdict.RUNNING: ("running", Tone.INFO),
    Verdict.PASS: ("done", Tone.OK),
    Verdict.WARN: ("warn", Tone.WARN),
    Verdict.FAIL: ("bad", Tone.BAD),
    Verdict.NOT_AVAILABLE: ("pending", Tone.MUTED),
}


class _CheckRows:
    """Checks and outcomes as a table sees them."""

    def __init__(self, glyphs: Glyphs) -> None:
        self.outcomes = {check.key: Outcome(Verdict.WAITING) for check in CHECKS}
        self._glyphs = glyphs
        self._versions = dict.fromkeys(self.outcomes, 0)

    def put(self, key: str, outcome: Outcome) -> None:
        """Take an outcome."""
        self.outcomes[key] = outcome
        self._versions[key] += 1

    def order(self) -> Sequence[str]:
        """Return the checks in their order."""
        return list(self.outcomes)

    def version(self, row: str) -> int:
        """Return how often a check's outcome changed."""
        return self._versions[row]

    def cells(self, row: str, placed: Sequence[Placed]) -> Sequence[Line]:
        """Return one check's cells."""
        check = next(check for check in CHECKS if check.key == row)
        outcome = self.outcomes[row]
        glyph, tone = _MARKS[outcome.verdict]
        mark = f"{getattr(self._glyphs, glyph)} {outcome.verdict.value}"
        known: dict[str, Line] = {
            "title": [(check.title, Tone.PLAIN)],
            "verdict": [(mark, tone)],
            "words": [(clean(outcome.words), Tone.PLAIN)],
        }
        return [known[p.column.key] for p in placed]


class ValidateStep(StepView):
    """Checks."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Scope.CHECKS)]
    SCOPES: ClassVar[tuple[Scope, ...]] = (Scope.CHECKS, Scope.TABLE)

    def __init__(self, spec: StepSpec, context: Context) -> None:
        """Take which step this is and what the wizard knows."""
        super().__init__(spec, context)
        self._rows = _CheckRows(context.glyphs)
        self._table = HostsTable(_COLUMNS, self._rows, empty="", id="checks")
        self._of = context.run
        """The run whose outcome was checked."""

    def compose_above(self) -> Iterable[Widget]:
        """Lay out the table of checks."""
        yield self._table
        yield Paragraph(id="check-detail")
        yield Paragraph(id="check-words")
        yield PushButton("Run all checks", id="run-checks")
        yield PushButton("Export the operator kit: this cluster's keys, encrypted", id="kit")

    def shown(self) -> None:
        """Run the checks at first sight of what a run left behind."""
        if self._of is not self.context.run:
            self._forget()
        self._table.styles.height = len(CHECKS) + 1
        self._table.reload()
        self.begin_with(self._table)
        waiting = all(o.verdict is Verdict.WAITING for o in self._rows.outcomes.values())
        if waiting and self.context.run.succeeded:
            self.action_check_all()
        elif waiting:
            self._say("the checks run once step 6 is done", Tone.MUTED)

    def state(self) -> StepState:
        """Say how the checks came out; those of an earlier run say nothing."""
        if self._of is not self.context.run:
            return StepState.BAD if self.problems() else StepState.OPEN
        verdicts = {outcome.verdict for outcome in self._rows.outcomes.values()}
        if self.problems() or Verdict.FAIL in verdicts:
            return StepState.BAD
        if Verdict.RUNNING in verdicts:
            return StepState.RUNNING
        if Verdict.WAITING in verdicts:
            return StepState.OPEN
        return StepState.WARN if Verdict.WARN in verdicts else StepState.OK

    @on(LiveTable.Moved)
    def _paint_detail(self) -> None:
        outcome = self._rows.outcomes.get(self._table.cursor or "")
        words = clean(outcome.words) if outcome else ""
        self.query_one("#check-detail", Paragraph).show((words, Tone.PLAIN))

    def pressed(self, button: PushButton) -> None:
        """Run all checks, or export the kit."""
        if button.id == "kit":
            self._ask_for_kit()
        else:
            self.action_check_all()

    def _ask_for_kit(self) -> None:
        if not self.context.run.succeeded:
            self._say("there is no cluster yet: apply the plan in step 6", Tone.WARN)
            return
        name = self.context.draft.get("cluster.name")
        self.app.push_screen(KitDialog(Path.home() / f"{name}.bzzz-kit"), self._export)

    async def _export(self, wish: KitWish | None) -> None:
        if wish is None:
            return
        name = self.context.draft.get("cluster.name")
        self._say("encrypting ...", Tone.INFO)
        try:
            count = await self.context.engine.export_kit(name, wish.target, wish.passphrase)
        except BzzzError as exc:
            self._say(clean(str(exc)), Tone.BAD)
        else:
            words = f"{count} files in {wish.target}; keep it off this machine"
            self._say(clean(words), Tone.OK)

    def action_check_all(self) -> None:
        """Run all checks."""
        self._start(list(CHECKS))

    def action_check_one(self) -> None:
        """Run the check under the cursor."""
        if self._table.has_focus:
            self._start([check for check in CHECKS if check.key == self._table.cursor])

    def _forget(self) -> None:
        """Begin anew: hosts were looked at or changed since."""
        self.errands.end("checks")
        self._of = self.context.run
        for check in CHECKS:
            self._rows.put(check.key, Outcome(Verdict.WAITING))
        self._say("", Tone.MUTED)

    def _start(self, wanted: list[Check]) -> None:
        if self.context.draft.spec() is not None:
            for check in CHECKS:  # What ran is cut off: it came to no end.
                if self._rows.outcomes[check.key].verdict is Verdict.RUNNING:
                    self._put(check, Outcome(Verdict.WAITING))
            self.errands.begin("checks", self._run(wanted))

    async def _run(self, wanted: list[Check]) -> None:
        spec = self.context.draft.spec()
        assert spec is not None, "only complete answers were installed"
        for check in wanted:
            self._put(check, Outcome(Verdict.RUNNING))
            self._put(check, await checks.run(check, self.context.engine, spec))
        outcomes = [(check, self._rows.outcomes[check.key]) for check in CHECKS]
        path = cluster_directory(spec.cluster.name) / "validation.txt"
        bad = sum(outcome.verdict is Verdict.FAIL for _, outcome in outcomes)
        left = sum(outcome.verdict is Verdict.WAITING for _, outcome in outcomes)
        words = f"{bad} failed; " if bad else "no check failed; "
        words += f"{left} not run; " if left else ""
        text = checks.report(
            outcomes,
            cluster=spec.cluster.name,
            at=utc_now(),
            remarks=self.context.run.remarks,
            kept=kept_answers.kept(spec),
        )
        try:
            checks.write_report(text, path)
        except BzzzError as exc:
            self._say(clean(f"{words}{exc}"), Tone.BAD)
            return
        self._say(f"{words}report: {path}", Tone.BAD if bad else Tone.OK)

    def _put(self, check: Check, outcome: Outcome) -> None:
        self._rows.put(check.key, outcome)
        self._table.changed([check.key])
        self._paint_detail()
        self.context.changed()

    def _say(self, words: str, tone: Tone) -> None:
        self.query_one("#check-words", Paragraph).show((words, tone))
