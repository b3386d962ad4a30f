"""Opens the wizard: with answers from a file, the short way, or after asking how to begin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual.screen import Screen

from bzzz_core.config.sources import load_answers
from bzzz_core.deploy.detached.place import Run, live_runs
from screens.setup import session
from screens.setup.begin import Begin
from screens.setup.context import Context
from screens.setup.deploy_engine import DeployEngine
from screens.setup.draft import Draft
from screens.setup.steps import EXPRESS, route_of
from screens.setup.wizard import Wizard

if TYPE_CHECKING:
    from screens.app import BzzzApp


def open_wizard(
    app: BzzzApp, *, answers: Path | None = None, name: str | None = None, express: bool = False
) -> Screen[None]:
    """Return the wizard; without answers or a way it asks on top of it how to begin.

    Raises:
        ConfigError: The answers file says something that cannot be.
    """
    spec = load_answers(answers) if answers else None
    draft = Draft() if spec is None else Draft.of(spec)
    if name is not None:
        draft.set("cluster.name", name)
    path = session.session_path()
    context = Context(
        draft=draft,
        engine=DeployEngine(app.clock),
        clock=app.clock,
        glyphs=app.glyphs,
        session=path,
        express=express,
        route=EXPRESS if express else route_of(spec.interactive_sections if spec else ()),
    )
    live = next(iter(live_runs(cluster=None if spec is None else spec.cluster.name)), None)
    if live is None and (answers or express):
        return Wizard(context)
    return wizard_of(context, session.load(path), ask=True, live=live)


def open_attached(app: BzzzApp, run: Run) -> Screen[None]:
    """Return the wizard at step 6, following a run that goes on by itself, or is over.

    Raises:
        ConfigError: The run's answers cannot be read.
    """
    context = Context(
        draft=Draft.of(run.spec()),
        engine=DeployEngine(app.clock),
        clock=app.clock,
        glyphs=app.glyphs,
        session=session.session_path(),
    )
    return Wizard(context, live=run)


def wizard_of(
    context: Context,
    kept: session.Session | None,
    *,
    ask: bool = False,
    live: Run | None = None,
) -> Wizard:
    """Return a wizard that asks how to begin: if it shall, or if something was begun."""
    if kept is not None and not (kept.hosts or kept.texts):
        kept = None
    if kept is None and live is None and not ask:
        return Wizard(context)
    return Wizard(context, offer=Begin(context.glyphs, kept, live), kept=kept, live=live)
