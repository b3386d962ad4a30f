"""Opens the wizard: with answers from a file, with kept ones if the operator wants, or empty."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual.screen import Screen

from bzzz_core.config.sources import load_answers
from screens.dialogs import Question
from screens.setup import session
from screens.setup.context import Context
from screens.setup.deploy_engine import DeployEngine
from screens.setup.draft import Draft
from screens.setup.steps import STEPS
from screens.setup.wizard import Wizard

if TYPE_CHECKING:
    from screens.app import BzzzApp


def open_wizard(
    app: BzzzApp, *, answers: Path | None = None, name: str | None = None
) -> Screen[None]:
    """Return the wizard; if answers were kept, it asks on top of it whether to go on with them.

    Raises:
        ConfigError: The answers file says something that cannot be.
    """
    draft = Draft.of(load_answers(answers)) if answers else Draft()
    if name is not None:
        draft.set("cluster.name", name)
    path = session.session_path()
    kept = None if answers else session.load(path)
    context = Context(
        draft=draft,
        engine=DeployEngine(app.clock),
        clock=app.clock,
        glyphs=app.glyphs,
        session=path,
    )
    return wizard_of(context, kept)


def wizard_of(context: Context, kept: session.Session | None) -> Wizard:
    """Return a wizard that offers to resume, if there is something to resume."""
    if kept is None or not (kept.hosts or kept.texts):
        return Wizard(context)
    names = ", ".join(host.name for host in kept.hosts) or "no hosts yet"
    title = STEPS[kept.step - 1].title
    lines = [f"Setup was left at step {kept.step}, {title}.", f"Hosts: {names}"]
    question = Question("Resume?", lines, yes="go on there", no="start anew")
    return Wizard(context, offer=(question, kept))
