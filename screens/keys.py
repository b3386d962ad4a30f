"""The keys of the view beneath, made from the action registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from bzzz_tui.actions import Scope, of
from bzzz_tui.parts import Part
from bzzz_tui.widgets.toned import Lines
from bzzz_tui.wording import Tone

_KEY_COLUMNS = 10


class KeysScreen(ModalScreen[None]):
    """A box over the present screen; any of `?`, Esc, q or Enter closes it."""

    CSS_PATH = "keys.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,f1,escape,q,enter", "dismiss", "close", show=False),
    ]

    def __init__(self, scopes: Sequence[Scope]) -> None:
        """Take the scopes in which keys work now."""
        super().__init__()
        self._scopes = tuple(dict.fromkeys(scopes))

    def compose(self) -> ComposeResult:
        """Lay out the list."""
        with VerticalScroll(id="keys-box") as box:
            box.border_title = "Keys"
            box.border_subtitle = "Esc closes"
            yield Lines(id="keys-list")

    def on_mount(self) -> None:
        """Write the list."""
        lines: list[list[Part]] = []
        for scope in self._scopes:
            if lines:
                lines.append([])
            lines.append([(scope.value.upper(), Tone.MUTED)])
            for action in of(scope):
                tone = Tone.PLAIN if action.ready else Tone.MUTED
                key = (action.key.ljust(_KEY_COLUMNS), Tone.ACCENT if action.ready else Tone.MUTED)
                more = "" if action.ready else " (not yet)"
                lines.append([key, (action.help + more, tone)])
        self.query_one(Lines).show(lines)
        self.query_one(VerticalScroll).focus()
