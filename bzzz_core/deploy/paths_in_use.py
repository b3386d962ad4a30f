"""Which directories a host has been using for data and logs, by its own configuration; pure.

A node's file names only what differs from the defaults, so what it leaves out is the default, and
never what today's answers say.
"""

from __future__ import annotations

from bzzz_core.config.sections.resources import Paths
from bzzz_core.config.sources import parse_untrusted
from bzzz_core.errors import ConfigError


def paths_in_use(config_text: str) -> Paths | None:
    """Return the directories; None if there is no configuration, or none that can be read."""
    try:
        told = parse_untrusted(config_text)
        if not told:
            return None
        said = (told.get("resources") or {}).get("paths") or {}
        return Paths.model_validate(
            {name: said[name] for name in Paths.model_fields if name in said}
        )
    except (ConfigError, AttributeError, KeyError, TypeError, ValueError):
        return None
