"""The agent's log: how much, where, for how long. Part of 5 Resource Allocation, monitoring."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, StringConstraints

from bzzz_core.config.nearest import nearest
from bzzz_core.config.setting import Section, setting
from bzzz_core.telemetry.components import ALL

_FORM: Final = r"^[a-z]+=(debug|info|warning|error)$"


def _known_component(entry: str) -> str:
    name = entry.partition("=")[0]
    if name not in ALL:
        raise ValueError(f"no part of BZZZ is called {name}{nearest(name, list(ALL))}")
    return entry


ComponentLevel = Annotated[
    str, StringConstraints(pattern=_FORM, max_length=64), AfterValidator(_known_component)
]
"""`component=level`, as in `fabric=debug`."""


class LogsConfig(Section):
    """What becomes of the log."""

    levels: tuple[ComponentLevel, ...] = setting(
        (),
        max_length=64,
        reloadable=True,
        label="Single parts",
        help="Parts of the agent that shall write down more or less than the log level says, as "
        "in fabric=debug; `bzzz-agent logs level` lists the parts.",
    )
    file: bool = setting(
        default=True,
        reloadable=True,
        label="Log file",
        help="Keep the log in agent.log; off: only where the system keeps it, and searches reach "
        "back a few thousand lines.",
    )
    file_bytes_max: int = setting(
        10_000_000,
        ge=100_000,
        le=1_000_000_000,
        unit="bytes",
        reloadable=True,
        label="Log file size",
        help="A new file is begun when the present one has grown to this, and every day (UTC).",
    )
    files_kept: int = setting(
        10,
        ge=1,
        le=1_000,
        unit="files",
        reloadable=True,
        label="Log files kept",
        help="Older files are deleted; on the disk the log takes at most (this + 2) x log file "
        "size, with the defaults 120 MB, and if it is compressed about a tenth of that.",
    )
    days_kept: int = setting(
        30,
        ge=1,
        le=3_650,
        unit="days",
        reloadable=True,
        label="Log days kept",
        help="Files that were last written to before this are deleted, however few there are.",
    )
    compress: bool = setting(
        default=True,
        reloadable=True,
        label="Compress log",
        help="Compress files that are full; they stay searchable.",
    )
    standard_error: Literal["always", "without-file"] = setting(
        "always",
        reloadable=True,
        label="System log",
        help="always: each line goes to the system's own log too (journalctl -u bzzz-agent); "
        "without-file: only while there is no log file, which keeps lines once and not twice.",
    )
