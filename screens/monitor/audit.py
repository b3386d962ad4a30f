"""Who did what on the answering node, and whether the record of it holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final, cast

import msgspec
from textual.binding import BindingType
from textual.widget import Widget

from bzzz_core.errors import BzzzError
from bzzz_tui.actions import Scope, bindings
from bzzz_tui.app_base import AppBase
from bzzz_tui.monitor.asked import Asked
from bzzz_tui.monitor.audit import (
    AUDIT,
    VIEW,
    Verdict,
    ask,
    head_facts,
    verdict_of,
)
from bzzz_tui.monitor.tables import TableSpec
from bzzz_tui.parts import Part, fact_line
from bzzz_tui.store import Changes
from bzzz_tui.widgets.toned import Lines
from bzzz_tui.wording import Tone
from screens.monitor.asking import AskingView
from screens.monitor.table import TableView

_KEPT: Final = "verdict"


class AuditView(TableView, AskingView):
    """The newest entries of the audit chain."""

    CSS_PATH = "audit.tcss"
    VIEW = VIEW
    SPEC: ClassVar[TableSpec[Any]] = AUDIT
    SCOPES: ClassVar[tuple[Scope, ...]] = (
        Scope.ROW,
        Scope.AUDIT,
        Scope.LIST,
        Scope.VIEW,
        Scope.TABLE,
    )
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Scope.ROW, Scope.AUDIT)]

    def body(self) -> Iterable[Widget]:
        """Return the bands from top to bottom."""
        yield Lines(id="chain")
        yield self.table

    async def ask(self) -> Asked:
        """Ask for the newest entries, and where the chain ends."""
        return await ask(self.session.call, self.session.store)

    def nothing(self) -> str:
        """Return why there are no rows."""
        return self.if_answered(super().nothing())

    def changed(self, changes: Changes) -> None:
        """Nothing here comes from the feed."""
        del changes

    def paint(self) -> None:
        """Paint everything."""
        super().paint()
        self._paint_chain()

    def on_resize(self) -> None:
        """Fit the line about the chain."""
        super().on_resize()
        self._paint_chain()

    def chosen(self) -> None:
        """Show everything that the entry says."""
        self.action_describe()

    def info(self) -> list[Part]:
        """Return how many entries these are."""
        return [*super().info(), ("  the newest  ", Tone.MUTED), *self.asked_words()]

    def action_verify(self) -> None:
        """Verify the chain, and what the voters hold of it."""
        self.say("verifying the chain and what the voters hold of it", Tone.MUTED, stays=True)
        cast("AppBase", self.app).start_service(self._verify())

    async def _verify(self) -> None:
        path = "/v1/audit/verify"
        try:
            answer = await self.session.call("POST", path, {}, reads=True)
        except BzzzError as exc:
            self._tell(str(exc), Tone.BAD)
            return
        try:
            verdict = verdict_of(answer)
        except msgspec.ValidationError as exc:
            self._tell(f"{path}: not the document it was asked for: {exc}", Tone.BAD)
            return
        self.state.more[_KEPT] = verdict
        self._tell(verdict.words, verdict.tone)
        if self.stands and self.is_current:
            self._paint_chain()

    def _tell(self, words: str, tone: Tone) -> None:
        """Say what came of it, here or in whatever view is open by now."""
        self.shell.say(f"audit: {words}", tone)

    def _paint_chain(self) -> None:
        chain, known = self.query_one("#chain", Lines), self.asked.head
        if known is None:
            chain.show([])
            return
        verdict: Verdict | None = self.state.more.get(_KEPT)
        facts = head_facts(known, verdict, today=self.as_of.today)
        line = fact_line(facts, self.glyphs.dot, max(0, self.size.width - 2))
        chain.show([[(" ", Tone.PLAIN), *line]])
