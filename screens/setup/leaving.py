"""The question to who leaves while hosts are being changed: does the run go on, or stop?"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from bzzz_tui.widgets.toned import Lines
from bzzz_tui.wording import Tone


class Leaving(StrEnum):
    """What becomes of a run whose watcher leaves."""

    FREE = "free"
    """Nothing: none is at work."""
    DETACH = "detach"
    STOP = "stop"
    STAY = "stay"


_COMMAND: Final = "bzzz-tui setup --attach"
LEFT_WORDS: Final = {
    Leaving.FREE: "",
    Leaving.DETACH: f"the run goes on; follow it: {_COMMAND}",
    Leaving.STOP: f"the run stops after what it is doing; see how it ends: {_COMMAND}",
}
_WAYS: Final = (
    ("d", "detach", "the run goes on by itself"),
    ("s", "stop", "it finishes what it is doing, then ends"),
    ("n", "stay", "here, until it has ended"),
)


class LeaveQuestion(ModalScreen[Leaving]):
    """Asks; Esc means to stay."""

    CSS_PATH = "../dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "answer('detach')", "detach", show=False),
        Binding("s", "answer('stop')", "stop", show=False),
        Binding("n,escape", "answer('stay')", "stay", show=False),
    ]

    def compose(self) -> ComposeResult:
        """Lay out the box."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Hosts are being changed"
            yield Lines()

    def on_mount(self) -> None:
        """Write the ways."""
        ways = [
            [(f"{key} ", Tone.ACCENT), (name.ljust(8), Tone.PLAIN), (words, Tone.MUTED)]
            for key, name, words in _WAYS
        ]
        again = [[], [(f"{_COMMAND} shows this screen again", Tone.MUTED)]]
        self.query_one(Lines).show([*ways, *again])

    def action_answer(self, answer: str) -> None:
        """Answer."""
        self.dismiss(Leaving(answer))
