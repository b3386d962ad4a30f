"""A table of documents that the answering node tells of, and words on the one under the cursor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.widget import Widget

from bzzz_tui.actions import Scope, bindings
from bzzz_tui.parts import Part
from bzzz_tui.store import Changes
from bzzz_tui.widgets.toned import Paragraph
from bzzz_tui.wording import Tone
from screens.monitor.table import TableView


class CollectionView(TableView):
    """One collection of the event stream."""

    CSS_PATH = "alerts.tcss"
    COLLECTION: ClassVar[str]
    UNTOLD: ClassVar[str]
    """What to say of an agent that does not tell of it."""
    SCOPES: ClassVar[tuple[Scope, ...]] = (Scope.ROW, Scope.LIST, Scope.VIEW, Scope.TABLE)
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Scope.ROW)]

    def words(self) -> list[Part]:
        """Return what to say of the row under the cursor."""
        raise NotImplementedError

    @property
    def told(self) -> bool:
        """Return whether the answering node tells of the collection at all."""
        return self.COLLECTION in self.session.store.known

    def body(self) -> Iterable[Widget]:
        """Return the table, and the words below it."""
        yield self.table
        yield Paragraph(id="advice")

    def changed(self, changes: Changes) -> None:
        """Documents came, went or are different."""
        if self.COLLECTION in changes.collections:
            self.paint()

    def paint(self) -> None:
        """Paint everything."""
        super().paint()
        self._say_words()

    def moved(self, row: str) -> None:
        """Tell of another row."""
        del row
        self._say_words()

    def chosen(self) -> None:
        """Show everything that is known of the row."""
        self.action_describe()

    def nothing(self) -> str:
        """Return why there are no rows."""
        return super().nothing() if self.told else "not known"

    def info(self) -> list[Part]:
        """Return how many there are, or that nobody tells."""
        if self.session.store.status is not None and not self.told:
            return [(self.UNTOLD, Tone.WARN)]
        return super().info()

    def _say_words(self) -> None:
        self.query_one("#advice", Paragraph).show(*self.words())
