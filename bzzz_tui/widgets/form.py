"""A form made from the schema: label, editor, unit; help or what is wrong on the line below.

A field tells its screen two things: that its text was edited, and that it was left (then it is
checked). A field never refuses a key and never loses a text; what is wrong stays until mended.

A secret's field takes references. While its text is none, it is masked, for it may be the secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

from rich.segment import Segment
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widgets import Input

from bzzz_core.config.setting import NOT_ACTIVE
from bzzz_tui.fields import FieldSpec, Kind
from bzzz_tui.parts import Part, fit_line
from bzzz_tui.widgets.entries import Entries
from bzzz_tui.widgets.toned import Lines, Toned, wrapped
from bzzz_tui.wording import Glyphs, Tone

_REFERENCES: Final = ("env:", "file:")


class Choice(Toned, can_focus=True):
    """A few words of which one holds; left, right and space choose."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "turn(-1)", "previous", show=False),
        Binding("right,l,space", "turn(1)", "next", show=False),
    ]
    value = reactive("", init=False)

    class Chosen(Message):
        """Another word holds."""

        def __init__(self, choice: Choice) -> None:
            """Say which choice."""
            super().__init__()
            self.choice = choice

    def __init__(self, words: Sequence[str], value: str) -> None:
        """Take the words and the one that holds."""
        super().__init__()
        self._words = tuple(words)
        self.set_reactive(Choice.value, value)

    def action_turn(self, by: int) -> None:
        """Take the next or previous word."""
        at = self._words.index(self.value) if self.value in self._words else -by
        self.value = self._words[(at + by) % len(self._words)]
        self.post_message(self.Chosen(self))

    def on_click(self, event: events.Click) -> None:
        """Take the word that was clicked."""
        x = 0
        for word in self._words:
            if x <= event.x < x + len(word) + 2:
                self.value = word
                self.post_message(self.Chosen(self))
            x += len(word) + 3

    def render_line(self, y: int) -> Strip:
        """Return the words, the chosen one marked."""
        width = self.size.width
        if y:
            return Strip.blank(width, self.rich_style)
        chosen = self.tone_style(Tone.ACCENT)
        muted = self.tone_style(Tone.MUTED)
        segments: list[Segment] = []
        for word in self._words:
            style = chosen if word == self.value else muted
            # Brackets, so that the choice is seen without colours too.
            text = f"[{word}]" if word == self.value else f" {word} "
            segments += [Segment(text, style), Segment(" ", self.rich_style)]
        return Strip(segments).adjust_cell_length(width, self.rich_style)


