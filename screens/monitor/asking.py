"""Views that ask the cluster for something of their own while they are on the screen.

A view says how to `ask`, and every how many milliseconds. It is asked when the view comes to the
front, then again and again until it is hidden; `r` asks at once. What went wrong is told in the
crumbs line, and what was known stays.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar, Final, cast

from bzzz_core.errors import BzzzError
from bzzz_tui.app_base import AppBase, end_service
from bzzz_tui.monitor.asked import Asked, asked
from bzzz_tui.parts import Part
from bzzz_tui.wording import Tone, clean, span
from screens.monitor.base import MonitorView

_TROUBLE_SHOWN: Final = 60
_LOOK_MS: Final = 100
"""How often to look whether there is somebody to ask, until there is."""


class AskingView(MonitorView):
    """A view with questions of its own."""

    ASK_MS: ClassVar[int] = 5_000
    _asking: asyncio.Task[None] | None = None
    _hurry: asyncio.Event | None = None

    async def ask(self) -> Asked:
        """Ask once.

        Raises:
            BzzzError: There is no answer.
        """
        raise NotImplementedError

    @property
    def asked(self) -> Asked:
        """Return what is known."""
        return asked(self.session.store, self.VIEW)

    def answered(self) -> None:
        """Paint what an answer changed."""
        self.paint()

    def on_screen_resume(self) -> None:
        """Begin to ask."""
        super().on_screen_resume()
        if self._asking is None:
            self._hurry = asyncio.Event()
            self._asking = cast("AppBase", self.app).start_service(self._ask_on(self._hurry))

    def on_screen_suspend(self) -> None:
        """Ask no more."""
        self._end_asking()
        super().on_screen_suspend()

    def on_unmount(self) -> None:
        """Be gone."""
        self._end_asking()
        super().on_unmount()

    def action_refresh(self) -> None:
        """Ask now."""
        super().action_refresh()
        self.hurry()

    def hurry(self) -> None:
        """Ask at once instead of at the next turn."""
        if self._hurry is not None:
            self._hurry.set()

    def asked_words(self) -> list[Part]:
        """Return how old the answer is, or why there is none, for the crumbs line."""
        known = self.asked
        if known.trouble:
            return [(clean(known.trouble)[:_TROUBLE_SHOWN], Tone.WARN)]
        if known.at_ms is None:
            return [("asking", Tone.MUTED)]
        age_ms = self.session.clock.now_ms() - known.at_ms
        return [] if age_ms < 2 * self.ASK_MS else [(f"{span(age_ms / 1_000)} old", Tone.WARN)]

    def if_answered(self, words: str) -> str:
        """Return what an empty answer means, or that there is none yet: unknown is not nothing."""
        known = self.asked
        if known.at_ms is not None:
            return words
        return "not known" if known.trouble else "asking"

    def _end_asking(self) -> None:
        if self._asking is not None:
            end_service(self._asking)
            self._asking = None

    async def _ask_on(self, hurry: asyncio.Event) -> None:
        while True:
            # Before anything is known of the cluster there is nobody to ask and nothing to ask of.
            ready = self.session.store.status is not None
            if ready and self.session.paused_ms is None:
                await self._ask_once()
            try:
                async with asyncio.timeout((self.ASK_MS if ready else _LOOK_MS) / 1_000):
                    await hurry.wait()
            except TimeoutError:
                pass
            hurry.clear()

    async def _ask_once(self) -> None:
        store = self.session.store
        try:
            found = await self.ask()
        except BzzzError as exc:
            before = self.asked
            found = Asked(before.rows, before.order, before.head, before.at_ms, str(exc))
        else:
            found.at_ms = self.session.clock.now_ms()
        store.asked[self.VIEW] = found
        if self.stands and self.is_current and self.session.paused_ms is None:
            self.answered()
            self.paint_frame()
