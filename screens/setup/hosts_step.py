"""What the steps with a table of hosts share: looking at hosts, and trusting their keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

import msgspec
from textual import on
from textual.binding import BindingType
from textual.widget import Widget

from bzzz_tui.actions import Scope, bindings
from bzzz_tui.parts import Part
from bzzz_tui.widgets.columns import Column
from bzzz_tui.widgets.live_table import LiveTable
from bzzz_tui.widgets.toned import Paragraph
from bzzz_tui.wording import Tone, clean
from screens.setup.context import Context
from screens.setup.draft import HostDraft
from screens.setup.engine import Look, LookState
from screens.setup.host_table import HostRows, place, state_part
from screens.setup.step import StepView
from screens.setup.steps import StepSpec

_ASKED: Final = frozenset({LookState.UNSEEN, LookState.LOOKING})


class HostsTable(LiveTable):
    """A table of hosts; the keys that act on a host work while it has the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Scope.TABLE)]

    def action_cursor(self, rows: int) -> None:
        """Move the cursor."""
        self.move(rows)

    def action_page(self, pages: int) -> None:
        """Move the cursor by pages."""
        self.move(pages * self.page)

    def action_edge(self, direction: int) -> None:
        """Move the cursor to the first or last host."""
        self.move(direction * self.virtual_size.height)


class HostsStep(StepView):
    """A step with a table of hosts."""

    COLUMNS: ClassVar[tuple[Column, ...]] = ()

    def __init__(self, spec: StepSpec, context: Context) -> None:
        """Take which step this is and what the wizard knows."""
        super().__init__(spec, context)
        self.host_rows = HostRows(context)
        self.table = HostsTable(
            self.COLUMNS, self.host_rows, empty="no hosts yet", id=f"hosts-{spec.key}"
        )

    def compose_table(self) -> Iterable[Widget]:
        """Return the table and the line about the host under the cursor."""
        yield self.table
        yield Paragraph(classes="host-words")

    def refreshed(self) -> None:
        """Show the hosts as they are now."""
        self.host_rows.touch()
        self.table.reload()
        self.table.styles.height = min(12, len(self.context.draft.hosts) + 1) + (
            0 if self.context.draft.hosts else 1
        )
        self._paint_words()

    @on(LiveTable.Moved)
    def _paint_words(self) -> None:
        host = self.host_under_cursor()
        paragraph = self.query_one(".host-words", Paragraph)
        look = Look() if host is None else self.context.look(host)
        self.paint_look(look)
        if host is None:
            paragraph.show()
            return
        text, tone = state_part(look, self.context.glyphs)
        words = f" {self.context.glyphs.dot} {clean(look.words)}" if look.words else ""
        roles = f" ({clean(host.roles)})" if host.roles else ""
        said: list[Part] = [(f"{host.name} {place(host)}{roles} {text}{words}", tone)]
        if look.state is LookState.KEY_UNKNOWN and look.fingerprint:
            said.append((clean(look.fingerprint), Tone.PLAIN))
        paragraph.show(*said)

    def paint_look(self, look: Look) -> None:
        """Show what is known of the host under the cursor; a step that shows none does nothing."""

    def host_under_cursor(self) -> HostDraft | None:
        """Return the host under the cursor."""
        name = self.table.cursor
        return next((host for host in self.context.draft.hosts if host.name == name), None)

    def action_probe(self) -> None:
        """Look at all hosts now."""
        self.want_looks([host.name for host in self.context.draft.hosts])

    def action_trust(self) -> None:
        """Trust the key that the host under the cursor showed."""
        host = self.host_under_cursor()
        self._trust([host] if host else [])

    def action_trust_all(self) -> None:
        """Trust every key that was shown, and name the hosts that showed none yet."""
        hosts = self.context.draft.hosts
        waited_for = [
            host.name
            for host in hosts
            if not host.host_key_sha256 and self.context.look(host).state in _ASKED
        ]
        self._trust(hosts)
        if waited_for:
            words = f"no key yet of {', '.join(waited_for)}: T again once it stands there"
            self.notify(words, timeout=5, markup=False)

    def want_looks(self, names: Sequence[str]) -> None:
        """Ask the wizard to look at hosts, if the answers about them are right."""
        if names and not self._hosts_are_wrong():
            self.post_message(self.LookWanted(names))

    def _hosts_are_wrong(self) -> bool:
        return any(p.key.startswith("hosts") for p in self.context.draft.problems())

    def _trust(self, hosts: Sequence[HostDraft]) -> None:
        trusted = []
        for host in hosts:
            look = self.context.look(host)
            if look.state is LookState.KEY_UNKNOWN and look.fingerprint:
                self._replace(host, host_key_sha256=look.fingerprint)
                trusted.append(host.name)
        if trusted:
            self.post_message(self.Answered())
            self.refreshed()
            self.want_looks(trusted)

    def _replace(self, host: HostDraft, **changes: str) -> None:
        new = msgspec.structs.replace(host, **changes)
        self.context.draft.hosts = tuple(
            new if other is host else other for other in self.context.draft.hosts
        )
