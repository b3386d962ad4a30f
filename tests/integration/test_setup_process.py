"""Setup as a process: how it ends by signals, and when nobody reads what it prints."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
_THREE_SIGNALS = """
import asyncio, os, signal, sys
from bzzz_core.deploy.interrupt import interruptible
from bzzz_core.deploy.report import Report
from bzzz_core.deploy.steering import Steering

report = Report(sys.stdout, as_json=True)

async def stubborn():
    with interruptible(Steering(), lambda _: None, report.cut_off):
        while True:
            os.kill(os.getpid(), signal.SIGTERM)
            try:
                await asyncio.sleep(0.1)
            except asyncio.CancelledError:
                continue

report.framed(lambda: asyncio.run(stubborn()))
"""


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Yield what takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


def start(*words: str, home: Path, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
    environment = {**os.environ, "XDG_CONFIG_HOME": str(home), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *words],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    )


def check(home: Path, port: int, **how: Any) -> subprocess.Popen[str]:
    answers = home / "answers.yaml"
    answers.write_text(f"hosts: [{{name: a, address: 127.0.0.1, port: {port}}}]\n")
    setup = ("-m", "bzzz_tui.cli", "setup", "--answers", str(answers), "--check", "--json")
    return start(*setup, home=home, **how)


def test_a_look_that_is_ended_ends_with_a_summary(tmp_path: Path, silent: socket.socket) -> None:
    process = check(tmp_path, silent.getsockname()[1])
    with silent.accept()[0]:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    summary = json.loads(out.splitlines()[-1])
    assert (summary["event"], summary["exit_code"], process.returncode) == ("summary", 130, 130)


def test_the_third_signal_ends_at_once_and_still_with_a_summary(tmp_path: Path) -> None:
    process = start("-c", _THREE_SIGNALS, home=tmp_path)
    out, _ = process.communicate(timeout=60)
    (summary,) = map(json.loads, out.splitlines())
    assert (summary["event"], summary["exit_code"], process.returncode) == ("summary", 130, 130)


def test_a_process_whose_reader_has_gone_keeps_its_exit_code(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    process = check(tmp_path, 1, stdout=theirs)
    os.close(theirs)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (3, "")
