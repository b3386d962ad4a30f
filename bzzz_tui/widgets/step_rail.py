"""The steps of a wizard and how each stands: a column on wide screens, one line on narrow ones."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.strip import Strip

from bzzz_tui.parts import Part, fit_line
from bzzz_tui.widgets.toned import Toned
from bzzz_tui.wording import Glyphs, Tone


class StepState(StrEnum):
    """How a step stands."""

    OPEN = "open"
    OK = "ok"
    WARN = "warn"
    BAD = "error"
    RUNNING = "running"
    RECHECK = "re-check"
    """An answer it depends on was changed."""


_TONES = {
    StepState.OPEN: Tone.MUTED,
    StepState.OK: Tone.OK,
    StepState.WARN: Tone.WARN,
    StepState.BAD: Tone.BAD,
    StepState.RUNNING: Tone.INFO,
    StepState.RECHECK: Tone.WARN,
}


class StepRail(Toned, can_focus=True):
    """All steps; up, down, Enter and numbers go to one."""

    class Picked(Message):
        """The operator wants to go to a step."""

        def __init__(self, number: int) -> None:
            """Carry its number, from 1."""
            super().__init__()
            self.number = number

    def __init__(self, titles: Sequence[str], glyphs: Glyphs) -> None:
        """Take the titles in order."""
        super().__init__(id="rail")
        self._titles = tuple(titles)
        self._glyphs = glyphs
        self._states = [StepState.OPEN] * len(titles)
        self._here = 1
        self._reached = 1

    def show(self, here: int, reached: int, states: Sequence[StepState]) -> None:
        """Show the present step, the furthest one reached, and all states."""
        if (here, reached, list(states)) != (self._here, self._reached, self._states):
            self._here, self._reached, self._states = here, reached, list(states)
            self.refresh()

    def on_key(self, event: events.Key) -> None:
        """Go to a step by number, or by the arrows."""
        number = int(event.key) if event.key.isdecimal() else 0
        if event.key in {"up", "k"}:
            number = self._here - 1
        elif event.key in {"down", "j"}:
            number = self._here + 1
        if 1 <= number <= len(self._titles):
            event.stop()
            self.post_message(self.Picked(number))

    def on_click(self, event: events.Click) -> None:
        """Go to the step that was clicked."""
        at = event.y if self.size.height > 1 else (event.x - 1) // 2
        if 0 <= at < len(self._titles):
            self.post_message(self.Picked(at + 1))

    def render_line(self, y: int) -> Strip:
        """Return one step, or all of them as marks when there is one line only."""
        width = self.size.width
        if self.size.height == 1:
            return self.strip_of(self._compact(), width)
        if y >= len(self._titles):
            return Strip.blank(width, self.rich_style)
        number = y + 1
        mark, tone = self._mark(number)
        title_tone = Tone.PLAIN if number <= self._reached else Tone.MUTED
        line: list[Part] = [(f" {mark} ", tone), (f"{number} {self._titles[y]}", title_tone)]
        if number != self._here:
            return self.strip_of(line, width)
        here = self.palette.cursor
        edge = self._glyphs.cursor if self.has_focus else " "
        line = [
            (edge, Tone.ACCENT),
            (f"{mark} ", tone),
            (f"{number} {self._titles[y]}", Tone.ACCENT),
        ]
        return Strip(
            [Segment(text, self.tone_style(t) + here) for text, t in fit_line(line, width)]
        )

    def _compact(self) -> list[Part]:
        line: list[Part] = [(self._glyphs.cursor if self.has_focus else " ", Tone.ACCENT)]
        for number in range(1, len(self._titles) + 1):
            mark, tone = self._mark(number)
            here = number == self._here
            line.append((str(number) if here else mark, Tone.ACCENT if here else tone))
            line.append((" ", Tone.PLAIN))
        line += [
            (f" {self._here}/{len(self._titles)} ", Tone.MUTED),
            (self._titles[self._here - 1], Tone.ACCENT),
        ]
        return line

    def _mark(self, number: int) -> Part:
        glyphs, state = self._glyphs, self._states[number - 1]
        mark = {
            StepState.OPEN: glyphs.pending,
            StepState.OK: glyphs.done,
            StepState.WARN: glyphs.warn,
            StepState.BAD: glyphs.bad,
            StepState.RUNNING: glyphs.running,
            StepState.RECHECK: glyphs.warn,
        }[state]
        return mark, _TONES[state]
