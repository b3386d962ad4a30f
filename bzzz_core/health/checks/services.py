"""Foreign services that this node was told to use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from bzzz_core.clock import SystemClock
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.secrets import resolve
from bzzz_core.health.check import Check, Finding, ok, warning
from bzzz_core.health.own_thread import OwnThread
from bzzz_core.integrations.ai_endpoint import TIMEOUT_S, EndpointReport, examine

_RARELY_MS: Final = 600_000
_TIMEOUT_MS: Final = int(3 * TIMEOUT_S * 1000)
"""It is asked two questions, and its key may come from a vault."""


def ai_endpoint(config: Callable[[], AgentConfig]) -> Check:
    """Return the check of the AI endpoint: which models it has, which costs nothing to ask."""
    # Making an HTTP client reads all authorities of the machine, tens of milliseconds.
    thread = OwnThread("check-ai-endpoint")

    async def look() -> Finding:
        return judge(await thread.do(partial(_examine, config())))

    return Check(
        name="ai-endpoint",
        look=look,
        interval_ms=_RARELY_MS,
        timeout_ms=_TIMEOUT_MS,
        failures=1,
    )


def judge(report: EndpointReport) -> Finding:
    """Judge an endpoint; the cluster works without it, so it is never critical."""
    return ok(report.words) if report.works else warning(report.words)


def _examine(config: AgentConfig) -> EndpointReport:
    fetch = partial(resolve, vault=Path(config.security.directory))
    return asyncio.run(examine(config.ai.endpoint, clock=SystemClock(), fetch_secret=fetch))
