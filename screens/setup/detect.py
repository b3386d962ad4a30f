"""Step 1: the machines, how to log in to them, and what they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import on
from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import Input

from bzzz_core.deploy.facts.host import HostFacts
from bzzz_tui.actions import Scope, bindings
from bzzz_tui.parts import Part
from bzzz_tui.widgets.columns import Column
from bzzz_tui.widgets.step_rail import StepState
from bzzz_tui.widgets.toned import Lines, Paragraph
from bzzz_tui.wording import Tone, clean
from screens.setup.draft import HOSTS_MAX, HostDraft, Problem, parse_hosts, write_host
from screens.setup.engine import LookState
from screens.setup.host_details import LABEL, details
from screens.setup.host_table import DETECTION
from screens.setup.hosts_step import HostsStep
from screens.setup.step import PushButton

_HELP = "[name=][user@]address[:port], several at once, Enter adds"


class DetectStep(HostsStep):
    """Hosts, login, and what was found."""

    COLUMNS: ClassVar[tuple[Column, ...]] = DETECTION
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Scope.HOSTS)]
    SCOPES: ClassVar[tuple[Scope, ...]] = (Scope.HOSTS, Scope.TABLE)

    def compose_above(self) -> Iterable[Widget]:
        """Lay out the entry of hosts, the table, and what the host under the cursor is."""
        yield Lines(id="hosts-title")
        entry = Input(placeholder="10.0.0.11 10.0.0.12 bzzz-3=admin@10.0.0.13:2222", compact=True)
        entry.id = "host-entry"
        entry.cursor_blink = False
        yield entry
        yield Lines(id="hosts-help")
        yield from self.compose_table()
        yield Paragraph(id="host-facts", indent=LABEL)

    def compose_below(self) -> Iterable[Widget]:
        """Offer the look."""
        yield PushButton("Look at all hosts", id="look")

    def on_mount(self) -> None:
        """Write the texts."""
        super().on_mount()
        self.query_one("#hosts-title", Lines).show([[("Hosts", Tone.ACCENT)]])
        self._say(_HELP, Tone.MUTED)

    def shown(self) -> None:
        """Show the hosts; the entry gets the focus."""
        self.refreshed()
        self.begin_with(self.query_one("#host-entry", Input))

    def paint_facts(self, facts: HostFacts | None) -> None:
        """Show what was found on a host, a kind of fact a line."""
        lines = [] if facts is None else details(facts, self.context.glyphs)
        paragraph = self.query_one("#host-facts", Paragraph)
        paragraph.show(*lines)
        paragraph.display = bool(lines)

    def state(self) -> StepState:
        """Say whether all hosts were seen and are fit."""
        if self.problems():
            return StepState.BAD
        states = {self.context.look(host).state for host in self.context.draft.hosts}
        if LookState.LOOKING in states:
            return StepState.RUNNING
        if states & {LookState.FAILED, LookState.KEY_CHANGED}:
            return StepState.BAD
        if states & {LookState.KEY_UNKNOWN, LookState.WARN, LookState.UNSEEN}:
            return StepState.WARN
        return StepState.OK

    def problems(self) -> list[str]:
        """Return what is wrong with hosts or fields."""
        hosts = [p.words for p in self.context.draft.problems() if self._about_hosts(p.key)]
        return [*hosts, *super().problems()]

    def check(self) -> bool:
        """Complain about hosts first, then about fields."""
        for problem in self.context.draft.problems():
            if self._about_hosts(problem.key):
                self._say(self._host_words(problem), Tone.BAD)
                self.query_one("#host-entry", Input).focus()
                return False
        self._say(_HELP, Tone.MUTED)
        return super().check()

    def _host_words(self, problem: Problem) -> str:
        """Return what is wrong, with the host's name in the place of its number."""
        hosts = self.context.draft.hosts
        _, _, place = problem.key.partition(".")
        number, _, field = place.partition(".")
        if not hosts:
            return "add at least one host: type its address and press Enter"
        if number.isdigit() and int(number) < len(hosts):
            return f"{clean(hosts[int(number)].name)} {field}: {problem.words}"
        return problem.words

    def pressed(self, button: PushButton) -> None:
        """Look at all hosts."""
        del button
        if self.check():
            self.action_probe()

    def action_edit_host(self) -> None:
        """Put the host under the cursor back into the entry; Enter there changes it."""
        host = self.host_under_cursor()
        if host is not None and self.table.has_focus:
            entry = self.query_one("#host-entry", Input)
            entry.value = write_host(host)
            entry.focus()

    def action_remove_host(self) -> None:
        """Remove the host under the cursor."""
        gone = self.host_under_cursor()
        self.context.draft.hosts = tuple(h for h in self.context.draft.hosts if h is not gone)
        self._say(_HELP, Tone.MUTED)
        self.post_message(self.Answered())
        self.refreshed()

    @on(Input.Submitted, "#host-entry")
    def _add(self, event: Input.Submitted) -> None:
        event.stop()
        if not event.value.strip():
            self.screen.focus_next()
            return
        hosts = list(self.context.draft.hosts)
        for host in parse_hosts(event.value, (h.name for h in hosts)):
            hosts = _put(hosts, host)
        if len(hosts) > HOSTS_MAX:
            self._say(f"this wizard takes {HOSTS_MAX} hosts at most", Tone.BAD)
            return
        before, self.context.draft.hosts = self.context.draft.hosts, tuple(hosts)
        wrong = next((p for p in self.context.draft.problems() if self._about_hosts(p.key)), None)
        if wrong is not None:
            # The text stays where it can be mended; nothing of it was taken.
            self._say(self._host_words(wrong), Tone.BAD)
            self.context.draft.hosts = before
            return
        self._say(_HELP, Tone.MUTED)
        event.input.value = ""
        self.post_message(self.Answered())
        self.refreshed()
        if self.check():
            event.input.focus()

    @staticmethod
    def _about_hosts(key: str) -> bool:
        return key == "hosts" or key.startswith("hosts.") or key == ""

    def _say(self, words: str, tone: Tone) -> None:
        line: list[Part] = [(words, tone)]
        self.query_one("#hosts-help", Lines).show([line])


def _put(hosts: list[HostDraft], new: HostDraft) -> list[HostDraft]:
    """Return the hosts with one more, or one changed if there is one of that name."""
    if any(host.name == new.name for host in hosts):
        return [new if host.name == new.name else host for host in hosts]
    return [*hosts, new]
