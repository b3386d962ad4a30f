"""When a picture may be taken: nothing is left to be laid out, painted or told to a widget.

A layout may bring the next one about: a scrollbar that appears makes lines narrower, which makes a
paragraph higher. `Pilot.pause` waits for what is queued, not for what follows from that; on a busy
machine a picture taken then shows the layout before the last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from textual.pilot import Pilot
from textual.screen import Screen
from textual.widget import Widget

from tests.tui.settled import LIMIT_S

_ROUNDS = 2
"""So often in a row everything has to be the same: what one round sets off is seen in the next."""


async def at_rest(pilot: Pilot[int]) -> None:
    """Wait until the screen is laid out and painted for good, whatever the machine does."""
    before: object = None
    same = 0
    async with asyncio.timeout(LIMIT_S):
        while same < _ROUNDS:
            await pilot.pause()
            screen = pilot.app.screen
            now = _painted(screen)
            rests = now == before and not any(_unrest(pilot, screen))
            same, before = same + 1 if rests else 0, now


def _unrest(pilot: Pilot[int], screen: Screen[object]) -> Iterator[bool]:
    """Yield whether something waits: on the screen, in the queue of a widget or of the app."""
    yield screen._layout_required or screen._scroll_required
    yield bool(screen._dirty_widgets or screen._callbacks)
    yield pilot.app.message_queue_size > 0
    for widget in screen.walk_children(Widget, with_self=True):
        yield widget.message_queue_size > 0
        yield widget._repaint_required or widget._layout_required or widget._recompose_required


def _painted(screen: Screen[object]) -> object:
    return [list(strip) for strip in screen._compositor.render_strips()]
