"""Directories that an earlier configuration of a host named and the answers do not any more; pure.

A node does not move its data when its answers change, and what nobody asked to remove stays: it is
named, once, by the plan and by the report of the run that leaves it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.deploy.events import Finding
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.paths_in_use import paths_in_use


def left_behind(spec: ClusterSpec, facts: HostFacts) -> tuple[str, ...]:
    """Return the directories that the host stops using; none that holds one of the new ones."""
    before = paths_in_use(facts.config_text or "")
    if before is None:
        return ()
    paths = spec.resources.paths
    now = [PurePosixPath(path) for path in (paths.data, paths.logs)]
    return tuple(
        old
        for old in dict.fromkeys((before.data, before.logs))
        if not any(PurePosixPath(old) in (new, *new.parents) for new in now)
    )


def sentence(path: str) -> str:
    """Return what to do with one of them."""
    return f"{path} of the earlier answers stays as it is; remove it by hand (rm -r {path})"


def findings(spec: ClusterSpec, host: HostSpec, facts: HostFacts) -> Iterator[Finding]:
    """Yield a warning for each; before data are left, the node can be let go in order instead."""
    for path in left_behind(spec, facts):
        yield Finding(
            "warning",
            "paths",
            host.name,
            f"{path} is used by the host until now, and not by these answers: nothing is moved, and"
            " it stays there",
            f"once the cluster is well without it, remove it by hand (rm -r {path})",
        )
