"""What all steps of one wizard share: the answers, what was seen of the hosts, and the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bzzz_core.deploy.change import Plan
from bzzz_core.integrations.ai_endpoint import EndpointReport
from bzzz_core.ports import Clock
from bzzz_tui.wording import Glyphs
from screens.setup.draft import Draft, HostDraft
from screens.setup.engine import Engine, Look
from screens.setup.run_view import RunView


@dataclass(slots=True, kw_only=True)
class Context:
    """The state of one wizard. Steps read and change it, and say so through `changed`."""

    draft: Draft
    engine: Engine
    clock: Clock
    glyphs: Glyphs
    session: Path
    looks: dict[str, Look] = field(default_factory=dict)
    """By host name."""
    looked_at: dict[str, HostDraft] = field(default_factory=dict)
    """By host name: the answers that `looks` belongs to."""
    run: RunView = field(default_factory=RunView)
    plan: Plan | None = None
    planned_for: str | None = None
    """The answers (as YAML) that the run was made for."""
    ai: EndpointReport | None = None
    checked: bool | None = None
    """Whether all checks of the last step passed; None: not run."""
    changed: Callable[[], None] = lambda: None

    def look(self, host: HostDraft) -> Look:
        """Return what was seen of a host, if the answers about it are still the same."""
        if self.looked_at.get(host.name) != host:
            return Look()
        return self.looks.get(host.name, Look())

    @property
    def run_is_of_these_answers(self) -> bool:
        """Return whether the run was made for the answers as they are now."""
        return self.planned_for == self.draft.yaml()
