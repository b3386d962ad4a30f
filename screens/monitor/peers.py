"""Who reaches whom: the nodes as each voter sees them."""

from __future__ import annotations

from typing import Any, ClassVar

from bzzz_tui.actions import Scope
from bzzz_tui.monitor.asked import Asked
from bzzz_tui.monitor.peers import PEERS, VIEW, Views, ask, peers_of
from bzzz_tui.monitor.tables import TableSpec
from bzzz_tui.parts import Part
from bzzz_tui.store import Changes
from bzzz_tui.wording import Tone
from screens.monitor.asking import AskingView
from screens.monitor.nodes import NodesView


class PeersView(NodesView, AskingView):
    """The nodes, and how the voters see them."""

    VIEW = VIEW
    SPEC: ClassVar[TableSpec[Any]] = PEERS
    SCOPES: ClassVar[tuple[Scope, ...]] = NodesView.SCOPES

    async def ask(self) -> Asked:
        """Ask every voter that is there."""
        return await ask(self.session.call, self.session.store)

    def paint(self) -> None:
        """Paint everything; nodes are there before any voter has answered."""
        if self.asked.rows.keys() != self.session.store.rows.keys():
            self._renew()
        super().paint()

    def changed(self, changes: Changes) -> None:
        """Nodes came, went or look different."""
        if changes.order:
            self._renew()
        super().changed(changes)

    def _renew(self) -> None:
        known = self.asked
        made = peers_of(self.session.store, known.head or {})
        made.at_ms, made.trouble = known.at_ms, known.trouble
        self.session.store.asked[self.VIEW] = made

    def info(self) -> list[Part]:
        """Return who was asked."""
        views: Views = self.asked.head or {}
        silent = [name for name, view in views.items() if view is None]
        parts = [*super().info(), ("  ", Tone.PLAIN), *self.asked_words()]
        if silent:
            parts.append((f"  cannot ask {', '.join(silent)}", Tone.WARN))
        return parts
