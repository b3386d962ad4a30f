"""Step 1: the machines, how to log in to them, and what they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

import msgspec
from textual import on
from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import Input

from bzzz_core.config.schema import HOSTS_MAX
from bzzz_core.config.typed_path import expanded
from bzzz_core.deploy import inventory, sweep
from bzzz_core.errors import ConfigError
from bzzz_tui.actions import Scope, bindings
from bzzz_tui.parts import Part
from bzzz_tui.widgets.columns import Column
from bzzz_tui.widgets.step_rail import StepState
from bzzz_tui.widgets.toned import Lines, Paragraph
from bzzz_tui.wording import Tone, clean
from screens.dialogs import Question
from screens.setup.chips import chips, existing_part
from screens.setup.context import Context
from screens.setup.draft import (
    HostDraft,
    Problem,
    host_of,
    parse_hosts,
    port_in,
    write_host,
)
from screens.setup.engine import Look, LookState
from screens.setup.host_details import LABEL, details
from screens.setup.host_table import DETECTION
from screens.setup.hosts_step import HostsStep
from screens.setup.step import PushButton

_HELP = "[user@]address[:port][+role] ..., 10.0.0.0/24 to scan, @FILE for inventory"
_INVENTORY_BYTES_MAX: Final = 1_000_000
_LARGE: Final = 64
"""Addresses of a network that is looked through without asking."""


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
        yield Lines(id="host-chips")
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

    def paint_look(self, look: Look) -> None:
        """Show how each part of a host stands, and what was found there, a kind a line."""
        glyphs = self.context.glyphs
        found = chips(look, glyphs)
        self.query_one("#host-chips", Lines).show([found] if found else [])
        lines = [] if look.facts is None else details(look.facts, glyphs)
        if look.existing is not None:
            words, tone = existing_part(look.existing, glyphs)
            lines.insert(0, ("BZZZ".ljust(LABEL) + words, tone))
        paragraph = self.query_one("#host-facts", Paragraph)
        paragraph.show(*lines)
        paragraph.display = bool(lines)

    def state(self) -> StepState:
        """Say whether all hosts were seen and are fit."""
        if self.problems():
            return StepState.BAD
        return look_state(self.context) or StepState.WARN

    def problems(self) -> list[str]:
        """Return what is wrong with hosts or fields."""
        hosts = [p.words for p in self.context.draft.problems() if self._about_hosts(p.key)]
        return [*hosts, *super().problems()]

    def check(self) -> bool:
        """Complain about hosts first, then about fields; what was typed is taken before."""
        if self._left_over():
            return False
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
            of = field.partition(".")[0]
            return f"{clean(hosts[int(number)].name)} {of}: {problem.words}"
        return problem.words

    def freeze(self, *, frozen: bool) -> None:
        """Let hosts and answers be read only, or open them again."""
        super().freeze(frozen=frozen)
        self.query_one("#host-entry", Input).disabled = frozen

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
        if self.context.frozen:
            return
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
        elif is_network(event.value.strip()):
            self._sweep(event.value.strip())
        else:
            self._take_entry(event.value.strip())

    def _take_entry(self, text: str) -> bool:
        """Put the hosts that a text names, or an inventory's, into the draft, or say why not."""
        if text.startswith("@"):
            return self._read_inventory(text[1:])
        names = (host.name for host in self.context.draft.hosts)
        return self._put_hosts(parse_hosts(text, names))

    def _left_over(self) -> bool:
        """Take what was typed and not entered; return whether something of it is left."""
        entry = self.query_one("#host-entry", Input)
        text = entry.value.strip()
        if not text or entry.disabled:
            return False
        if is_network(text):
            self._say(f"press Enter to look through {clean(text)}, or empty the line", Tone.BAD)
        elif self._take_entry(text):
            return False
        entry.focus()
        return True

    def _read_inventory(self, name: str) -> bool:
        try:
            path = expanded(name)
            with path.open("rb") as file:
                data = file.read(_INVENTORY_BYTES_MAX)
            listed = inventory.read(data.decode(), what=path.name)
        except OSError as exc:
            self._say(f"{clean(name)}: {exc.strerror}", Tone.BAD)
        except UnicodeDecodeError:
            self._say(f"{clean(name)} is no text", Tone.BAD)
        except ConfigError as exc:
            self._say(clean(str(exc)), Tone.BAD)
        else:
            return self._put_hosts([self._as_listed(one) for one in listed])
        return False

    def _as_listed(self, one: inventory.Listed) -> HostDraft:
        """Return a host of a file; what roles it had stays if the file says nothing of them."""
        host = host_of(one)
        before = (old.roles for old in self.context.draft.hosts if old.name == host.name)
        return msgspec.structs.replace(host, roles=host.roles or next(before, ""))

    def _sweep(self, network: str) -> None:
        try:
            wanted = sweep.addresses(network)
        except ConfigError as exc:
            self._say(clean(str(exc)), Tone.BAD)
            return
        port = self.context.draft.get("security.ssh.port")
        number = port_in(port)
        if number is None:
            self._say("the SSH port below is no port: write 1 to 65535", Tone.BAD)
            return
        if len(wanted) <= _LARGE:
            self._start_sweep(wanted, number)
            return
        lines = [
            f"{len(wanted)} addresses will be tried at port {number}, one connection each.",
            "Do so only in a network that is yours to look at.",
        ]
        question = Question("Look through the network?", lines, yes="look", no="do not")

        def go(yes: bool | None) -> None:  # noqa: FBT001  Textual calls it so
            if yes:
                self._start_sweep(wanted, number)

        self.app.push_screen(question, go)

    def _start_sweep(self, wanted: tuple[str, ...], port: int) -> None:
        self._say(f"looking at {len(wanted)} addresses ...", Tone.INFO)
        self.errands.begin("sweep", self._look_through(wanted, port))

    async def _look_through(self, wanted: tuple[str, ...], port: int) -> None:
        found = await self.context.engine.sweep(wanted, port)
        known = {host.address for host in self.context.draft.hosts}
        new = [address for address in found if address not in known]
        if not new:
            words = "every one is listed" if found else "nothing answers there"
            self._say(f"{len(wanted)} addresses, {len(found)} answer: {words}", Tone.WARN)
            return
        names = [host.name for host in self.context.draft.hosts]
        if self._put_hosts(parse_hosts(" ".join(map(_bracketed, new)), names)):
            self._say(f"{len(new)} of {len(wanted)} addresses answer; Del removes a host", Tone.OK)

    def _put_hosts(self, new: Sequence[HostDraft]) -> bool:
        """Put hosts among those of the draft, or say why not; return whether they were taken."""
        entry = self.query_one("#host-entry", Input)
        hosts = list(self.context.draft.hosts)
        for host in new:
            hosts = _put(hosts, host)
        if len(hosts) > HOSTS_MAX:
            self._say(f"{len(hosts)} hosts; setup takes {HOSTS_MAX} at most", Tone.BAD)
            return False
        before, self.context.draft.hosts = self.context.draft.hosts, tuple(hosts)
        wrong = next((p for p in self.context.draft.problems() if self._about_hosts(p.key)), None)
        if wrong is not None:
            # The text stays where it can be mended; nothing of it was taken.
            self._say(self._host_words(wrong), Tone.BAD)
            self.context.draft.hosts = before
            return False
        self._say(_HELP, Tone.MUTED)
        entry.value = ""
        self.post_message(self.Answered())
        self.refreshed()
        if self.check():
            entry.focus()
        return True

    @staticmethod
    def _about_hosts(key: str) -> bool:
        return key == "hosts" or key.startswith("hosts.") or key == ""

    def _say(self, words: str, tone: Tone) -> None:
        line: list[Part] = [(words, tone)]
        self.query_one("#hosts-help", Lines).show([line])


