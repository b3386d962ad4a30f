"""All nodes, and what can be done to one."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.binding import BindingType

from bzzz_core.api.documents import MemberStatus
from bzzz_core.errors import ConfigError
from bzzz_tui.actions import Scope, action, bindings
from bzzz_tui.monitor.nodes import NODES
from bzzz_tui.monitor.tables import TableSpec
from screens.monitor.changes_here import ChangesHere
from screens.monitor.table import TableView


class NodesView(ChangesHere, TableView):
    """The nodes of the cluster."""

    VIEW = "nodes"
    SPEC: ClassVar[TableSpec[Any]] = NODES
    SCOPES: ClassVar[tuple[Scope, ...]] = (
        Scope.NODES,
        Scope.HERE,
        Scope.LIST,
        Scope.VIEW,
        Scope.WRITE,
        Scope.TABLE,
    )
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Scope.NODES, Scope.HERE, Scope.WRITE)]

    def member(self) -> MemberStatus:
        """Return the node under the cursor.

        Raises:
            ConfigError: There is none.
        """
        row = self.current()
        if row is None:
            raise ConfigError("no node is under the cursor")
        member: MemberStatus = row.member
        return member

    def leads(self) -> bool:
        """Return whether the node under the cursor leads."""
        row = self.current()
        return row is not None and bool(row.leads)

    def node_here(self) -> str:
        """Return the name of the node under the cursor."""
        row = self.current()
        return "" if row is None else str(row.member.name)

    def chosen(self) -> None:
        """Open the node that was clicked twice."""
        self.perform(action("nodes.open"))

    def action_open(self) -> None:
        """Open the node under the cursor."""
        self.shell.drill("node", self.member().name)
