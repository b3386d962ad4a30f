"""What a person is told when a configuration is wrong: the place, what it is, what to write.

The place is where the value came from: file and line, environment variable, flag, or the revision
of the cluster-wide configuration. A message never repeats a value: it may be a pasted secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from bzzz_core.config.document import YamlText
from bzzz_core.config.layers import Origin, Source
from bzzz_core.config.nearest import nearest

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def explain(
    error: Any, *, model: type[BaseModel], document: YamlText, origins: Mapping[str, Origin]
) -> str:
    """Return one line for one of pydantic's errors."""
    loc = error["loc"]
    place = ".".join(name_or_not(part) for part in loc) or "document"
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        known = _keys_beside(model, loc)
        return (
            f"{document.name}:{document.line(loc)}: {place}: unknown key{nearest(loc[-1], known)}"
        )
    origin = _origin(loc, origins)
    if origin is None or origin.source in {Source.FILE, Source.DEFAULT}:
        return f"{document.name}:{document.line(loc)}: {place}: {message}"
    return f"{origin.source} {origin.place}: {place}: {message}"


def _origin(loc: tuple[str | int, ...], origins: Mapping[str, Origin]) -> Origin | None:
    """Return the origin of the leaf at or above `loc`; None for a rule about a whole section."""
    for length in range(len(loc), 0, -1):
        found = origins.get(".".join(str(part) for part in loc[:length]))
        if found is not None:
            return found
    return None


def name_or_not(part: str | int) -> str:
    """Return a key as it may be repeated: what is no name may be a value in the wrong place."""
    text = str(part)
    return text if _NAME.fullmatch(text) else "(not a name)"


def _keys_beside(model: type[BaseModel], place: tuple[str | int, ...]) -> list[str]:
    kind: Any = model
    for part in place[:-1]:
        if isinstance(part, int):
            continue
        kind = kind.model_fields[part].annotation
        arguments = getattr(kind, "__args__", ())
        kind = next((a for a in (kind, *arguments) if hasattr(a, "model_fields")), kind)
    return sorted(kind.model_fields)
