"""Keeps the wizard's answers on disk a moment after the last change: a crash costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from textual.screen import Screen
from textual.timer import Timer

from bzzz_core.errors import BzzzError
from screens.setup import session
from screens.setup.context import Context

_AFTER_S: Final = 0.5


class Autosave:
    """What of the wizard outlives it."""

    def __init__(
        self, screen: Screen[None], context: Context, at: Callable[[], tuple[int, int]]
    ) -> None:
        """Take whose timers to use, what is kept, and what returns this step and the furthest."""
        self._screen = screen
        self._context = context
        self._at = at
        self._saving: Timer | None = None
        self._over = False

    def soon(self) -> None:
        """Save once nothing was changed for a moment."""
        self._not_yet()
        if not self._over:
            self._saving = self._screen.set_timer(_AFTER_S, self.now)

    def now(self) -> None:
        """Save; what prevents it is said to the operator."""
        here, reached = self._at()
        try:
            session.save(
                self._context.draft,
                step=here,
                reached=reached,
                express=self._context.express,
                recheck=sorted(self._context.recheck),
                path=self._context.session,
            )
        except BzzzError as exc:
            self._screen.notify(str(exc), severity="warning", timeout=5, markup=False)

    def end(self) -> None:
        """Forget everything: what is still to be saved would bring the answers back."""
        self._over = True
        self._not_yet()
        session.forget(self._context.session)

    def _not_yet(self) -> None:
        if self._saving is not None:
            self._saving.stop()
