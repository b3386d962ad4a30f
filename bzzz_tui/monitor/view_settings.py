"""What the operator chose for each view, kept in `views.yaml` from one start to the next.

    nodes: {columns: [name, state, cpu], wide: false, sort: cpu desc}

Only choices are kept: a filter or a cursor belongs to the moment. What the file says wrongly is
passed over, for it is no more than a convenience; writing it never fails loudly either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bzzz_core.errors import ConfigError
from bzzz_tui.monitor.session import ViewState
from bzzz_tui.monitor.views import VIEWS

FILE: Final = "views.yaml"
_COLUMNS_MAX: Final = 50
_SORT: Final = re.compile(r"([\w.-]{1,40})( desc)?")


def load(path: Path) -> dict[str, ViewState]:
    """Return view -> its state; empty if there is no file, or none that can be read."""
    if not path.exists():
        return {}
    from bzzz_core.config.document import parse, read_text  # noqa: PLC0415  seldom there

    try:
        data = parse(read_text(path), path.name).data
    except ConfigError:
        return {}
    names = {view.name for view in VIEWS}
    return {
        name: _state(entry)
        for name, entry in data.items()
        if name in names and isinstance(entry, dict)
    }


def save(path: Path, states: Mapping[str, ViewState]) -> str:
    """Write what is chosen; return why that failed, empty if it did not. Blocks: use a thread."""
    from bzzz_core.config.sources import to_yaml  # noqa: PLC0415  slow to load
    from bzzz_core.trust import private_files  # noqa: PLC0415

    document = {name: entry for name, state in states.items() if (entry := _entry(state))}
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        private_files.replace(path, to_yaml(document).encode())
    except OSError as exc:
        return f"{path}: {exc.strerror}"
    return ""


def _entry(state: ViewState) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    if state.columns:
        entry["columns"] = list(state.columns)
    if state.wide:
        entry["wide"] = True
    if state.sort:
        key, largest_first = state.sort
        entry["sort"] = f"{key} desc" if largest_first else key
    return entry


def _state(entry: Mapping[str, Any]) -> ViewState:
    columns = entry.get("columns")
    sort = entry.get("sort")
    match = _SORT.fullmatch(sort) if isinstance(sort, str) else None
    return ViewState(
        columns=tuple(str(each)[:40] for each in columns[:_COLUMNS_MAX])
        if isinstance(columns, list)
        else (),
        wide=entry.get("wide") is True,
        sort=(match[1], bool(match[2])) if match else None,
    )
