"""The program's one application: a start screen, from which setup, monitor and demo open.

The screens do not know each other; they ask the app to go somewhere. So the wizard ends in the
monitor, and the demo opens it, in the same terminal session.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.screen import Screen

from bzzz_core.errors import BzzzError
from bzzz_core.ports import Clock
from bzzz_tui.actions import Scope
from bzzz_tui.app_base import AppBase
from bzzz_tui.feed.opening import Target, open_target, sources_of
from bzzz_tui.feed.rotation import Pace
from bzzz_tui.store import FeedEvent
from bzzz_tui.terminal import Terminal

if TYPE_CHECKING:
    from screens.monitor.overview import Feed, Overview

First = Callable[["BzzzApp"], Screen[None]]
"""Makes the first screen."""


class BzzzApp(AppBase):
    """Start screen, setup, monitor and demo in one."""

    TITLE = "BZZZ"

    def __init__(self, *, terminal: Terminal, clock: Clock, pace: Pace, first: First) -> None:
        """Take what every screen shares, and which one comes first."""
        super().__init__(terminal=terminal, clock=clock)
        self.pace = pace
        self._first = first

    def on_mount(self) -> None:
        """Show the first screen."""
        self.push_screen(self._first(self))

    def overview(self, target: Target) -> Screen[None]:
        """Return the live screen of a cluster."""
        from screens.monitor.overview import Overview  # noqa: PLC0415

        async def open_feed(emit: Callable[[FeedEvent], None]) -> Feed:
            return open_target(target, clock=self.clock, pace=self.pace, emit=emit)

        return Overview(open_feed, clock=self.clock, glyphs=self.glyphs)

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
            self.notify(str(exc), severity="warning", timeout=8)
            return
        self.push_screen(self.overview(target))

    def open_demo(self) -> None:
        """Start a local cluster and watch it."""
        from screens.demo import demo_overview  # noqa: PLC0415

        self.push_screen(demo_overview(self))

    def action_show_keys(self) -> None:
        """Show the keys that work on the present screen."""
        from screens.keys import KeysScreen  # noqa: PLC0415

        scopes = getattr(self.screen, "SCOPES", (Scope.EVERYWHERE,))
        self.push_screen(KeysScreen(scopes))

    def on_overview_failed(self, event: Overview.Failed) -> None:
        """End with a message if there is nothing to go back to."""
        if len(self.screen_stack) <= 2:  # noqa: PLR2004  Textual's own blank screen lies below
            words = f"bzzz-tui: {event.error}"
            self.exit(event.error.exit_code, return_code=event.error.exit_code, message=words)

    def leave(self, screen: Screen[None]) -> None:
        """Close a screen; quit if it was the first one."""
        if len(self.screen_stack) > 2:  # noqa: PLR2004  Textual's own blank screen lies below
            screen.dismiss()
        else:
            self.exit(0)

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
