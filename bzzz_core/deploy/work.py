"""What the phases of one run share: releases, the operator's authorities, and what was learned."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from bzzz_core.deploy.facts.host import Enrolled
from bzzz_core.deploy.release import Release
from bzzz_core.deploy.state import OpenCluster

UPLOADS_MAX: Final = 4
Say = Callable[[str, str], None]
"""Called with a host's name and what goes on there, in a few words."""


@dataclass(slots=True, kw_only=True)
class Work:
    """The resources of one run. Phases may read all of it and write only `enrolled`."""

    cluster: OpenCluster
    releases: dict[str, Release]
    """By host."""
    say: Say
    enrolled: dict[str, Enrolled] = field(default_factory=dict)
    """By host: what each node said about itself."""
    uploads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(UPLOADS_MAX))
    """Bounds uploads apart from everything else: they fill the operator's uplink."""
