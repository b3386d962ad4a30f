"""The program's one application: a start screen, from which setup, monitor and demo open.

The screens do not know each other; they ask the app to go somewhere. So the wizard ends in the
monitor, and the demo opens it, in the same terminal session.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from textual.screen import Screen

from bzzz_core.config.profile_places import home
from bzzz_core.errors import BzzzError
from bzzz_core.ports import Clock
from bzzz_tui.actions import Scope
from bzzz_tui.app_base import AppBase
from bzzz_tui.feed.opening import Target, open_cluster, sources_of
from bzzz_tui.feed.rotation import Pace
from bzzz_tui.monitor.opened import OpenCluster, Opened
from bzzz_tui.monitor.session import MonitorSession
from bzzz_tui.monitor.view_settings import FILE as SETTINGS
from bzzz_tui.monitor.views import HOME
from bzzz_tui.store import FeedEvent
from bzzz_tui.terminal import Terminal

if TYPE_CHECKING:
    from bzzz_tui.recording.format import Recording
    from screens.monitor.shell import Shell

_THEME_S: Final = 1.0
"""How often a theme file of the operator's is looked at."""
First = Callable[["BzzzApp"], Screen[None]]
"""Makes the first screen."""


class BzzzApp(AppBase):
    """Start screen, setup, monitor and demo in one."""

    TITLE = "BZZZ"

    def __init__(
        self,
        *,
        terminal: Terminal,
        clock: Clock,
        pace: Pace,
        first: First,
        write: bool = False,
    ) -> None:
        """Take what every screen shares, which one comes first, and whether to allow changes."""
        super().__init__(terminal=terminal, clock=clock)
        self.pace = pace
        self._first = first
        self._write = write
        self.shell: Shell | None = None

    def on_mount(self) -> None:
        """Show the first screen."""
        self.push_screen(self._first(self))
        self.set_interval(_THEME_S, self._look_at_theme)

    def _look_at_theme(self) -> None:
        wrong = self.watch_theme_file()
        if wrong:
            self.notify(f"{wrong}; the colours stay", severity="warning", timeout=8, markup=False)

    def monitor(self, target: Target, *, view: str = HOME, query: str = "") -> Screen[None]:
        """Return the first view of a cluster."""

        async def open_it(emit: Callable[[FeedEvent], None]) -> Opened:
            return open_cluster(target, clock=self.clock, pace=self.pace, emit=emit)

        return self.watch_cluster(open_it, context=target.cluster or "", view=view, query=query)

    def watch_cluster(
        self,
        open_it: OpenCluster,
        *,
        clock: Clock | None = None,
        context: str = "",
        view: str = HOME,
        query: str = "",
    ) -> Screen[None]:
        """Return the first view of whatever `open_it` opens, in the time of `clock`.

        Raises:
            ConfigError: No view has this name, or it is still to come.
        """
        from screens.monitor.shell import Shell  # noqa: PLC0415

        session = MonitorSession(
            open_it,
            clock=clock or self.clock,
            context=context,
            write=self._write,
            refresh_ms=self.pace.refresh_ms,
            on_failed=self._monitor_failed,
        )
        self.shell = Shell(self, session, settings=home() / SETTINGS)
        return self.shell.home(view, query)

    def watch_another(self, cluster: str) -> None:
        """Watch another cluster instead of the present one."""
        before = self.shell
        first = self.monitor(Target(cluster=cluster))
        if before is not None and self.shell is not None:
            self.shell.session.history[:] = before.session.history
            before.close()
        self.push_screen(first)

    def leave_monitor(self) -> None:
        """Close the monitor; quit if it was opened first."""
        if len(self.screen_stack) > 2:  # noqa: PLR2004  Textual's own blank screen lies below
            self.pop_screen()
            self.shell = None
        else:
            self.exit(0)

    def _monitor_failed(self, error: BzzzError) -> None:
        """End with a message if there is nothing to go back to."""
        if len(self.screen_stack) <= 2:  # noqa: PLR2004  Textual's own blank screen lies below
            words = f"bzzz-tui: {error}"
            self.exit(error.exit_code, return_code=error.exit_code, message=words)

    def replay(
        self, recording: Recording, *, speed: float = 1.0, view: str = HOME, query: str = ""
    ) -> Screen[None]:
        """Return the first view of a recording; its time is that of the recording."""
        from bzzz_tui.recording.replay import ReplayClock, ReplayFeed  # noqa: PLC0415

        clock = ReplayClock(self.clock)

        async def open_it(emit: Callable[[FeedEvent], None]) -> Opened:
            feed = ReplayFeed(recording, clock=clock, emit=emit, speed=speed)
            return Opened(feed=feed, replay=feed)

        return self.watch_cluster(open_it, clock=clock, view=view, query=query)

    def open_setup(self) -> None:
        """Open the wizard over the present screen."""
        from screens.setup.opening import open_wizard  # noqa: PLC0415

        self.push_screen(open_wizard(self))

    def open_monitor(self) -> None:
        """Open the monitor on the only known cluster, or say why not."""
        target = Target()
        try:
            sources_of(target)
        except BzzzError as exc:
            self.notify(str(exc), severity="warning", timeout=8, markup=False)
            return
        self.push_screen(self.monitor(target))

    def open_demo(self) -> None:
        """Start a local cluster and watch it."""
        from screens.demo import demo_monitor  # noqa: PLC0415

        self.push_screen(demo_monitor(self))

    def action_show_keys(self) -> None:
        """Show the keys that work on the present screen."""
        from screens.keys import KeysScreen  # noqa: PLC0415

        scopes = getattr(self.screen, "SCOPES", (Scope.EVERYWHERE,))
        self.push_screen(KeysScreen(scopes, self.keymap))

    def leave(self, screen: Screen[None], words: str = "") -> None:
        """Close a screen; quit if it was the first one. Words are what is left to be said."""
        if len(self.screen_stack) > 2:  # noqa: PLR2004  Textual's own blank screen lies below
            screen.dismiss()
            if words:
                self.notify(words, timeout=8, markup=False)
        else:
            self.exit(0, message=words or None)

    async def action_back(self) -> None:
        """Go back one screen; at the first one, stay."""
        if len(self.screen_stack) > 2:  # noqa: PLR2004  Textual's own blank screen lies below
            self.pop_screen()

    async def action_leave(self) -> None:
        """Go back one screen; at the first one, quit."""
        if len(self.screen_stack) > 2:  # noqa: PLR2004
            self.pop_screen()
        else:
            self.exit(0)
