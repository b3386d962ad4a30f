"""The words of a plan: what would be done to which host, and why it would be anything at all.

A plan is a value. Its hash covers every change, so that what is applied is what was confirmed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

_STARTS: Final = frozenset({"start_fabric", "start_agent"})
"""Phases whose only change is to start a unit of ours."""
Action = Literal["create", "update", "replace", "start", "restart", "enable", "remove"]


class Change(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One thing that would be different afterwards."""

    phase: str
    action: Action
    target: str
    """A path, a unit, or a name."""
    before: str
    after: str
    """What is there and what would be; a fingerprint or a word where the content is secret."""
    secret: bool = False
    sentence: str
    """The change in words, for a person who confirms it."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run would change, in order, by host."""

    cluster: str
    release: str
    """Version of the release, or of each if the hosts need several."""
    operator: tuple[Change, ...]
    """On this machine: authorities, token, profile."""
    hosts: dict[str, tuple[Change, ...]]
    hash: str
    """SHA-256 over what will be done: everything above but reasons and what is there before."""

    @property
    def change_count(self) -> int:
        """Return how many changes there are on hosts and here."""
        return len(self.operator) + sum(len(changes) for changes in self.hosts.values())

    def within(self, agreed: Plan) -> bool:
        """Return whether this plan is one that was agreed to, but for units that run by now.

        A killed run has started them, and between two looks they came up by themselves. Anything
        else that is missing may only not have been seen: what a host does not tell is not planned.
        """
        if (self.cluster, self.release) != (agreed.cluster, agreed.release):
            return False
        if self.hosts.keys() != agreed.hosts.keys():
            return False
        pairs = [(self.operator, agreed.operator)]
        pairs += [(self.hosts[name], agreed.hosts[name]) for name in self.hosts]
        return all(_only_starts_are_missing(now, then) for now, then in pairs)


def make_plan(
    *,
    cluster: str,
    release: str,
    operator: Sequence[Change],
    hosts: dict[str, tuple[Change, ...]],
) -> Plan:
    """Return a plan with its hash."""
    consent = {host: [_consent(change) for change in changes] for host, changes in hosts.items()}
    body = (cluster, release, [_consent(change) for change in operator], consent)
    digest = hashlib.sha256(msgspec.json.encode(body, order="deterministic")).hexdigest()
    return Plan(
        cluster=cluster, release=release, operator=tuple(operator), hosts=hosts, hash=digest
    )


def _only_starts_are_missing(now: Sequence[Change], then: Sequence[Change]) -> bool:
    left, agreed = (set(map(_consent, changes)) for changes in (now, then))
    return left <= agreed and all(phase in _STARTS for phase, *_ in agreed - left)


def _consent(change: Change) -> tuple[str, ...]:
    """Return what an operator agrees to.

    A service that crashes is sometimes up and sometimes not, and so the reason to start it anew and
    the word for that differ from one look to the next; what is done is the same.
    """
    action = "start" if change.action == "restart" else change.action
    return (change.phase, action, change.target, change.after)
