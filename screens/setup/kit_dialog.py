"""Asks where the operator kit goes and what opens it; the passphrase is masked and not kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from bzzz_core.config.secrets import Secret
from bzzz_core.config.typed_path import expanded
from bzzz_core.errors import ConfigError
from bzzz_tui.widgets.toned import Lines, Paragraph
from bzzz_tui.wording import Tone, clean

_CHARACTERS_MIN: Final = 12
_WHY: Final = (
    "The kit holds what operates this cluster: authorities, token, profile, host keys. Who loses"
    " this machine and has no kit must install anew. Keep it elsewhere, its passphrase apart."
)


@dataclass(frozen=True, slots=True)
class KitWish:
    """Where to, and what opens it."""

    target: Path
    passphrase: Secret


class KitDialog(ModalScreen[KitWish | None]):
    """A file and a passphrase, twice; Esc leaves without."""

    CSS_PATH = "../dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "back", show=False),
        Binding("ctrl+r,f2", "reveal", "reveal", show=False, priority=True),
    ]

    def __init__(self, target: Path) -> None:
        """Take the file that is proposed."""
        super().__init__()
        self._target = target

    def compose(self) -> ComposeResult:
        """Lay out three fields."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Operator kit"
            box.border_subtitle = "Enter: next, then write it   Ctrl+R: show   Esc: not now"
            yield Paragraph(id="kit-why")
            for name, hint, masked in (
                ("kit-file", "file", False),
                ("kit-first", "passphrase, 12 characters at least", True),
                ("kit-again", "the passphrase once more", True),
            ):
                field = Input(placeholder=hint, password=masked, compact=True, id=name)
                field.cursor_blink = False
                yield field
            yield Lines(id="kit-words")

    def on_mount(self) -> None:
        """Write the texts."""
        self.query_one("#kit-why", Paragraph).show((_WHY, Tone.PLAIN))
        self.query_one("#kit-file", Input).value = str(self._target)
        self.query_one("#kit-first", Input).focus()

    def action_reveal(self) -> None:
        """Show or hide the passphrase while its field has the focus."""
        if isinstance(self.focused, Input) and self.focused.id != "kit-file":
            self.focused.password = not self.focused.password

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        if event.input.id != "kit-again":
            self.focus_next()
            return
        first = self.query_one("#kit-first", Input).value
        wrong = ""
        if len(first) < _CHARACTERS_MIN:
            wrong = f"the passphrase needs {_CHARACTERS_MIN} characters at least"
        elif first != event.value:
            wrong = "the two passphrases differ"
        if wrong:
            self.query_one("#kit-words", Lines).show([[], [(wrong, Tone.BAD)]])
            self.query_one("#kit-first", Input).focus()
            return
        try:
            target = expanded(self.query_one("#kit-file", Input).value)
        except ConfigError as exc:
            self.query_one("#kit-words", Lines).show([[], [(clean(str(exc)), Tone.BAD)]])
            self.query_one("#kit-file", Input).focus()
            return
        self.dismiss(KitWish(target, Secret(first)))

    def action_back(self) -> None:
        """Leave without a kit."""
        self.dismiss(None)
