"""The application under the screens: colours, keys that work everywhere, and how it fails.

Rules of this file: the only one that touches private names of Textual; the theme is registered and
chosen in the constructor, because colour filters are; a crash restores the terminal, says one line
and leaves a report without local variables, for those could hold a secret.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import termios
import traceback
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from rich.segment import Segments
from rich.text import Text
from textual import events
from textual.app import App, SuspendNotSupported
from textual.binding import BindingType
from textual.theme import Theme
from textual.widgets import Input
from textual.worker import WorkerFailed

from bzzz_core.config.profile_places import home
from bzzz_core.errors import ConfigError
from bzzz_core.ports import Clock
from bzzz_tui import keymap as keymap_file
from bzzz_tui.actions import ACTIONS, Scope, bindings
from bzzz_tui.keymap import Keymap
from bzzz_tui.palette import palette_of
from bzzz_tui.terminal import Terminal
from bzzz_tui.theme_choice import ThemeChoice, named
from bzzz_tui.wording import ASCII, UNICODE, Glyphs
from themes.loader import ThemeSpec

_INTERRUPTED: Final = 130
_TERMINAL_LOOK_S: Final = 2.0
CLIPBOARD_BYTES_MAX: Final = 74_000
"""A terminal takes about 100,000 characters of OSC 52, and base64 makes four of three."""


class AppBase(App[int], inherit_bindings=False):
    """Textual's App, made ours."""

    CSS_PATH = Path(__file__).with_name("app.tcss")
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Scope.EVERYWHERE)]
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012  Textual declares it as an instance variable
        (0, "-tiny"),
        (40, "-narrow"),
        (100, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-flat"),
        (12, "-short"),
        (20, "-normal"),
        (32, "-tall"),
    ]

    def __init__(self, *, terminal: Terminal, clock: Clock) -> None:
        """Take what the terminal can show and the clock every age is measured by."""
        spec = named(terminal.theme)
        # ansi_color is decided here because NO_COLOR's filter is chosen inside.
        super().__init__(ansi_color=True if spec.ansi else None)
        self.palette = palette_of(spec)
        self.register_theme(_textual_theme(spec))
        self.theme = spec.name
        self.terminal = terminal
        self.keymap = Keymap()
        self._mouse = terminal.mouse
        self._themes = ThemeChoice(spec)
        self.clock = clock
        self.animation_level = "none"
        self.crash_report: Path | None = None
        self._services: set[asyncio.Task[None]] = set()

    def on_mount(self) -> None:
        """End in order when the terminal is closed or the process is asked to end.

        Otherwise a demo's directory, with its keys, would stay behind.
        """
        for number in (signal.SIGHUP, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self.exit, _INTERRUPTED)
        if not self.is_headless:
            self.set_interval(_TERMINAL_LOOK_S, self._look_for_terminal)

    def run(self, **how: Any) -> int | None:
        """Run until it ends; see Textual. The thread that reads keys ends with it, always.

        Where the terminal went away meanwhile, Textual does not come to telling that thread, which
        then goes on for ever, reading the end of a file, and keeps the process alive with it.
        """
        try:
            return super().run(**how)
        finally:
            ended = getattr(self._driver, "exit_event", None)
            if ended is not None:
                ended.set()

    async def _on_key(self, event: events.Key) -> None:
        """Take letters that were on their way to another widget when a field got the focus.

        A fast hand, a pasted line and a slow connection send them in one piece with the key that
        opens the field. Textual gave them to whatever had the focus then; unread, they come here,
        where the field's own letters never do.
        """
        field = self.focused
        if isinstance(field, Input) and event.is_printable and event.character:
            event.prevent_default()
            field.insert_text_at_cursor(event.character)

    def _look_for_terminal(self) -> None:
        """End if the terminal is gone: nobody says so to a program that does not own it."""
        try:
            termios.tcgetattr(sys.__stdin__.fileno() if sys.__stdin__ else 0)
        except (OSError, ValueError, termios.error):
            self.exit(_INTERRUPTED)

    @property
    def glyphs(self) -> Glyphs:
        """Return the symbols this terminal can show."""
        return ASCII if self.terminal.ascii else UNICODE

    # ---- colours

    def use_theme(self, name: str = "") -> str:
        """Paint in a theme's colours, or in the next one's; return its name.

        Raises:
            ConfigError: No such theme, or its file is wrong; the old one stays.
        """
        self._take_theme(self._themes.choose(name))
        return self._themes.spec.name

    def watch_theme_file(self) -> str:
        """Take up a change of the present theme's file; return what is wrong with it, or nothing.

        Only files of the operator are looked at, once for each call.
        """
        try:
            spec = self._themes.changed()
        except ConfigError as exc:
            return str(exc)
        if spec is not None:
            self._take_theme(spec)
        return ""

    def _take_theme(self, spec: ThemeSpec) -> None:
        self.palette = palette_of(spec)
        theme = _textual_theme(spec)
        if "NO_COLOR" not in os.environ:
            self.ansi_color = True if spec.ansi else None
        self.register_theme(theme)
        if self.theme == spec.name:
            self._invalidate_css()
            self.refresh_css(animate=False)
            self._watch_theme(spec.name)
        self.theme = spec.name

    # ---- terminal

    def toggle_mouse(self) -> bool:
        """Give the mouse to the program or back to the terminal; return whose it is now."""
        self._mouse = not self._mouse
        driver = self._driver
        if driver is not None:
            if self._mouse:
                driver._mouse = True  # noqa: SLF001
                _call(driver, "_enable_mouse_support")
            else:
                _call(driver, "_disable_mouse_support")
                driver._mouse = False  # noqa: SLF001
        return self._mouse

    def copy_text(self, text: str) -> bool:
        """Put a text onto the terminal's clipboard; return False if it is too long for that."""
        if len(text.encode()) > CLIPBOARD_BYTES_MAX:
            return False
        self.copy_to_clipboard(text)
        return True

    def run_outside(self, command: Sequence[str]) -> str:
        """Give the terminal to a command until it ends; return how it ended, in words."""
        try:
            with self.suspend():
                ended = subprocess.run(command, check=False)  # noqa: S603  no shell, our own argv
        except SuspendNotSupported:
            return "this terminal cannot be given away"
        except OSError as exc:
            return f"{command[0]}: {exc.strerror}"
        return f"{command[0]} ended with {ended.returncode}"

    def take_keymap(self) -> None:
        """Read the operator's own keys, and say what is wrong with them."""
        self.keymap = keymap_file.load(home() / keymap_file.FILE, ACTIONS)
        if self.keymap.keys:
            self.set_keymap(dict(self.keymap.keys))
        for problem in self.keymap.problems:
            self.notify(problem, severity="warning", timeout=15, markup=False)

    # ---- services

    def start_service(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` until it ends, is cancelled, or the app ends; the app waits for its end.

        Textual's workers are cancelled two or three times over when a screen closes, which would
        cut short what they do in `finally`: stopping a demo's processes, closing connections.
        """
        service = asyncio.ensure_future(work)
        self._services.add(service)
        service.add_done_callback(self._service_ended)
        return service

    def _service_ended(self, service: asyncio.Task[None]) -> None:
        self._services.discard(service)
        error = None if service.cancelled() else service.exception()
        if isinstance(error, Exception):
            self._handle_exception(error)

    async def action_quit(self) -> None:
        """Quit; services are cancelled, and waited for."""
        self.exit(0)

    async def _shutdown(self) -> None:
        await super()._shutdown()
        services = list(self._services)
        for service in services:
            end_service(service)
        await asyncio.gather(*services, return_exceptions=True)

    def _fatal_error(self) -> None:
        """Replace Textual's traceback, which would print local variables, by one line."""
        fault: BaseException | None = self._exception
        if isinstance(fault, WorkerFailed):
            fault = fault.error  # The other was never raised: it knows no place.
        self.crash_report = _write_report("".join(traceback.format_exception(fault)))
        line = Text(
            f"bzzz-tui stopped because of a fault of its own. Report: {self.crash_report}",
            style="bold red",
        )
        self._exit_renderables.append(Segments(self.console.render(line, self.console.options)))
        self._close_messages_no_wait()


def end_service(service: asyncio.Task[None]) -> None:
    """Cancel a service, but only once: what it does to end in order is not disturbed."""
    if not service.done() and not service.cancelling():
        service.cancel()


def _call(driver: object, name: str) -> None:
    """Call a method that only drivers of real terminals have."""
    method = getattr(driver, name, None)
    if method is not None:
        method()


def _write_report(text: str) -> Path:
    descriptor, name = tempfile.mkstemp(prefix="bzzz-tui-crash-", suffix=".txt")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return Path(name)


def _textual_theme(spec: ThemeSpec) -> Theme:
    c = spec.colors
    cursor_text = c.on_accent if spec.ansi else c.foreground
    return Theme(
        name=spec.name,
        ansi=spec.ansi,
        dark=spec.dark,
        primary=c.accent,
        secondary=c.info,
        accent=c.accent,
        success=c.ok,
        warning=c.warn,
        error=c.bad,
        foreground=c.foreground,
        background=c.background,
        surface=c.surface,
        panel=c.panel,
        boost=c.panel,
        variables={
            "ansi-background": c.background,
            "ansi-foreground": c.foreground,
            "bz-text": c.foreground,
            "bz-muted": c.muted,
            "bz-rule": c.rule,
            "bz-cursor": c.cursor,
            "bz-info": c.info,
            "bz-on-accent": c.on_accent,
            "bz-panel": c.panel,
            "bz-surface": c.surface,
            "input-cursor-background": c.accent if not spec.ansi else "ansi_white",
            "input-cursor-foreground": c.on_accent,
            "input-selection-background": c.cursor,
            "block-cursor-background": c.cursor,
            "block-cursor-foreground": cursor_text,
            "scrollbar": c.rule,
            "scrollbar-hover": c.muted,
            "scrollbar-active": c.accent,
            "scrollbar-background": c.background,
            "scrollbar-background-hover": c.background,
            "scrollbar-background-active": c.background,
            "scrollbar-corner-color": c.background,
        },
    )
