"""The start screen: what would you like to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, cast

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Center, Middle
from textual.screen import Screen

from bzzz_tui.actions import Scope, bindings, hints
from bzzz_tui.parts import Part
from bzzz_tui.widgets.bars import HintBar
from bzzz_tui.widgets.toned import Lines
from bzzz_tui.wording import Glyphs, Tone

if TYPE_CHECKING:
    from screens.app import BzzzApp

_LOGO: Final = (
    "██████  ███████ ███████ ███████",
    "██   ██    ███     ███     ███ ",
    "██████    ███     ███     ███  ",
    "██   ██  ███     ███     ███   ",
    "██████  ███████ ███████ ███████",
)
_LOGO_ASCII: Final = ("B Z Z Z",)
_CHOICES: Final = (
    ("Setup", "install a cluster on your hosts over SSH"),
    ("Monitor", "watch a cluster that setup installed"),
    ("Demo", "run a real cluster on this machine and watch it"),
)


class StartScreen(Screen[None]):
    """Three choices."""

    CSS_PATH = "start.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Scope.START)]
    SCOPES: ClassVar[tuple[Scope, ...]] = (Scope.START, Scope.EVERYWHERE)

    def __init__(self, glyphs: Glyphs, *, chosen: int = 0) -> None:
        """Take the symbols in use and the choice under the cursor."""
        super().__init__()
        self._glyphs = glyphs
        self._chosen = chosen

    def compose(self) -> ComposeResult:
        """Lay out logo and choices in the middle."""
        with Middle(), Center():
            yield Lines(id="logo")
            yield Lines(id="choices")
        yield HintBar()

    def on_mount(self) -> None:
        """Paint."""
        unicode = self._glyphs.rule != "-"
        logo: list[list[Part]] = [
            [(line, Tone.ACCENT)] for line in (_LOGO if unicode else _LOGO_ASCII)
        ]
        logo += [[], [("one self-governing cluster from a handful of machines", Tone.MUTED)]]
        self.query_one("#logo", Lines).show(logo)
        self.query_one(HintBar).show(hints(*self.SCOPES))
        self._paint()

    def _paint(self) -> None:
        lines: list[list[Part]] = []
        for at, (name, text) in enumerate(_CHOICES):
            here = at == self._chosen
            mark = f"{self._glyphs.cursor} " if here else "  "
            lines.append(
                [
                    (mark, Tone.ACCENT),
                    (f"{at + 1} ", Tone.MUTED),
                    (name.ljust(10), Tone.ACCENT if here else Tone.PLAIN),
                    (text, Tone.PLAIN if here else Tone.MUTED),
                ]
            )
        self.query_one("#choices", Lines).show(lines)

    def action_choose(self, by: int) -> None:
        """Move the cursor."""
        self._chosen = (self._chosen + by) % len(_CHOICES)
        self._paint()

    def action_pick(self, at: int) -> None:
        """Open a choice by its number."""
        self._chosen = at
        self._paint()
        self.action_open()

    def action_open(self) -> None:
        """Open what is under the cursor."""
        app = cast("BzzzApp", self.app)
        (app.open_setup, app.open_monitor, app.open_demo)[self._chosen]()