class FieldRow(Toned):
    """One field of the schema.

    It paints label, unit and help itself, around the one widget that it has, the editor: a step has
    dozens of rows, and a widget costs milliseconds to lay out, a painted text microseconds. The
    editor's margins, which the style sheet gives, are the room that label and unit have.
    """

    class Edited(Message):
        """The text is another one."""

        def __init__(self, row: FieldRow, text: str) -> None:
            """Carry the text."""
            super().__init__()
            self.row = row
            self.text = text

    class Left(Message):
        """The field lost the focus."""

        def __init__(self, row: FieldRow) -> None:
            """Say which field."""
            super().__init__()
            self.row = row

    def __init__(self, spec: FieldSpec, text: str, glyphs: Glyphs) -> None:
        """Take the field and its present text."""
        super().__init__()
        self.spec = spec
        self._glyphs = glyphs
        self._text = text
        self._wrong = ""
        self._revealed = False
        self.editor = self._make_editor()

    def compose(self) -> ComposeResult:
        """Place the editor."""
        yield self.editor

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return the lines of the editor and of the help below it."""
        return super().get_content_height(container, viewport, width) + len(self._help(width))

    def render_line(self, y: int) -> Strip:
        """Return one painted line: the editor covers its part of it."""
        width = self.size.width
        left = self.editor.styles.margin.left
        help_lines = self._help(width)
        at = y - (self.size.height - len(help_lines))
        if at >= 0:
            return self.strip_of([(" " * left, Tone.PLAIN), help_lines[at]], width)
        if y:
            return self.strip_of([], width)
        label = fit_line([(self.spec.label, Tone.PLAIN)], left)
        unit = self.spec.unit or ("optional" if self.spec.optional else "")
        gap = " " * (self.editor.outer_size.width + 1)
        return self.strip_of([*label, (gap, Tone.PLAIN), (unit, Tone.MUTED)], width)

    @property
    def text(self) -> str:
        """Return the text as it stands."""
        return self.editor.value

    def put(self, text: str) -> None:
        """Write a text into the field, as if it had been typed."""
        self.editor.value = text
        if isinstance(self.editor, Choice):  # Whoever writes into an Input is told by it.
            self.post_message(self.Edited(self, text))

    @property
    def wrong(self) -> str:
        """Return what is wrong, in words; empty if nothing is."""
        return self._wrong

    def complain(self, words: str) -> None:
        """Show what is wrong in place of the help, or the help again."""
        if words != self._wrong:
            self._wrong = words
            self.refresh(layout=True)

    def focus_editor(self) -> None:
        """Put the focus into the field."""
        self.editor.focus()

    def action_reveal(self) -> None:
        """Show or hide a masked text while the field has the focus."""
        self._revealed = not self._revealed
        self._mask()

    def _mask(self) -> None:
        if isinstance(self.editor, Input) and self.spec.kind is Kind.SECRET:
            self.editor.password = _masks(self.editor.value) and not self._revealed

    def _make_editor(self) -> Input | Choice | Entries:
        if self.spec.kind is Kind.ENTRIES:
            return Entries(self._text)
        if self.spec.kind in {Kind.CHOICE, Kind.SWITCH}:
            return Choice(self.spec.choices, self._text)
        secret = self.spec.kind is Kind.SECRET
        hint = "env:NAME or file:/path" if secret else self.spec.default
        masked = secret and _masks(self._text)
        editor = Input(self._text, placeholder=hint, password=masked, compact=True)
        editor.cursor_blink = False
        return editor

    def _help(self, width: int) -> list[Part]:
        """Return the lines below the editor, or what is wrong instead, in a row of this width."""
        words = [(self.spec.help, Tone.MUTED)]
        if self._wrong:
            words = [(f"{self._glyphs.bad} {self._wrong}", Tone.BAD)]
        elif not self.spec.active:
            words.append((f"{self._glyphs.pending} {NOT_ACTIVE}", Tone.WARN))
        return wrapped(words, width - self.editor.styles.margin.left)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._mask()
        if event.value != self._text:
            self._text = event.value
            self.post_message(self.Edited(self, event.value))

    @on(Choice.Chosen)
    def _chosen(self, event: Choice.Chosen) -> None:
        event.stop()
        self.post_message(self.Edited(self, event.choice.value))
        self.post_message(self.Left(self))

    @on(Entries.Changed)
    def _listed(self, event: Entries.Changed) -> None:
        event.stop()
        self.post_message(self.Edited(self, event.entries.value))
        self.post_message(self.Left(self))

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.screen.focus_next()

    def on_descendant_blur(self) -> None:
        """Hide what was revealed, and tell the screen that the field can be checked."""
        if self._revealed:
            self.action_reveal()
        self.post_message(self.Left(self))


class Form(Vertical):
    """Fields under a title."""

    def __init__(self, title: str, rows: Iterable[FieldRow]) -> None:
        """Take the title and the fields."""
        super().__init__()
        self._title = title
        self.rows = tuple(rows)

    def compose(self) -> ComposeResult:
        """Lay out title and fields."""
        yield Lines(classes="form-title")
        yield from self.rows

    def on_mount(self) -> None:
        """Write the title."""
        self.query_one(".form-title", Lines).show([[(self._title, Tone.ACCENT)]])


def _masks(text: str) -> bool:
    return bool(text) and not text.startswith(_REFERENCES)
