"""The lines around every view of the monitor, and when it may paint.

top line     context, RO or RW, leader, quorum, nodes, alerts, age
banner       what must not be overlooked; no room while there is nothing
crumbs       the way here; what the view shows
body         the view's own
note         answers to what the operator did, and what is wrong with what is written
hint line    keys, or the prompt
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget

from bzzz_tui.actions import Action, Scope, of
from bzzz_tui.monitor.session import MonitorSession, ViewState
from bzzz_tui.monitor.top import banner, top_facts
from bzzz_tui.monitor.views import view_named
from bzzz_tui.parts import Fact, Hint, Part
from bzzz_tui.store import Changes
from bzzz_tui.view import verdict
from bzzz_tui.widgets.bars import HintBar
from bzzz_tui.widgets.crumbs import Crumbs
from bzzz_tui.widgets.prompt import Prompt
from bzzz_tui.widgets.toned import Lines, Paragraph
from bzzz_tui.widgets.top_line import Banner, TopLine
from bzzz_tui.wording import Glyphs, Tone, clean, span, tone_glyph

if TYPE_CHECKING:
    from screens.monitor.shell import Shell

_TICK_S: Final = 1.0
SMALL: Final = (60, 15)
"""Below this size one line of status is all that makes sense."""
_NOTE_MS: Final = 8_000


class Frame(Screen[None]):
    """The lines around one view."""

    AUTO_FOCUS = ""
    """Nothing: else the first thing that can have the focus takes it, and that is the prompt."""
    VIEW: ClassVar[str] = ""
    SCOPES: ClassVar[tuple[Scope, ...]] = (Scope.VIEW,)

    class StoreChanged(Message):
        """Something waits in the session."""

    def __init__(self, shell: Shell, argument: str = "") -> None:
        """Take the shell it lives in.

        Args:
            shell: Session, way and app.
            argument: What the view is about, if it is about one thing; else a filter.
        """
        super().__init__()
        self.shell = shell
        self.argument = argument
        self._timer: Timer | None = None
        self._note_until_ms: int | None = None

    @property
    def session(self) -> MonitorSession:
        """Return the watched cluster."""
        return self.shell.session

    @property
    def state(self) -> ViewState:
        """Return what this view keeps while it is away."""
        return self.session.state(self.VIEW)

    @property
    def glyphs(self) -> Glyphs:
        """Return the symbols in use."""
        return self.shell.glyphs

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """Return the scopes of actions that work here now."""
        demo = (Scope.DEMO,) if self.session.breaking is not None else ()
        replay = (Scope.REPLAY,) if self.session.replay is not None else ()
        return (*self.SCOPES, *demo, *replay)

    @property
    def title_here(self) -> str:
        """Return the view's name in the crumbs."""
        view = view_named(self.VIEW)
        return view.title.lower() if view is not None else self.VIEW

    # ---- what a view says of itself

    def body(self) -> Iterable[Widget]:
        """Return the widgets of the view."""
        return ()

    def paint(self) -> None:
        """Paint all of the view."""

    def changed(self, changes: Changes) -> None:
        """Paint what is different now."""
        del changes
        self.paint()

    def aged(self) -> None:
        """Paint what grew older by a second."""

    def tries(self) -> list[list[Part]]:
        """Return what a demo's operator may try now; nothing where there is no demo."""
        return []

    def info(self) -> list[Part]:
        """Return what the crumbs line says of the view."""
        return []

    # ---- the lines around it

    def compose(self) -> ComposeResult:
        """Lay out the lines and the body."""
        yield TopLine(self.glyphs)
        yield Banner()
        yield Crumbs(self.glyphs)
        with Vertical(id="body"):
            yield from self.body()
        yield Paragraph(id="small")
        yield Paragraph(id="note")
        yield Lines(id="try")
        yield Prompt()
        yield HintBar()

    def on_mount(self) -> None:
        """Start the tick by which data is seen to grow old."""
        self._timer = self.set_interval(_TICK_S, self._tick)
        self.paint_frame()

    def on_screen_resume(self) -> None:
        """Come to the front: everything may be different."""
        self.session.attach(self)
        if self._timer is not None:
            self._timer.resume()
        self._paint_hints()
        self.paint()
        self.paint_frame()
        self.shell.shown(self)

    def on_screen_suspend(self) -> None:
        """Be hidden: nothing is painted any more."""
        self.session.detach(self)
        if self._timer is not None:
            self._timer.pause()

    def on_unmount(self) -> None:
        """Be gone."""
        self.session.detach(self)
        self.shell.gone(self)

    def on_resize(self) -> None:
        """Fit the lines to the new size."""
        self.set_class(self.size.width < SMALL[0] or self.size.height < SMALL[1], "-small")
        self.paint_frame()

    @property
    def in_front(self) -> bool:
        """Return whether keys go to this screen; `is_current` only means that it may be seen."""
        return self.app.screen is self

    @property
    def stands(self) -> bool:
        """Return whether it is whole.

        Its lines are taken away one by one before it hears of that itself, and an answer that it
        waits for may come in between.
        """
        return self.is_attached and self.display

    def store_changed(self) -> None:
        """Be told that something waits; see `Listener`."""
        self.post_message(self.StoreChanged())

    @on(StoreChanged)
    def _take(self) -> None:
        if not self.in_front or self.session.paused_ms is not None:
            return
        self.changed(self.session.take())
        self.paint_frame()

    def _tick(self) -> None:
        if not self.in_front:
            return
        if self._note_until_ms is not None and self.session.clock.now_ms() >= self._note_until_ms:
            self.say("")
        if self.session.paused_ms is None:
            self.aged()
        self.paint_frame()

    def paint_frame(self) -> None:
        """Paint the lines around the body."""
        session, now_ms = self.session, self.session.clock.now_ms()
        store, stale_ms = session.store, session.stale_ms
        facts = top_facts(
            store,
            now_ms,
            context=session.context,
            can_write=session.can_write,
            stale_ms=stale_ms,
        )
        badge = session.badge
        if badge is not None and facts and session.store.head is not None:
            facts = facts[1:]
        if session.replay is not None:
            facts.insert(0, Fact(0, [(f"REPLAY {session.replay.at}", Tone.INFO)]))
        if session.paused_ms is not None:
            held = span((now_ms - session.paused_ms) / 1_000)
            facts.insert(0, Fact(0, [(f"PAUSED {held}", Tone.WARN)]))
        self.query_one(TopLine).show(facts, badge)
        self.query_one(Banner).show(banner(store, now_ms, self.glyphs, stale_ms))
        self.query_one(Crumbs).show(self.shell.way(), self.info())
        self.query_one("#try", Lines).show(self.tries())
        if self.has_class("-small"):
            tone, word, detail = verdict(store, now_ms, stale_ms)
            words = f"{tone_glyph(tone, self.glyphs)} {word}: {detail}"
            self.query_one("#small", Paragraph).show((words, tone))

    def _paint_hints(self) -> None:
        keymap = self.shell.keymap
        self.query_one(HintBar).show(
            [
                Hint(keymap.shown(each), each.label, each.rank)
                for scope in self.SCOPES
                for each in of(scope)
                if each.label and each.ready and keymap.shown(each) and self.allowed(each)
            ]
        )

    def say(self, words: str, tone: Tone = Tone.PLAIN, *, stays: bool = False) -> None:
        """Answer the operator; the answer goes by itself unless it `stays`."""
        if not self.stands:
            return
        if not self.query("#note"):  # It is being opened.
            self.call_later(self.say, words, tone, stays=stays)
            return
        note = self.query_one("#note", Paragraph)
        note.set_class(bool(words), "-shown")
        note.show(*([(clean(words), tone)] if words else []))
        ends = None if stays or not words else self.session.clock.now_ms() + _NOTE_MS
        self._note_until_ms = ends

    def allowed(self, wanted: Action) -> bool:
        """Return whether an action may be done: what changes the cluster may be forbidden."""
        return self.session.can_write or not wanted.mutates
