"""Lets an agent's log be kept as its configuration says: from the start of the process to its end.

While it runs, `follow` takes what is reloadable, which is all of it. A file that is switched off
takes no more lines; its thread sleeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bzzz_core.config.schema import AgentConfig
from bzzz_core.telemetry import logs
from bzzz_core.telemetry.log_file import Limits
from bzzz_core.telemetry.log_writer import LogWriter


class _Keeping:
    """What this process keeps."""

    active = False
    writer: LogWriter | None = None


@contextmanager
def kept(config: AgentConfig) -> Iterator[None]:
    """Keep the log of an agent while the block runs; what ends it by a failure is the last line."""
    wanted = config.resources
    logs.set_up(
        level=wanted.log_level,
        node=config.system.node_name,
        levels=wanted.monitoring.logs.levels,
    )
    _Keeping.active = True
    follow(config)
    try:
        yield
    except Exception as exc:
        logs.get("agent").error("the agent ends by a failure", exc_info=exc)
        raise
    finally:
        _Keeping.active = False
        writer, _Keeping.writer = _Keeping.writer, None
        if writer is not None:
            writer.close()
        logs.book().standard_error = "as it is now"


def follow(config: AgentConfig) -> None:
    """Take what the configuration says now; outside of `kept` only the levels."""
    wanted = config.resources.monitoring.logs
    logs.configure(config.resources.log_level, wanted.levels)
    if not _Keeping.active:
        return
    book = logs.book()
    limits = Limits(
        file_bytes_max=wanted.file_bytes_max,
        files_kept=wanted.files_kept,
        days_kept=wanted.days_kept,
        compress=wanted.compress,
    )
    if not wanted.file:
        book.file = None
    elif _Keeping.writer is None:
        directory = Path(config.resources.paths.logs)
        _Keeping.writer = LogWriter(book, directory, limits=limits)
        _Keeping.writer.start()
    else:
        book.file = _Keeping.writer.put
        _Keeping.writer.follow(limits)
    only_file = wanted.file and wanted.standard_error == "without-file"
    book.standard_error = None if only_file else "as it is now"
