"""The keys of the view beneath, made from the action registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from bzzz_tui.actions import Action, Scope, of
from bzzz_tui.keymap import Keymap
from bzzz_tui.parts import Part
from bzzz_tui.widgets.toned import Lines
from bzzz_tui.wording import Tone

_KEY_COLUMNS = 8
_NAME_COLUMNS = 14


class KeysScreen(ModalScreen[None]):
    """A box over the present screen; any of `?`, Esc, q or Enter closes it."""

    CSS_PATH = "keys.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,f1,escape,q,enter", "dismiss", "close", show=False),
    ]

    def __init__(
        self,
        scopes: Sequence[Scope],
        keymap: Keymap,
        allowed: Callable[[Action], bool] = lambda _action: True,
    ) -> None:
        """Take the scopes in which keys work now, the operator's keys, and what is allowed."""
        super().__init__()
        self._scopes = tuple(dict.fromkeys(scopes))
        self._keymap = keymap
        self._allowed = allowed

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
            commanded = any(action.commands for action in of(scope))
            for action in of(scope):
                works = action.ready and self._allowed(action)
                tone = Tone.PLAIN if works else Tone.MUTED
                words = self._keymap.shown(action).ljust(_KEY_COLUMNS)
                key = (words, Tone.ACCENT if works else Tone.MUTED)
                why = "" if works else " (read-only)" if action.ready else " (not yet)"
                command = f":{action.commands[0]} ".ljust(_NAME_COLUMNS) if commanded else ""
                lines.append([key, (command, Tone.MUTED), (action.help + why, tone)])
        self.query_one(Lines).show(lines)
        self.query_one(VerticalScroll).focus()