def is_network(text: str) -> bool:
    """Return whether a text is meant as a network to look through."""
    address, found, length = text.partition("/")
    return bool(found) and length.isdecimal() and bool(re.fullmatch("[0-9A-Fa-f.:]+", address))


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _put(hosts: list[HostDraft], new: HostDraft) -> list[HostDraft]:
    """Return the hosts with one more, or one changed if there is one of that name.

    A key that is trusted is not typed here: it stays as long as the machine is at the same place.
    """
    old = next((host for host in hosts if host.name == new.name), None)
    if old is None:
        return [*hosts, new]
    if not new.host_key_sha256 and (old.address, old.port) == (new.address, new.port):
        new = msgspec.structs.replace(new, host_key_sha256=old.host_key_sha256)
    return [new if host is old else host for host in hosts]


def look_state(context: Context) -> StepState | None:
    """Return how the hosts stand by what was seen of them; None: none was looked at."""
    states = {context.look(host).state for host in context.draft.hosts}
    if states <= {LookState.UNSEEN}:
        return None
    if LookState.LOOKING in states:
        return StepState.RUNNING
    if states & {LookState.FAILED, LookState.KEY_CHANGED}:
        return StepState.BAD
    if states & {LookState.KEY_UNKNOWN, LookState.WARN, LookState.UNSEEN}:
        return StepState.WARN
    return StepState.OK
