"""The health checks of the node that answers."""

from __future__ import annotations

from typing import Any, ClassVar

from bzzz_core.api.event_documents import CHECKS as COLLECTION
from bzzz_tui.monitor.checks import CHECKS
from bzzz_tui.monitor.tables import TableSpec
from bzzz_tui.parts import Part
from bzzz_tui.wording import Tone, clean
from screens.monitor.collection import CollectionView


class ChecksView(CollectionView):
    """The checks, and what each found last."""

    VIEW = "checks"
    SPEC: ClassVar[TableSpec[Any]] = CHECKS
    COLLECTION = COLLECTION
    UNTOLD = "the answering agent does not tell of its checks"

    def words(self) -> list[Part]:
        """Return in full what was found."""
        check = self.current()
        return [] if check is None else [(clean(check.words), Tone.PLAIN)]

    def info(self) -> list[Part]:
        """Return whose checks these are."""
        status = self.session.store.status
        if status is None or not self.told:
            return super().info()
        return [(f"of {clean(status.node)}  ", Tone.MUTED), *super().info()]
