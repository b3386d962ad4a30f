"""Whatever is logged in an agent's process, by whomever, ends as a line of the same form."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

CANARY = "canary-8d1e-sings-loudly"
BEGIN = """
import sys, logging, warnings, threading, asyncio, gc
from bzzz_core.telemetry import logs, tracing
logs.set_up(level="info", node="here", levels=("dht=debug", "growth=error"))
"""


def said(program: str) -> list[dict[str, Any]]:
    """Return the lines on standard error of a process; a log is one a process."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + program],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_components_libraries_warnings_threads_and_what_nobody_caught() -> None:
    lines = said("""
logs.get("fabric").info("attached", peer="b", rtt_ms=1.5, node="named like ours")
logs.get("fabric").debug("not wanted")
logs.get("dht").debug("wanted")
logs.get("growth").warning("not wanted")
logging.getLogger("uvicorn.error").warning("odd %s", "request")
logging.getLogger("uvicorn.error").info("chatter")
logging.getLogger("nats.aio.client").error("lost")
warnings.warn("a deprecated way")
logging.getLogger("uvicorn").warning("its arguments do not fit %d", "x")
thread = threading.Thread(target=lambda: 1 / 0, name="worker")
thread.start(); thread.join()
class Bad:
    def __del__(self): raise ValueError("in del")
Bad(); gc.collect()
with tracing.request(trace="4bf92f3577b34da6a3ce929d0e0e4736"):
    logs.get("api").warning("slow")
""")
    shown = [(line["component"], line["level"], line["event"].split("\\x0a")[0]) for line in lines]
    assert shown == [
        ("fabric", "info", "attached"),
        ("dht", "debug", "wanted"),
        ("uvicorn", "warning", "odd request"),
        ("nats", "error", "lost"),
        ("python", "warning", "<string>:13: UserWarning: a deprecated way"),
        ("uvicorn", "warning", "its arguments do not fit %d"),
        ("python", "error", "a thread failed"),
        ("python", "error", "an exception was ignored"),
        ("api", "warning", "slow"),
    ]
    assert lines[0]["rtt_ms"] == 1.5, "numbers stay numbers"
    assert (lines[0]["node"], lines[0]["field_node"]) == ("here", "named like ours")
    assert lines[-1]["trace"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert "ZeroDivisionError" in lines[6]["exception"]


def test_ends_of_connections_are_no_events_but_failures_of_tasks_are() -> None:
    lines = said("""
import ssl
quiet = logging.getLogger("asyncio")
quiet.error("Fatal error on SSL protocol", exc_info=ssl.SSLError("eof"))
quiet.error("Fatal write error", exc_info=ConnectionResetError("gone"))
quiet.warning("returning true from eof_received() has no effect when using ssl")
async def fail(): raise KeyError("lost")
async def main():
    task = asyncio.get_running_loop().create_task(fail())
    await asyncio.sleep(0); await asyncio.sleep(0)
    del task; gc.collect()
asyncio.run(main())
""")
    assert [line["event"].split("\\x0a")[0] for line in lines] == [
        "Task exception was never retrieved"
    ]


def test_a_canary_is_in_no_line_whichever_way_it_comes() -> None:
    lines = said(f"""
from bzzz_core.config.secrets import Secret
secret = Secret({CANARY!r})
log = logs.get("agent")
log.info("starts with " + secret.reveal(), token=secret, plain=secret.reveal())
log.info("nested", value={{"token": secret.reveal(), "secret": secret}})
def connect(password):
    raise RuntimeError("cannot log in with " + password)
try:
    connect(secret.reveal())
except RuntimeError:
    log.exception("failed")
logging.getLogger("httpx").warning("GET /?key=%s", secret.reveal())
warnings.warn("key " + secret.reveal())
""")
    assert len(lines) == 5
    assert CANARY not in json.dumps(lines)
    assert lines[0]["event"] == "starts with ***"
    assert lines[2]["exception"].endswith("RuntimeError: cannot log in with ***")
    assert not re.search(r"password *=", lines[2]["exception"]), "no variables, but lines of source"


def test_levels_of_libraries_can_be_asked_for_by_name() -> None:
    lines = said("""
from bzzz_core.telemetry.log_levels import Wish
logging.getLogger("asyncio").debug("too much")
logs.book().levels.wish("asyncio", Wish("debug", None))
logs.levels_changed()
logging.getLogger("asyncio").debug("asked for")
logging.getLogger("nats").debug("still too much")
""")
    assert [line["event"] for line in lines] == ["asked for"]


def test_a_standard_error_that_nobody_reads_fails_nobody() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            BEGIN
            + "import os\nos.close(2)\nlogs.get('agent').info('words')\n"
            + "sys.stderr = None\nlogs.get('agent').info('words')\nprint('goes on')",
        ],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "goes on\n"
