"""Which answers nothing acts on yet, said to whoever gave one (ADR 0045). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bzzz_core.config.leaf import catalogue
from bzzz_core.config.schema import ClusterSpec
from bzzz_core.deploy.events import Finding
from bzzz_core.deploy.facts.host import HostFacts


def kept(spec: ClusterSpec) -> tuple[str, ...]:
    """Return the keys of all such answers that differ from their defaults."""
    return tuple(
        key
        for key, leaf in catalogue(ClusterSpec).items()
        if not leaf.active and _value(spec, leaf.path) != leaf.default
    )


def findings(spec: ClusterSpec, _facts: Mapping[str, HostFacts]) -> Iterator[Finding]:
    """Yield a warning for each."""
    for key in kept(spec):
        yield Finding(
            "warning",
            "answers",
            "",
            f"{key} is saved, but nothing acts upon it yet",
            "do not rely on it: do by other means what it is to do, or take it out",
        )


def _value(spec: ClusterSpec, path: tuple[str, ...]) -> object:
    value: object = spec
    for part in path:
        value = getattr(value, part)
    return list(value) if isinstance(value, tuple) else value
