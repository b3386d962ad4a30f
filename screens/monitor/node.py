"""Everything about one node; opened from a table with Enter, or by `:node NAME`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import ClassVar, Final, cast

import msgspec
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget

from bzzz_core.api.documents import MemberStatus
from bzzz_core.api.event_documents import CheckDocument
from bzzz_core.errors import BzzzError, ConfigError, TransportError
from bzzz_tui.actions import Scope, bindings
from bzzz_tui.monitor.asked import Asked
from bzzz_tui.monitor.node import Checks, lines, row_named
from bzzz_tui.parts import Part
from bzzz_tui.store import Changes
from bzzz_tui.widgets.toned import Lines
from screens.monitor.asking import AskingView
from screens.monitor.changes_here import ChangesHere

_ASK_S: Final = 3.0


class NodeView(ChangesHere, AskingView):
    """One node."""

    CSS_PATH = "node.tcss"
    VIEW = "node"
    SCOPES: ClassVar[tuple[Scope, ...]] = (
        Scope.NODE,
        Scope.HERE,
        Scope.VIEW,
        Scope.WRITE,
        Scope.TABLE,
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(Scope.NODE, Scope.HERE, Scope.WRITE, Scope.TABLE)
    ]

    @property
    def title_here(self) -> str:
        """Return the node's name in the crumbs."""
        return self.argument or "node"

    def body(self) -> Iterable[Widget]:
        """Return the page, which scrolls."""
        with VerticalScroll(id="page", can_focus=False):
            yield Lines(id="lines")

    def member(self) -> MemberStatus:
        """Return the node.

        Raises:
            ConfigError: It is not among the nodes.
        """
        row = row_named(self.session.store, self.argument)
        if row is None:
            raise ConfigError(f"{self.argument or 'it'} is not among the nodes")
        return row.member

    def leads(self) -> bool:
        """Return whether the node leads."""
        row = row_named(self.session.store, self.argument)
        return row is not None and row.leads

    def node_here(self) -> str:
        """Return the node's name."""
        row = row_named(self.session.store, self.argument)
        return "" if row is None else row.member.name

    async def ask(self) -> Asked:
        """Ask the node for its health."""
        name = self.node_here()
        if not name:
            return Asked()
        try:
            async with asyncio.timeout(_ASK_S):
                answer = await self.session.call("GET", "/health/checks", host=name)
            checks = msgspec.convert(answer["checks"], tuple[CheckDocument, ...])
        except TimeoutError:
            return Asked(head=(name, f"not known: no answer within {_ASK_S:g} s"))
        except BzzzError as exc:
            return Asked(head=(name, f"not known: {exc}"))
        except (msgspec.ValidationError, KeyError, TypeError) as exc:
            raise TransportError("the node's health is not what was asked for") from exc
        return Asked(head=(name, checks))

    def _checks(self) -> Checks:
        name, checks = self.asked.head or ("", None)
        return cast("Checks", checks) if name and name == self.node_here() else "asking the node"

    def info(self) -> list[Part]:
        """Return how fresh its health is, or why it is not known."""
        return self.asked_words()

    def changed(self, changes: Changes) -> None:
        """Paint what is different."""
        del changes
        self.paint()

    def aged(self) -> None:
        """Paint what grew older."""
        self.paint()

    def paint(self) -> None:
        """Paint everything; lines that look the same are left alone."""
        session = self.session
        if not self.argument and session.store.order:
            self.argument = session.store.rows[session.store.order[0]].member.name
        made = lines(
            session.store,
            self.argument,
            session.clock.now_ms(),
            self.size.width,
            self.glyphs,
            checks=self._checks(),
        )
        self.query_one("#lines", Lines).show(made)

    def on_resize(self) -> None:
        """Lay the facts out anew."""
        super().on_resize()
        self.paint()

    def take_argument(self, argument: str) -> None:
        """Be about another node."""
        if argument:
            self.argument = argument
        self.paint()
        self.hurry()

    # ---- moving

    @property
    def _page(self) -> VerticalScroll:
        return self.query_one("#page", VerticalScroll)

    def action_cursor(self, rows: int) -> None:
        """Scroll."""
        self._page.scroll_relative(y=rows, animate=False)

    def action_page(self, pages: int) -> None:
        """Scroll by pages."""
        self._page.scroll_relative(y=pages * max(1, self._page.size.height - 1), animate=False)

    def action_edge(self, direction: int) -> None:
        """Scroll to the top or the bottom."""
        page = self._page
        page.scroll_to(y=0 if direction < 0 else page.max_scroll_y, animate=False)

    def action_next_node(self, by: int) -> None:
        """Go on to another node, in the order of names."""
        store = self.session.store
        row = row_named(store, self.argument)
        if row is None or not store.order:
            return
        at = store.order.index(row.id) + by
        self.take_argument(store.rows[store.order[at % len(store.order)]].member.name)
