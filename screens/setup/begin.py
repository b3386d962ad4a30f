"""How to begin setup: where it was left, the short way, all questions, or answers of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.sources import load_answers
from bzzz_core.config.typed_path import expanded
from bzzz_core.deploy.detached.place import Run
from bzzz_core.errors import ConfigError
from bzzz_tui.parts import Line
from bzzz_tui.widgets.toned import Lines
from bzzz_tui.wording import Glyphs, Tone, clean
from screens.setup.session import Session
from screens.setup.steps import STEPS


class Way(StrEnum):
    """A way to begin."""

    FOLLOW = "Follow"
    RESUME = "Resume"
    EXPRESS = "Express"
    NEW = "All questions"
    LOAD = "Load answers"


@dataclass(frozen=True, slots=True)
class Beginning:
    """The way that was chosen."""

    way: Way
    answers: ClusterSpec | None = None
    """Of a file, with `LOAD`; of the run, with `FOLLOW`."""


_WORDS: Final = {
    Way.EXPRESS: "hosts, login and AI; the rest takes safe defaults",
    Way.NEW: "all eight steps",
    Way.LOAD: "from an answers file",
}


class Begin(ModalScreen[Beginning | None]):
    """Offers the ways; Esc leaves setup."""

    CSS_PATH = ["../dialogs.tcss", "begin.tcss"]  # noqa: RUF012  Textual declares it so
    AUTO_FOCUS = ""  # The keys are the screen's until a file is asked for.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "choose(1)", "next", show=False),
        Binding("up,k", "choose(-1)", "previous", show=False),
        Binding("enter", "take", "take", show=False),
        Binding("1", "pick(0)", "first", show=False),
        Binding("2", "pick(1)", "second", show=False),
        Binding("3", "pick(2)", "third", show=False),
        Binding("4", "pick(3)", "fourth", show=False),
        Binding("5", "pick(4)", "fifth", show=False),
        Binding("escape,q", "back", "back", show=False),
    ]

    def __init__(
        self, glyphs: Glyphs, kept: Session | None = None, live: Run | None = None
    ) -> None:
        """Take the symbols, what was kept of an earlier setup, and a run that is at work."""
        super().__init__()
        self._glyphs = glyphs
        self._kept = kept
        self._live = live
        self._ways = [Way.FOLLOW] if live is not None else []
        self._ways += [Way.RESUME] if kept is not None else []
        self._ways += [Way.EXPRESS, Way.NEW, Way.LOAD]
        self._chosen = 0

    def compose(self) -> ComposeResult:
        """Lay out the ways and the file's field."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Setup"
            yield Lines(id="ways")
            field = Input(placeholder="answers.yaml", compact=True, id="begin-file")
            field.cursor_blink = False
            field.display = False
            yield field
            yield Lines(id="begin-words")

    def on_mount(self) -> None:
        """Paint."""
        self._paint()
        self._say("Enter takes it, Esc leaves setup", Tone.MUTED)

    def _paint(self) -> None:
        lines: list[Line] = []
        for at, way in enumerate(self._ways):
            here = at == self._chosen
            lines.append(
                [
                    (f"{self._glyphs.cursor} " if here else "  ", Tone.ACCENT),
                    (f"{at + 1} ", Tone.MUTED),
                    (way.value.ljust(15), Tone.ACCENT if here else Tone.PLAIN),
                    (self._about(way), Tone.PLAIN if here else Tone.MUTED),
                ]
            )
        self.query_one("#ways", Lines).show(lines)

    def _about(self, way: Way) -> str:
        if way is Way.FOLLOW and self._live is not None:
            return clean(f"run {self._live.id} is changing hosts of {self._live.cluster}")
        if way is not Way.RESUME or self._kept is None:
            return _WORDS[way]
        names: Sequence[str] = [host.name for host in self._kept.hosts]
        hosts = ", ".join(names[:4]) + (" ..." if len(names) > 4 else "")  # noqa: PLR2004
        return clean(f"step {self._kept.step}, {STEPS[self._kept.step - 1].title}: {hosts or '-'}")

    def _say(self, words: str, tone: Tone) -> None:
        self.query_one("#begin-words", Lines).show([[], [(words, tone)]])

    def action_choose(self, by: int) -> None:
        """Move the cursor."""
        self._chosen = (self._chosen + by) % len(self._ways)
        self._paint()

    def action_pick(self, at: int) -> None:
        """Take a way by its number."""
        if at < len(self._ways):
            self._chosen = at
            self._paint()
            self.action_take()

    def action_take(self) -> None:
        """Take the way under the cursor; a file's name is asked for first."""
        way = self._ways[self._chosen]
        if way is not Way.LOAD:
            self.dismiss(Beginning(way))
            return
        field = self.query_one("#begin-file", Input)
        field.display = True
        field.focus()
        self._say("Enter loads the file, Esc goes back", Tone.MUTED)

    def action_back(self) -> None:
        """Leave the file's field, or setup."""
        field = self.query_one("#begin-file", Input)
        if field.has_focus:
            field.display = False
            self.set_focus(None)
            self._say("Enter takes it, Esc leaves setup", Tone.MUTED)
        else:
            self.dismiss(None)

    @on(Input.Submitted)
    def _load(self, event: Input.Submitted) -> None:
        event.stop()
        try:
            answers = load_answers(expanded(event.value.strip()))
        except ConfigError as exc:
            self._say(clean(str(exc).splitlines()[0]), Tone.BAD)
            return
        self.dismiss(Beginning(Way.LOAD, answers))
