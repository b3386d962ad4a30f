"""Step 5: what a node may use, and where it keeps things."""

from __future__ import annotations

from collections.abc import Iterable

from textual.widget import Widget

from bzzz_tui.parts import Part
from bzzz_tui.widgets.toned import Lines
from bzzz_tui.wording import Tone, size
from screens.setup.step import StepView


class ResourcesStep(StepView):
    """Paths and limits, beside what the hosts have."""

    def compose_below(self) -> Iterable[Widget]:
        """Show what each host has free."""
        yield Lines(id="free")

    def shown(self) -> None:
        """Compare the limit with the free space that was seen."""
        self._paint()
        super().shown()

    def edited(self, key: str) -> None:
        """Compare again."""
        del key
        self._paint()

    def _paint(self) -> None:
        text = self.context.draft.get("resources.store_bytes_max")
        wanted = int(text) if text.isdecimal() else None
        lines: list[list[Part]] = [[("Free space seen", Tone.ACCENT)]]
        for host in self.context.draft.hosts:
            facts = self.context.look(host).facts
            free = (
                min((disk.free_bytes for disk in facts.disks or ()), default=None)
                if facts
                else None
            )
            short = free is not None and wanted is not None and free < wanted
            words = "not seen yet" if free is None else size(free)
            if short:
                words += f", less than the limit of {size(wanted)}"
            tone = Tone.MUTED if free is None else Tone.WARN if short else Tone.OK
            lines.append([(f"{host.name:<12}", Tone.PLAIN), (words, tone)])
        lines.append([(self._log_words(), Tone.MUTED)])
        self.query_one("#free", Lines).show(lines)

    def _log_words(self) -> str:
        """Say how much disk the log takes at most."""
        logs = "resources.monitoring.logs"
        texts = [
            self.context.draft.get(f"{logs}.{name}") for name in ("files_kept", "file_bytes_max")
        ]
        if not all(text.isdecimal() for text in texts):
            return "how much disk the log takes depends on its size and number of files"
        files, each = map(int, texts)
        return f"the log takes at most {size((files + 2) * each)} on each host"
