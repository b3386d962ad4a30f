"""Step 3: whom setup trusts, and how nodes prove who they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.widget import Widget

from bzzz_tui.actions import Scope, bindings
from bzzz_tui.widgets.columns import Column
from bzzz_tui.widgets.step_rail import StepState
from bzzz_tui.widgets.toned import Lines
from bzzz_tui.wording import Tone
from screens.setup.engine import LookState
from screens.setup.host_table import TRUST
from screens.setup.hosts_step import HostsStep


class SecurityStep(HostsStep):
    """Host keys with their fingerprints, sudo, certificates."""

    COLUMNS: ClassVar[tuple[Column, ...]] = TRUST
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Scope.TRUST)]
    SCOPES: ClassVar[tuple[Scope, ...]] = (Scope.TRUST, Scope.TABLE)

    def compose_above(self) -> Iterable[Widget]:
        """Lay out the table of host keys."""
        yield Lines(id="trust-title")
        yield from self.compose_table()

    def on_mount(self) -> None:
        """Write the texts."""
        super().on_mount()
        self.query_one("#trust-title", Lines).show(
            [
                [
                    ("Host keys", Tone.ACCENT),
                    ("  compare them with `ssh-keygen -lf` on the host, then press t", Tone.MUTED),
                ]
            ]
        )

    def shown(self) -> None:
        """Show the keys; look at hosts that were not seen yet."""
        self.refreshed()
        self.begin_with(self.table)
        unseen = [
            host.name
            for host in self.context.draft.hosts
            if self.context.look(host).state is LookState.UNSEEN
        ]
        self.want_looks(unseen)

    def state(self) -> StepState:
        """Warn about keys that nobody trusted yet; a changed key is an error."""
        if self.problems():
            return StepState.BAD
        states = {self.context.look(host).state for host in self.context.draft.hosts}
        if LookState.KEY_CHANGED in states:
            return StepState.BAD
        return StepState.WARN if LookState.KEY_UNKNOWN in states else StepState.OK
