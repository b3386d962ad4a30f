"""Structured logs: one JSON object a line on standard error, where systemd or the demo keeps it.

Nothing that is logged may hold a secret: values of type `Secret` print as stars, and whoever logs
bytes from the network logs their length instead.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def set_up(*, level: str, node: str) -> None:
    """Configure structlog once per process; every line carries the node's name."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=_stars_or_text),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(node=node)
    # asyncio reports each TLS connection that a peer closes first; that is no event of ours.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    # Libraries speak only when something is wrong.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")


def get(component: str) -> Any:
    """Return the logger of one component."""
    return structlog.get_logger(component=component)


def _stars_or_text(value: object) -> str:
    return str(value)
