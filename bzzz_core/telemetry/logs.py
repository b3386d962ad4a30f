"""The way into the log: `logs.get("component").info("what happened", field=value)`.

What is logged here, by libraries with Python's `logging`, and as a warning of Python ends in one
`LogBook`, each line under the name of its component. Nothing that is logged may hold a secret:
values of type `Secret` print as stars, and whoever logs bytes from the network logs their length
instead; `redaction` is the net below.

A line below its component's level costs less than a microsecond or two: nothing of it is made.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, cast

import structlog

from bzzz_core.telemetry import components
from bzzz_core.telemetry.log_book import LogBook
from bzzz_core.telemetry.log_levels import parse
from bzzz_core.telemetry.log_line import LEVELS, LogLevel

_book: Final = LogBook()
"""A process has one standard error, one `logging`, one set of warnings; so it has one log."""
_EXCEPTION: Final = "exc_info"
_DEBUG, _INFO, _WARNING = LEVELS["debug"], LEVELS["info"], LEVELS["warning"]


def book() -> LogBook:
    """Return the log of this process."""
    return _book


def set_up(*, level: str, node: str, levels: tuple[str, ...] = ()) -> None:
    """Let everything that is logged in this process end in its book; lines carry the node's name.

    Args:
        level: The lowest that is written down.
        node: Who we are.
        levels: What holds for single components, as `resources.monitoring.logs.levels` says it.
    """
    _book.node = node
    configure(level, levels)
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, _FromLibraries)]:
        root.removeHandler(handler)
    root.addHandler(_FromLibraries())
    quiet = logging.getLogger("asyncio")
    quiet.filters[:] = [_is_no_end_of_a_connection]
    logging.captureWarnings(capture=True)
    threading.excepthook = _on_thread_failure
    sys.unraisablehook = _on_unraisable


def configure(level: str, levels: tuple[str, ...] = ()) -> None:
    """Follow the configuration: what is at least of this level is written down from now on."""
    _book.levels.configure(level, parse(levels))
    levels_changed()


def levels_changed() -> None:
    """Let libraries make the records that somebody wants, and no others."""
    logging.getLogger().setLevel(_book.levels.libraries_floor)


def get(component: str) -> Any:
    """Return the logger of one component, one of `components.OWN`.

    It is made at once: structlog's own proxy would cost more for each line that is not written than
    all the rest.
    """
    return _Logger(_Nowhere(), (_into_the_book,), {"component": component})


class _Logger(structlog.BoundLoggerBase):
    """What `get` returns: it asks for the level first, and does nothing more if that is too low."""

    def debug(self, event: str, **fields: object) -> None:
        if _book.levels.floor(self._context["component"]) <= _DEBUG:
            self._proxy_to_logger("debug", event, **fields)

    def info(self, event: str, **fields: object) -> None:
        if _book.levels.floor(self._context["component"]) <= _INFO:
            self._proxy_to_logger("info", event, **fields)

    def warning(self, event: str, **fields: object) -> None:
        if _book.levels.floor(self._context["component"]) <= _WARNING:
            self._proxy_to_logger("warning", event, **fields)

    def error(self, event: str, **fields: object) -> None:
        self._proxy_to_logger("error", event, **fields)

    def exception(self, event: str, **fields: object) -> None:
        """Log an error with the exception that is being handled."""
        self._proxy_to_logger("error", event, **{_EXCEPTION: True, **fields})


class _Nowhere:
    """Ends structlog's way: the book has the line already."""

    def __init__(self, *_arguments: object) -> None: ...

    def debug(self) -> None: ...

    info = warning = error = debug


def _into_the_book(_logger: Any, method: str, event: Any) -> Any:
    fields: dict[str, Any] = dict(event)
    text = str(fields.pop("event", ""))
    component = str(fields.pop("component", "python"))
    exception = _exception_of(fields.pop(_EXCEPTION, None))
    _book.take(cast("LogLevel", method), component, text, fields, exception)
    return ((), {})


def _exception_of(given: object) -> BaseException | None:
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple) and len(given) == 3:  # noqa: PLR2004  as sys.exc_info
        return given[1] if isinstance(given[1], BaseException) else None
    return sys.exc_info()[1] if given else None


class _FromLibraries(logging.Handler):
    """Takes what libraries log, and Python's warnings."""

    def emit(self, record: logging.LogRecord) -> None:
        component = components.of_logger(record.name)
        if record.levelno < _book.levels.floor(component):
            return
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError):
            text = str(record.msg)  # Its arguments do not fit to it.
        fields: Mapping[str, object] = {} if record.name == component else {"logger": record.name}
        _book.take(_level_of(record), component, text, fields, _exception_of(record.exc_info))


def _level_of(record: logging.LogRecord) -> LogLevel:
    if record.levelno >= logging.ERROR:
        return "error"
    if record.levelno >= logging.WARNING:
        return "warning"
    return "info" if record.levelno >= logging.INFO else "debug"


def _is_no_end_of_a_connection(record: logging.LogRecord) -> bool:
    """Tell asyncio's reports of connections that a peer ended, which are no events of ours."""
    failure = _exception_of(record.exc_info)
    return not isinstance(failure, OSError) and "eof_received" not in str(record.msg)


def _on_thread_failure(arguments: threading.ExceptHookArgs) -> None:
    name = arguments.thread.name if arguments.thread else ""
    _book.take("error", "python", "a thread failed", {"thread": name}, arguments.exc_value)


def _on_unraisable(found: sys.UnraisableHookArgs) -> None:
    text = str(found.err_msg or "an exception was ignored")
    _book.take("error", "python", text, {}, found.exc_value)


def on_crash(kind: type[BaseException], exc: BaseException, _trace: TracebackType | None) -> None:
    """Write down what ends the process; for `sys.excepthook`."""
    _book.take("error", "python", "the process ends by a failure", {"kind": kind.__name__}, exc)
    sys.__excepthook__(kind, exc, exc.__traceback__)
