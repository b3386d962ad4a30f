"""What all steps have in common: title, fields, what is still to come, and the way on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widget import Widget

from bzzz_tui.actions import Scope, bindings
from bzzz_tui.widgets.entries import Entries
from bzzz_tui.widgets.form import FieldRow, Form
from bzzz_tui.widgets.step_rail import StepState
from bzzz_tui.widgets.toned import Lines, Paragraph
from bzzz_tui.wording import Tone
from screens.setup.context import Context
from screens.setup.draft import FIELDS
from screens.setup.entry import EntryForm
from screens.setup.errands import Errands
from screens.setup.push_button import PushButton
from screens.setup.steps import EXPRESS, STEPS, Group, StepSpec, home_of, next_of

__all__ = ["PushButton", "StepView"]


class StepView(VerticalScroll, can_focus=False):
    """One step of the wizard."""

    SCOPES: ClassVar[tuple[Scope, ...]] = ()
    """Keys of this step, besides those of the wizard."""

    class GoOn(Message):
        """The operator wants the next step."""

    class Answered(Message):
        """An answer was given or changed."""

    class LookWanted(Message):
        """The hosts should be looked at."""

        def __init__(self, hosts: Sequence[str]) -> None:
            """Carry the names of the hosts."""
            super().__init__()
            self.hosts = tuple(hosts)

    def __init__(self, spec: StepSpec, context: Context) -> None:
        """Take which step this is and what the wizard knows."""
        super().__init__(id=f"step-{spec.key}")
        self.spec = spec
        self.context = context
        self.errands = Errands(self)
        self.rows: dict[str, FieldRow] = {}
        self._left: set[str] = set()
        """Keys of fields that were left at least once: only those are complained about."""

    def compose(self) -> ComposeResult:
        """Lay out the step from top to bottom."""
        yield Lines(classes="step-title")
        yield Paragraph(classes="step-intro")
        yield from self.compose_above()
        for group in self._groups():
            rows = self._rows_of(group)
            if rows:
                yield Form(group.title, rows)
        yield from self.compose_below()
        yield PushButton(self.next_label(), id=f"next-{self.spec.key}")
        if self.spec.later:
            yield Paragraph(classes="step-later")

    def _groups(self) -> tuple[Group, ...]:
        """Return the groups that are asked: on the short way only what has no safe default."""
        short = self.context.express and self.spec.number in EXPRESS
        return tuple(group for group in self.spec.groups if group.express or not short)

    def compose_above(self) -> Iterable[Widget]:
        """Return what stands above the fields."""
        return ()

    def compose_below(self) -> Iterable[Widget]:
        """Return what stands below the fields."""
        return ()

    def on_mount(self) -> None:
        """Write the texts."""
        title = f"{self.spec.number} {self.spec.title}"
        self.query_one(".step-title", Lines).show([[(title, Tone.ACCENT)]])
        self.query_one(".step-intro", Paragraph).show((self.spec.intro, Tone.MUTED))
        if self.spec.later:
            dot = self.context.glyphs.dot
            later = ((f"not yet {dot} {words}", Tone.MUTED) for words in self.spec.later)
            self.query_one(".step-later", Paragraph).show(*later)

    def _on_prune(self) -> None:
        """End what asks for this step before its widgets go."""
        self.errands.end()

    def next_label(self) -> str:
        """Return what the button to the next step says."""
        if self.spec.number == len(STEPS):
            return "Open monitor"
        number = next_of(self.spec.number, self.context.route)
        return f"Next: {STEPS[number - 1].title}"

    def shown(self) -> None:
        """React to being the visible step: the first thing to fill in gets the focus."""
        first = next(iter(self.rows.values()), None)
        self.begin_with(None if first is None else first.editor)

    def begin_with(self, first: Widget | None) -> None:
        """Show the step from its top, with the focus on `first`, wherever that is.

        Textual scrolls to what gets the focus some time later, so that a busy machine would decide
        whether the step is seen from its top or from somewhere below.
        """
        if first is not None and not first.disabled:
            first.focus(scroll_visible=False)
        elif first is not None:
            self.query_one(f"#next-{self.spec.key}", PushButton).focus(scroll_visible=False)
        self.scroll_home(animate=False)

    def freeze(self, *, frozen: bool) -> None:
        """Let answers be read only, or open them again."""
        for row in self.rows.values():
            row.editor.disabled = frozen

    async def take_key(self, key: str) -> None:
        """Do what a key of this step does, while the focus is elsewhere, on the rail."""
        for binding in bindings(*self.SCOPES):
            if key in binding.key.split(",") and not binding.action.startswith("act("):
                await self.run_action(binding.action)

    def refreshed(self) -> None:
        """React to news about hosts or the run while this step is shown."""

    def hidden(self) -> None:
        """React to another step being shown."""

    def state(self) -> StepState:
        """Return how this step stands, apart from whether it was reached."""
        return StepState.BAD if self.problems() else StepState.OK

    def end_words(self) -> str:
        """Return what is said if setup ends with this step; "": it goes on."""
        return ""

    def problems(self) -> list[str]:
        """Return what is wrong here, in words."""
        return [p.words for p in self.context.draft.problems() if self._row_for(p.key) is not None]

    def check(self) -> bool:
        """Complain about everything that is wrong here; focus the first; return whether none is."""
        for key, row in self.rows.items():
            self.context.draft.set(key, row.text)  # A key press can overtake the last edit.
        self._left |= set(self.rows)
        self._complain()
        wrong = next((row for row in self.rows.values() if row.wrong), None)
        if wrong is not None:
            wrong.focus_editor()
            wrong.scroll_visible(animate=False)
        return wrong is None

    @on(FieldRow.Edited)
    def _take(self, event: FieldRow.Edited) -> None:
        event.stop()
        key = event.row.spec.key
        if self.context.draft.set(key, event.text):
            if event.row.wrong:
                self._complain()
            self.edited(key)
            self.post_message(self.Answered())

    @on(FieldRow.Left)
    def _check_left(self, event: FieldRow.Left) -> None:
        event.stop()
        self._left.add(event.row.spec.key)
        self._complain()

    def edited(self, key: str) -> None:
        """React to an edited field."""

    @on(Entries.Wanted)
    def _open_entry(self, event: Entries.Wanted) -> None:
        event.stop()
        row = next(row for row in self.rows.values() if row.editor is event.entries)
        found = None if event.index is None else event.entries.entries[event.index]

        def take(entry: dict[str, object] | None) -> None:
            if entry is not None:
                event.entries.put(event.index, entry)

        form = EntryForm(row.spec, found, self.context.glyphs)
        self.app.push_screen(form, take)

    @on(PushButton.Pressed)
    def _pressed(self, event: PushButton.Pressed) -> None:
        event.stop()
        if event.button.id == f"next-{self.spec.key}":
            self.post_message(self.GoOn())
        else:
            self.pressed(event.button)

    def pressed(self, button: PushButton) -> None:
        """React to another button of this step."""

    def _complain(self) -> None:
        wrong: dict[FieldRow, str] = {}
        for problem in self.context.draft.problems():
            row = self._row_for(problem.key)
            if row is not None:
                wrong.setdefault(row, problem.words)
        for key, row in self.rows.items():
            row.complain(wrong.get(row, "") if key in self._left else "")

    def _row_for(self, key: str) -> FieldRow | None:
        """Return the field at which to show a problem; a whole section's goes to its last field."""
        if key in self.rows:
            return self.rows[key]
        inside = [row for name, row in self.rows.items() if name.startswith(f"{key}.")]
        return inside[-1] if inside and key else None

    def _rows_of(self, group: Group) -> list[FieldRow]:
        rows = []
        for key, field in FIELDS.items():
            if home_of(key) == (self.spec, group):
                row = FieldRow(field, self.context.draft.get(key), self.context.glyphs)
                self.rows[key] = row
                rows.append(row)
        return rows
