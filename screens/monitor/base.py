"""What every view of the monitor has, and one way in for everything it is told.

A view extends `MonitorView` (or `TableView`) and says: `VIEW`, its name in the registry of views;
`SCOPES`, the scopes of actions that work in it; `body()`, its widgets; `paint()`, to paint all of
it; `changed(changes)`, to paint what is different; `aged()`, once a second, for what grows old.
These are only called while the view is on the screen: a hidden view neither asks nor paints.

Each action of the registry names a method `action_...` here or in the view. Keys, commands and the
palette all call `perform`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final, cast

from textual import on
from textual.binding import BindingType

from bzzz_core.demo.faults import Act
from bzzz_core.errors import BzzzError
from bzzz_tui.action_kinds import Argument
from bzzz_tui.actions import Action, Scope, action, bindings, of
from bzzz_tui.app_base import AppBase
from bzzz_tui.monitor import commands
from bzzz_tui.parts import Part
from bzzz_tui.query import QueryError
from bzzz_tui.widgets.prompt import Mode, Prompt
from bzzz_tui.wording import Tone
from screens.monitor import breaking, replaying
from screens.monitor.frame import Frame

_CHOICES_SHOWN: Final = 12


class MonitorView(Frame):
    """One view of the watched cluster."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Scope.VIEW, Scope.DEMO, Scope.REPLAY)]

    def choices(self, kind: Argument, text: str) -> Sequence[str]:
        """Return what may stand behind a command here; `text` is what is typed of it."""
        return self.shell.choices(kind, text)

    def take_argument(self, argument: str) -> None:
        """Be opened again: with a filter, or about something else."""
        self.argument = argument
        self.paint()

    # ---- one way in

    def actions(self) -> list[Action]:
        """Return the actions that belong to this view, ready or not."""
        return of(*self.scopes)

    def valid_now(self) -> list[Action]:
        """Return the actions that would do something now."""
        return [each for each in self.actions() if each.ready and self.allowed(each)]

    def action_act(self, id: str) -> None:  # noqa: A002
        """Do what a key stands for."""
        self.perform(action(id))

    def perform(self, wanted: Action, argument: str = "") -> None:
        """Do an action, whichever way it was asked for."""
        self.say("")
        if not wanted.ready:
            self.say(f"{wanted.help}: not yet", Tone.MUTED)
            return
        if wanted.scope is Scope.DEMO and self.session.breaking is None:
            self.say("only nodes of a demo are broken on purpose", Tone.MUTED)
            return
        if wanted.scope is Scope.REPLAY and self.session.replay is None:
            self.say("only in a recording there is a way to and fro", Tone.MUTED)
            return
        if not self.allowed(wanted):
            self.say("read-only: start the monitor with --write to change the cluster", Tone.WARN)
            return
        name, fixed = wanted.call
        more = (argument,) if wanted.argument else ()
        try:
            getattr(self, f"action_{name}")(*fixed, *more)
        except (BzzzError, QueryError) as exc:
            self.say(str(exc), Tone.BAD)
        self.paint_frame()

    def run_line(self, line: str) -> None:
        """Do what a line of the command line says."""
        line = line.strip()
        if not line:
            return
        self.session.remember(line)
        try:
            command = commands.parse(line, self.actions())
        except commands.CommandError as exc:
            self.say(str(exc), Tone.BAD)
            return
        self.perform(command.action, command.argument)

    # ---- the prompt

    def action_command(self, text: str = "") -> None:
        """Open the command line."""
        self.prompt(Mode.COMMAND, text)

    def prompt(self, mode: Mode, text: str = "") -> None:
        """Let the operator write."""
        complete = self.complete_line if mode is Mode.COMMAND else self.complete_filter
        history = self.session.history if mode is Mode.COMMAND else ()
        self.add_class("-writing")
        # At once: what is typed before a focus that comes later would be taken for keys.
        self.set_focus(self.query_one(Prompt).open(mode, text, complete, history))

    def complete_line(self, line: str) -> Sequence[str]:
        """Return what a half-written command may become."""
        kinds = {kind: self._chooser(kind) for kind in Argument if kind}
        return commands.completions(line, self.valid_now(), kinds)

    def complete_filter(self, text: str) -> Sequence[str]:
        """Return what a half-written filter may become."""
        return self.choices(Argument.FILTER, text)

    def _chooser(self, kind: Argument) -> Any:
        return lambda text: self.choices(kind, text)

    @on(Prompt.Changed)
    def _written(self, event: Prompt.Changed) -> None:
        if isinstance(event, Prompt.Entered):
            return
        if event.mode is Mode.COMMAND:
            found = self.complete_line(event.text) if event.text else []
            self.say("  ".join(found[:_CHOICES_SHOWN]), Tone.MUTED, stays=True)
        else:
            self.written(event.mode, event.text)

    @on(Prompt.Entered)
    def _entered(self, event: Prompt.Entered) -> None:
        self.close_prompt()
        if event.mode is Mode.COMMAND:
            self.run_line(event.text)
        else:
            self.entered(event.mode, event.text)

    @on(Prompt.Left)
    def _left(self, event: Prompt.Left) -> None:
        self.close_prompt()
        self.entered(event.mode, None)

    def close_prompt(self) -> None:
        """Give the keys back to the view."""
        self.remove_class("-writing")
        self.query_one(Prompt).close()
        self.say("")
        self.focus_body()

    def focus_body(self) -> None:
        """Give the focus to the widget that keys are for."""
        self.set_focus(None)

    def written(self, mode: Mode, text: str) -> None:
        """Show the effect of what is being written."""

    def entered(self, mode: Mode, text: str | None) -> None:
        """Take what was written; None: nothing after all."""

    # ---- what every view can do

    def action_show(self, view: str, argument: str = "") -> None:
        """Open another view."""
        self.shell.show(view, argument)

    def action_show_keys(self) -> None:
        """Show the keys of this view."""
        from screens.keys import KeysScreen  # noqa: PLC0415

        self.app.push_screen(KeysScreen(self.scopes, self.shell.keymap, self.allowed))

    def action_palette(self) -> None:
        """Choose from everything that can be done now."""
        from screens.palette import Palette  # noqa: PLC0415

        def chosen(picked: Action | None) -> None:
            if picked is not None:
                self.perform(picked)

        self.app.push_screen(Palette(self.valid_now(), self.shell.keymap), chosen)

    def action_back(self) -> None:
        """Go back one view; at the first one, stay."""
        self.shell.back()

    def action_leave(self) -> None:
        """Go back one view; at the first one, end."""
        self.shell.leave()

    def action_quit(self) -> None:
        """End the program, unless a change is under way."""
        self.shell.quit()

    def action_last_view(self) -> None:
        """Open the view before this one."""
        self.shell.last()

    def action_refresh(self) -> None:
        """Ask the cluster now."""
        self.session.refresh_now()

    def action_pause(self) -> None:
        """Hold the picture still, or go on; of a recording, the recording."""
        if self.session.replay is not None:
            self.session.replay.pause()
            return
        self.session.pause()
        if self.session.paused_ms is None:
            self.paint()

    def action_theme(self, name: str = "") -> None:
        """Paint in other colours."""
        self.say(f"theme {cast('AppBase', self.app).use_theme(name)}")

    def action_mouse(self) -> None:
        """Give the mouse to the program, or back to the terminal."""
        taken = cast("AppBase", self.app).toggle_mouse()
        self.say("the mouse is the program's" if taken else "the mouse is the terminal's")

    def action_context(self, name: str = "") -> None:
        """Watch another cluster."""
        self.shell.watch(name)

    def action_set(self, words: str = "") -> None:
        """Change a setting for now."""
        if not words:
            self.action_command("set refresh ")
            return
        self.say(self.shell.set(words))

    # ---- what a demo is for

    def tries(self) -> list[list[Part]]:
        """Return what may be tried with a demo now, or where a recording stands."""
        replay = self.session.replay
        return breaking.tries(self) if replay is None else replaying.line(self, replay)

    def node_here(self) -> str:
        """Return the name of the node under the cursor; empty: there is none."""
        return ""

    def action_break_node(self, names: str = "") -> None:
        """Kill nodes, or start them again."""
        breaking.toggle(self, Act.KILL, names)

    def action_freeze_node(self, names: str = "") -> None:
        """Pause nodes, or let them go on."""
        breaking.toggle(self, Act.PAUSE, names)

    def action_isolate_node(self, names: str = "") -> None:
        """Cut nodes off, or connect them again."""
        breaking.toggle(self, Act.PARTITION, names)

    def action_heal_nodes(self, names: str = "") -> None:
        """Make everything whole again, or the nodes named."""
        breaking.do(self, Act.HEAL, names.split())

    # ---- a recording

    def action_step(self, direction: int) -> None:
        """Hold after the next thing that happened, or before the last one."""
        replaying.replay_of(self).step(direction)

    def action_skip(self, by_ms: int) -> None:
        """Go on or back by so much."""
        replaying.replay_of(self).skip(by_ms)

    def action_seek(self, words: str = "") -> None:
        """Go to a time, or on or back by a duration; without words write one."""
        if words:
            replaying.replay_of(self).go_to(words)
        else:
            self.action_command("seek ")

    def action_speed(self, words: str = "") -> None:
        """Play twice as fast, or so many times as fast as it was."""
        replaying.set_speed(self, words)
