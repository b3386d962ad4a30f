"""Step 2: where each node listens."""

from __future__ import annotations

from collections.abc import Iterable

from textual.widget import Widget

from bzzz_tui.parts import Part
from bzzz_tui.widgets.toned import Lines
from bzzz_tui.wording import Tone
from screens.setup.step import StepView


class NetworkStep(StepView):
    """Addresses as given, and ports."""

    def compose_above(self) -> Iterable[Widget]:
        """Show the addresses: they are given in step 1."""
        yield Lines(id="addresses")

    def shown(self) -> None:
        """Show the addresses as they are now."""
        lines: list[list[Part]] = [[("Addresses", Tone.ACCENT)]]
        for host in self.context.draft.hosts:
            seen = self.context.look(host).facts
            own = ", ".join(seen.addresses or ()) if seen else ""
            more = f"  has {own}" if own else ""
            lines.append(
                [(f"{host.name:<12}", Tone.PLAIN), (host.address, Tone.PLAIN), (more, Tone.MUTED)]
            )
        self.query_one("#addresses", Lines).show(lines)
        super().shown()
