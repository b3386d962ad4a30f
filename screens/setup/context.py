"""What all steps of one wizard share: the answers, what was seen of the hosts, and the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bzzz_core.deploy import defaults
from bzzz_core.deploy.change import Plan
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.goal import enrolled_voters
from bzzz_core.integrations.ai_endpoint import EndpointReport
from bzzz_core.ports import Clock
from bzzz_tui.wording import Glyphs
from screens.setup.draft import FIELDS, Draft, HostDraft
from screens.setup.engine import Engine, Look, Written
from screens.setup.run_view import RunView
from screens.setup.steering_words import voters_of
from screens.setup.steps import EVERY

LOGIN: Final = tuple(
    f"security.ssh.{name}"
    for name in (
        "user",
        "port",
        "key",
        "key_passphrase",
        "password",
        "known_hosts",
        "jump",
        "config",
    )
)
"""Answers by which setup reaches a host: others may find another host, or none."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What the hosts suggest for one answer."""

    text: str
    words: str
    """Why."""


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
    looked_at: dict[str, tuple[HostDraft, tuple[str, ...]]] = field(default_factory=dict)
    """By host name: the answers that `looks` belongs to, those about the login too."""
    run: RunView = field(default_factory=RunView)
    plan: Plan | None = None
    planned_for: str | None = None
    """The answers (as YAML) that the run was made for."""
    ai: dict[str, EndpointReport] = field(default_factory=dict)
    """By name of the endpoint: what it said when it was asked."""
    route: tuple[int, ...] = EVERY
    """The steps that `next` visits; the others keep their answers."""
    express: bool = False
    """Only what has no safe default is asked."""
    editing: bool = False
    """Answers that a run was made for are open again; a new plan closes them."""
    detected: dict[str, Suggestion] = field(default_factory=dict)
    """By key: what the hosts suggest and nobody changed since."""
    recheck: set[int] = field(default_factory=set)
    """Steps whose answers depend on one that was changed since they were seen."""
    manifests: Written | None = None
    """Those that were written for the operator to apply."""
    manifests_for: str | None = None
    """The answers (as YAML) that they were made of."""
    changed: Callable[[], None] = lambda: None

    def look(self, host: HostDraft) -> Look:
        """Return what was seen of a host, if the answers about it are still the same."""
        if self.looked_at.get(host.name) != (host, self._login()):
            return Look()
        return self.looks.get(host.name, Look())

    def take_look(self, host: HostDraft) -> None:
        """Remember that what is seen of a host from now on is of the answers as they are."""
        self.looked_at[host.name] = (host, self._login())

    def _login(self) -> tuple[str, ...]:
        return tuple(self.draft.get(key) for key in LOGIN)

    @property
    def seen(self) -> dict[str, HostFacts]:
        """Return what is known of the hosts, by name, as far as it is."""
        looks = {host.name: self.look(host).facts for host in self.draft.hosts}
        return {name: facts for name, facts in looks.items() if facts is not None}

    @property
    def voters(self) -> tuple[str, ...]:
        """Return who votes, as the engine chooses: a cluster that exists keeps its voters.

        One that is joined has voters that are no hosts of these answers.
        """
        names, seen = [host.name for host in self.draft.hosts], self.seen
        present = enrolled_voters(seen)
        if self.draft.get("cluster.mode") == "join":
            return tuple(sorted(present))
        return tuple(name for name in names if name in present) or voters_of(names)

    @property
    def frozen(self) -> bool:
        """Return whether answers may only be read: a run was made for them."""
        return self.run.confirmed and not self.editing

    def take_detected(self) -> dict[str, str]:
        """Put what the hosts suggest where nobody answered; return key -> text of what changed.

        A suggestion that no longer holds is taken back, an answer of a person's never.
        """
        if self.run.confirmed:
            return {}
        wanted = {
            one.key: Suggestion(str(one.value), one.words) for one in defaults.detected(self.seen)
        }
        before, self.detected = self.detected, {}
        changed = {}
        for key in {*before, *wanted}:
            now, default = self.draft.get(key), FIELDS[key].default
            if now not in {default, before[key].text if key in before else default}:
                continue  # Somebody answered.
            text = wanted[key].text if key in wanted else default
            if self.draft.set(key, text):
                changed[key] = text
            if key in wanted:
                self.detected[key] = wanted[key]
        return changed

    @property
    def manifests_written(self) -> bool:
        """Return whether manifests of the answers as they are now were written, and are wanted."""
        wanted = self.draft.get("services.target") != "systemd"
        return wanted and self.manifests_for == self.draft.yaml()

    @property
    def run_is_of_these_answers(self) -> bool:
        """Return whether the run was made for the answers as they are now."""
        return self.planned_for == self.draft.yaml()
