"""The file in which nats-server logs: whether it can, and what it said last."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bzzz_core.config.schema import AgentConfig
from bzzz_core.errors import BrokerHindered

_TAIL_BYTES: Final = 2_000


def log_of(config: AgentConfig) -> Path:
    """Return where a node's broker logs."""
    return Path(config.resources.paths.logs) / "nats.log"


def try_log(log: Path) -> None:
    """Refuse a start that nats-server would end at once, for the sake of its log.

    Raises:
        BrokerHindered: What lies in the log's place cannot be written to.
    """
    if not log.exists():
        return
    try:
        with log.open("ab"):
            pass
    except OSError as exc:
        raise BrokerHindered(
            f"the broker's log {log} cannot be written to ({exc.strerror}): give it to the user"
            " that runs the broker, or move it away"
        ) from exc


def last_words(log: Path) -> str:
    """Return the end of the log, for a message of failure."""
    if not log.exists():
        return "it wrote no log"
    return log.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace")
