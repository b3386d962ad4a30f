"""The logs of all nodes in one list by time: followed, searched, filtered.

The lines are kept in the session while the view is away, and so is where each node's stream stands,
so coming back shows them at once and goes on. While the view is open each node is followed; with a
filter that names nodes (`node=bzzz-1`), only those.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on
from textual.binding import BindingType
from textual.widget import Widget

from bzzz_core.errors import ConfigError
from bzzz_tui.action_kinds import Argument
from bzzz_tui.actions import Scope, bindings
from bzzz_tui.logs.book import Change
from bzzz_tui.logs.entry import LEVELS
from bzzz_tui.logs.fields import FIELDS, filter_of
from bzzz_tui.logs.matching import Match, MatchError, match_of
from bzzz_tui.logs.selection import Test
from bzzz_tui.parts import Part
from bzzz_tui.query import QueryError, completions
from bzzz_tui.store import Changes
from bzzz_tui.widgets.crumbs import Crumbs
from bzzz_tui.widgets.histogram_bar import HistogramBar
from bzzz_tui.widgets.log_view import LogView
from bzzz_tui.widgets.prompt import Mode
from bzzz_tui.wording import Tone, clean
from screens.monitor.log_line import LogLines
from screens.monitor.log_work import LogWork

if TYPE_CHECKING:
    from screens.monitor.shell import Shell

_NAMES: Final = tuple(LEVELS)
_NODES: Final = re.compile(r"(?:^|\s)node=([\w.-]+)")
_SHOWN_MAX: Final = 30


class LogsView(LogLines):
    """What all nodes write down."""

    CSS_PATH = "logs.tcss"
    VIEW = "logs"
    SCOPES: ClassVar[tuple[Scope, ...]] = (Scope.LOGS, Scope.VIEW, Scope.TABLE)
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Scope.LOGS, Scope.TABLE)]

    def __init__(self, shell: Shell, argument: str = "") -> None:
        """Take the shell, and a filter or nothing."""
        super().__init__(shell, argument)
        more = self.state.more
        self.running = LogWork(
            self,
            self.lines,
            more.setdefault("places", {}),
            changed=self._came,
            renewed=self._renewed,
        )
        self._least: int = more.get("least", 0)
        self._trace = ""
        self._before: Match | None = None
        """What was searched for before something else was being written."""
        self._jump = 0
        """To go to the nearest match once the search is done: 1 down, -1 up."""

    def body(self) -> Iterable[Widget]:
        """Return histogram and lines."""
        yield HistogramBar(self.glyphs, id="histogram")
        yield self.log_view

    def on_mount(self) -> None:
        """Take up the filter, and follow."""
        super().on_mount()
        if self.argument:
            self.state.filter, self.argument = self.argument, ""
        try:
            self._filter(self.state.filter)
        except QueryError as exc:
            self.state.filter = ""
            self.say(f"the filter was left out: {exc}", Tone.WARN)
        self.log_view.focus()

    def on_unmount(self) -> None:
        """Follow nobody any more."""
        self.running.stop()
        super().on_unmount()

    def take_argument(self, argument: str) -> None:
        """Be opened again, with another filter."""
        if argument:
            self._filter(argument)

    # ---- painting

    def paint(self) -> None:
        """Paint everything."""
        self._start()
        self.log_view.settle()
        self.log_view.refresh()
        self._paint_histogram()

    def changed(self, changes: Changes) -> None:
        """Follow once there is somebody to follow; what the store knows is not shown here."""
        del changes
        self._start()

    def aged(self) -> None:
        """Follow once there is somebody to follow."""
        self._start()

    def _start(self) -> None:
        if not self.running.started and self.session.opened is not None:
            self._follow()

    def _came(self, change: Change) -> None:
        if self.is_current and self.session.paused_ms is None:
            self.log_view.changed(change)
            self._paint_histogram()
            self._paint_info()
        elif not self.log_view.following:
            self.log_view.unseen += len(change.came)

    def _renewed(self) -> None:
        if self._jump and self.lines.progress is None:
            jump, self._jump = self._jump, 0
            self._go_to_match(jump)
        if self.is_current and self.session.paused_ms is None:
            self.log_view.settle()
            self._paint_histogram()
            self._paint_info()

    def _paint_histogram(self) -> None:
        bar = self.query_one(HistogramBar)
        self.lines.histogram.fit(self.lines.entries, bar.room)
        bar.show(self.lines.histogram.buckets(bar.room), self.lines.histogram.step_ms)

    def _paint_info(self) -> None:
        self.query_one(Crumbs).show(self.shell.way(), self.info())

    def info(self) -> list[Part]:
        """Return how many lines there are and which are shown, and what is wrong."""
        lines, view = self.lines, self.log_view
        held, shown = len(lines.book.entries), len(lines.entries)
        if view.following:
            parts: list[Part] = [("following", Tone.OK)]
        else:
            parts = [(f"paused, {view.unseen:,} new" if view.unseen else "paused", Tone.WARN)]
        parts.append((f"  {shown:,} lines" if shown == held else f"  {shown:,} of {held:,}", _P))
        if self._least:
            parts.append((f"  {_NAMES[self._least]} and above", Tone.INFO))
        if self._trace:
            parts.append((f"  trace {self._trace[:8]}", Tone.INFO))
        if self.state.filter:
            parts.append((f"  only {self.state.filter[:_SHOWN_MAX]}", Tone.INFO))
        if lines.match is not None:
            parts.append((f"  {self._found()}", Tone.INFO))
        if lines.progress is not None:
            parts.append((f"  {lines.progress:.0%}", Tone.WARN))
        lost = lines.book.fallen + lines.book.missed
        if lost:
            parts.append((f"  {lost:,} not kept", Tone.MUTED))
        silent = self.running.problems
        if silent:
            name, why = next(iter(silent.items()))
            words = f"{name}: {why}" if len(silent) == 1 else f"{len(silent)} nodes silent"
            parts.append((f"  {clean(words)[:_SHOWN_MAX]}", Tone.BAD))
        return parts

    def _found(self) -> str:
        match, found, cursor = self.lines.match, self.lines.matches, self.log_view.cursor
        assert match is not None, "asked for while something is searched for"
        at = ""
        if cursor is not None and match.finds(cursor) and found:
            at = f"{sum(entry.key <= cursor.key for entry in found):,} of "
        return f"{match.text[:_SHOWN_MAX]} {at}{len(found):,}"

    @on(LogView.Moved)
    def _moved(self) -> None:
        self._paint_info()

    @on(LogView.Chosen)
    def _chosen(self) -> None:
        self.action_details()

    # ---- whom to follow

    def _follow(self) -> None:
        opened = self.session.opened
        if opened is None:
            return
        named = set(_NODES.findall(self.state.filter))
        hosts = tuple(opened.hosts())
        chosen = tuple(host for host in hosts if host.name in named) or hosts
        if not chosen:
            self.say("there are no logs to be had here", Tone.MUTED)
        if tuple(host.name for host in chosen) != self.running.hosts:
            self.running.follow(chosen)

    # ---- filter, level, request

    def _filter(self, text: str) -> None:
        """Show only what passes.

        Raises:
            QueryError: The text is no filter.
        """
        test = filter_of(text, level=self._least)
        self.state.filter = text
        self.lines.choose(self._with_trace(test))
        if self.running.started:
            self._follow()
        self.running.anew()
        self.log_view.renewed()

    def _with_trace(self, test: Test) -> Test:
        trace = self._trace
        return test if not trace else lambda entry: entry.trace == trace and test(entry)

    def action_only(self, words: str = "") -> None:
        """Show only lines that pass a filter; without words write one."""
        if words:
            self._filter("" if words in {"none", "off"} else words)
        else:
            self.prompt(Mode.ONLY, self.state.filter)

    def action_least(self, level: str = "") -> None:
        """Show only lines of at least a level; without a level the next one."""
        if level and level not in LEVELS:
            raise ConfigError(f"no level is called {level!r}; there are {', '.join(LEVELS)}")
        self._least = LEVELS[level] if level else (self._least + 1) % len(LEVELS)
        self.state.more["least"] = self._least
        self._filter(self.state.filter)

    def action_same_request(self) -> None:
        """Show only lines of the request that the line belongs to, or all again."""
        cursor = self._cursor()
        if not self._trace and not cursor.trace:
            self.say("this line belongs to no request", Tone.MUTED)
            return
        self._trace = "" if self._trace else cursor.trace
        self._filter(self.state.filter)

    def action_back(self) -> None:
        """Take the search off; then the filters; then go back one view."""
        if self.lines.match is not None:
            self._search(None)
        elif self.state.filter or self._trace or self._least:
            self._trace, self._least = "", 0
            self.state.more["least"] = 0
            self._filter("")
        else:
            super().action_back()

    # ---- search

    def action_search(self, words: str = "") -> None:
        """Search; without words write what to search for."""
        self._before = self.lines.match
        if words:
            self._search(_match(words))
            self._go_soon()
        else:
            self.prompt(Mode.SEARCH)

    def _search(self, match: Match | None) -> None:
        self.lines.look_for(match)
        self.log_view.mark_matches()
        self.running.anew()

    def _go_soon(self) -> None:
        """Go to the nearest match once all are known: up from the newest line, else down."""
        self._jump = -1 if self.log_view.following else 1
        self._renewed()

    def action_find(self, by: int) -> None:
        """Go to the next or previous match."""
        if self.lines.match is None:
            self.prompt(Mode.SEARCH)
        else:
            self._go_to_match(by)

    def _go_to_match(self, by: int) -> None:
        match, cursor = self.lines.match, self.log_view.cursor
        if match is None:
            return
        if by < 0 and self.log_view.following and cursor is not None and match.finds(cursor):
            self.log_view.go_to(cursor)
            return
        found = self.lines.next_match(cursor, by)
        if found is None:
            self.say(f"nothing matches {match.text}", Tone.WARN)
        else:
            self.log_view.go_to(found)

    def action_error(self, by: int) -> None:
        """Go to the next or previous error."""
        found = self.lines.next_error(self.log_view.cursor, by)
        if found is None:
            self.say(f"no error {'below' if by > 0 else 'above'}", Tone.MUTED)
        else:
            self.log_view.go_to(found)

    def written(self, mode: Mode, text: str) -> None:
        """Mark what is being searched for; say what is wrong with a filter."""
        try:
            if mode is Mode.ONLY:
                filter_of(text)
            elif mode is Mode.SEARCH:
                match = match_of(text) if text else None
                if match is None or not match.costly:
                    self._search(match)
        except (QueryError, MatchError) as exc:
            self.say(str(exc), Tone.WARN, stays=True)
        else:
            self.say("")

    def entered(self, mode: Mode, text: str | None) -> None:
        """Take a search or a filter."""
        try:
            if mode is Mode.ONLY and text is not None:
                self._filter(text.strip())
            elif mode is Mode.SEARCH and not text:
                self._search(self._before)
            elif mode is Mode.SEARCH and text:
                self._search(_match(text))
                self._go_soon()
        except (QueryError, ConfigError) as exc:
            self.say(str(exc), Tone.BAD)
        self._paint_info()

    def complete_filter(self, text: str) -> Sequence[str]:
        """Return what a half-written filter may become."""
        return self.choices(Argument.FILTER, text)

    def choices(self, kind: Argument, text: str) -> Sequence[str]:
        """Return what may stand behind a command here."""
        if kind is not Argument.FILTER:
            return super().choices(kind, text)
        head, gap, last = text.rpartition(" ")
        for key, values in (("node", sorted(self.lines.book.nodes)), ("level", _NAMES)):
            name, equals, begun = last.partition("=")
            if equals and name == key:
                found = [value for value in values if value.startswith(begun)]
                return [f"{head}{gap}{key}={value}" for value in found]
        return completions(text, FIELDS)


_P: Final = Tone.PLAIN


def _match(text: str) -> Match:
    try:
        return match_of(text)
    except MatchError as exc:
        raise ConfigError(str(exc)) from exc
