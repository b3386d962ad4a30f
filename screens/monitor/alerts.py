"""What is wrong now, and what to do about it."""

from __future__ import annotations

from typing import Any, ClassVar

from bzzz_core.api.event_documents import ALERTS as COLLECTION
from bzzz_tui.monitor.alerts import ALERTS
from bzzz_tui.monitor.tables import TableSpec
from bzzz_tui.parts import Part
from bzzz_tui.wording import Tone, clean
from screens.monitor.collection import CollectionView


class AlertsView(CollectionView):
    """The alerts that hold now."""

    VIEW = "alerts"
    SPEC: ClassVar[TableSpec[Any]] = ALERTS
    COLLECTION = COLLECTION
    UNTOLD = "the answering agent does not tell of alerts"

    def words(self) -> list[Part]:
        """Return what was found, and the next step."""
        alert = self.current()
        if alert is None:
            return []
        return [(clean(alert.words), Tone.PLAIN), (f"next: {clean(alert.next_step)}", Tone.INFO)]
