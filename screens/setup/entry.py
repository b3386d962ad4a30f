"""The form of one entry of a list, over the step: an endpoint, a model, a share of the budget.

The schema of the entry alone decides what is right here; what several entries must agree on, the
step says afterwards. Nothing is taken before the form is right, and Esc takes nothing.
"""

from __future__ import annotations

from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from bzzz_tui.fields import FieldSpec, faults_of, fields_in, to_text, to_value
from bzzz_tui.widgets.form import FieldRow
from bzzz_tui.wording import Glyphs
from screens.setup.push_button import PushButton

Entry = dict[str, Any]


class EntryForm(ModalScreen[Entry | None]):
    """Asks for one entry."""

    CSS_PATH = "entry.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave", show=False),
        Binding("ctrl+n", "take", "take", show=False, priority=True),
        Binding("ctrl+r,f2", "reveal", "reveal", show=False, priority=True),
    ]

    def __init__(self, field: FieldSpec, entry: Entry | None, glyphs: Glyphs) -> None:
        """Take the list's field, and the entry to edit; None: a new one."""
        super().__init__()
        self._field = field
        texts = {key: to_text(_hashable(value)) for key, value in (entry or {}).items()}
        self.rows = {
            spec.path[-1]: FieldRow(spec, texts.get(spec.path[-1], spec.default), glyphs)
            for spec in fields_in(field)
        }

    def compose(self) -> ComposeResult:
        """Lay out the fields and the button that takes them."""
        with VerticalScroll(classes="dialog -entry", can_focus=False) as box:
            box.border_title = self._field.label
            box.border_subtitle = "Ctrl+N takes it   Esc: leave it as it was"
            yield from self.rows.values()
            yield PushButton("Take it", id="take-entry")

    def on_mount(self) -> None:
        """Begin with the first field."""
        next(iter(self.rows.values())).focus_editor()

    def document(self) -> Entry:
        """Return the entry as typed; defaults are left out."""
        return {
            name: to_value(row.spec, row.text)
            for name, row in self.rows.items()
            if row.text != row.spec.default
        }

    @on(PushButton.Pressed)
    def action_take(self) -> None:
        """Give the entry back if it is right, else say what is wrong."""
        document = self.document()
        wrong = faults_of(self._field, document)
        if "" in wrong:  # What is wrong with the whole stands at the last field.
            wrong.setdefault(next(reversed(self.rows)), wrong.pop(""))
        for name, row in self.rows.items():
            row.complain(wrong.get(name, ""))
        first = next((row for name, row in self.rows.items() if name in wrong), None)
        if first is None:
            self.dismiss(document)
        else:
            first.focus_editor()

    def action_reveal(self) -> None:
        """Show or hide what is masked in the field with the focus."""
        for row in self.rows.values():
            if row.has_focus_within:
                row.action_reveal()

    def action_leave(self) -> None:
        """Take nothing."""
        self.dismiss(None)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
