"""Changes of the cluster from a view: ask the operator, ask the cluster, say what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from bzzz_core.errors import BzzzError
from bzzz_tui.app_base import AppBase
from bzzz_tui.monitor.changes import Change
from bzzz_tui.wording import Tone

if TYPE_CHECKING:
    from screens.monitor.base import MonitorView


def confirm(view: MonitorView, change: Change) -> None:
    """Ask whether a change is wanted, and carry it out as a service of the app."""
    from screens.dialogs import Question, TypedQuestion  # noqa: PLC0415

    opened = view.session.opened
    typed = change.destroys if opened is not None and opened.production else ""

    def answered(yes: bool | None) -> None:  # noqa: FBT001  Textual's callback
        if yes:
            view.say(f"{change.title.lower()}: asking", Tone.MUTED, stays=True)
            cast("AppBase", view.app).start_service(_carry_out(view, change))
        else:
            view.say("nothing was changed", Tone.MUTED)

    lines = list(change.question)
    if typed:
        box = TypedQuestion(change.title, lines, name=typed, yes=change.yes)
        view.app.push_screen(box, answered)
    else:
        question = Question(change.title, lines, yes=change.yes, no="leave it as it is")
        view.app.push_screen(question, answered)


async def _carry_out(view: MonitorView, change: Change) -> None:
    try:
        answer = await view.session.call(
            change.method, change.path, dict(change.body), host=change.host
        )
    except BzzzError as exc:
        view.shell.say(f"{change.title.lower()}: {exc}", Tone.BAD)
        return
    refused = answer.get("refused") if isinstance(answer, dict) else None
    if refused:
        view.shell.say(f"{change.title.lower()}: {refused}", Tone.BAD)
    else:
        view.shell.say(change.done, Tone.OK)
    view.session.refresh_now()
