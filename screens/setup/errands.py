"""What the wizard and its steps have others do while they go on: look at hosts, ask an endpoint.

Textual's workers are ended when the widgets of their screen are gone already, so that an answer may
be painted in what is left of them, and are cancelled two or three times over, which cuts off what
they do in `finally`: ending the listeners on hosts, closing connections. These are cancelled once,
before the first widget goes, and the app waits for their end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

from textual.widget import Widget

from bzzz_tui.app_base import AppBase, end_service


class Errands:
    """The errands of one widget, which has to `end` them when it is taken away."""

    def __init__(self, widget: Widget) -> None:
        """Begin with none."""
        self._widget = widget
        self._running: dict[str, list[asyncio.Task[None]]] = {}

    def begin(self, kind: str, work: Coroutine[Any, Any, None], *, beside: bool = False) -> None:
        """Do `work`; what is done of this kind already is ended, or goes on `beside` it."""
        if not beside:
            self.end(kind)
        running = [task for task in self._running.get(kind, ()) if not task.done()]
        service = cast("AppBase", self._widget.app).start_service(work)
        self._running[kind] = [*running, service]

    def end(self, kind: str = "") -> None:
        """End what is done of a kind, or all."""
        for name in (kind,) if kind else tuple(self._running):
            for service in self._running.pop(name, ()):
                end_service(service)
