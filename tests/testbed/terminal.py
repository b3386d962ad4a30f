"""A real terminal for the program, driven as a person does: keys in, a screen of text out.

tmux is the terminal; each one has a server of its own, so that nobody else's sessions are touched.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
LOOK_S = 0.2
ANSWER_S = 30


class Terminal:
    """One terminal of a given size in which the program runs."""

    def __init__(
        self, words: list[str], *, columns: int, rows: int, env: Mapping[str, str]
    ) -> None:
        """Take the program's words, the size, and what its environment has besides."""
        self._socket = Path(tempfile.mkdtemp(prefix="bzzz-tmux-")) / "socket"
        self._size = ("-x", str(columns), "-y", str(rows))
        own = {"XDG_CACHE_HOME", "PYTHONPATH", "PATH", "HOME"} & set(os.environ)
        variables = {name: os.environ[name] for name in own} | {
            "PYTHONPATH": str(ROOT),
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            **env,
        }
        pairs = [f"{name}={value}" for name, value in variables.items()]
        program = [sys.executable, "-m", "bzzz_tui.cli", *words]
        self._command = shlex.join(["env", "-i", *pairs, *program])

    def __enter__(self) -> Self:
        """Start the program."""
        self._tmux("new-session", "-d", *self._size, "-s", "t", f"{self._command}; sleep 600")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it, and the terminal."""
        self._tmux("kill-server")
        self._socket.unlink(missing_ok=True)
        self._socket.parent.rmdir()

    def screen(self) -> str:
        """Return what stands on the screen."""
        return self._tmux("capture-pane", "-p", "-t", "t")

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names: Enter, Escape, Tab, C-n, or a character."""
        for key in keys:
            self._tmux("send-keys", "-t", "t", key)
            time.sleep(0.05)  # A person's fingers are slower still.

    def type(self, text: str) -> None:
        """Type a text."""
        self._tmux("send-keys", "-t", "t", "-l", text)
        time.sleep(0.1)

    def see(self, *words: str, within_s: float = ANSWER_S) -> str:
        """Wait until one of the words stands on the screen; return the screen."""
        until = time.monotonic() + within_s
        while True:
            screen = self.screen()
            if any(word in screen for word in words):
                return screen
            if time.monotonic() > until:
                raise AssertionError(f"{' or '.join(words)} did not appear:\n{screen}")
            time.sleep(LOOK_S)

    def kill(self) -> None:
        """End the program as a crash does: it learns nothing of it."""
        shell = self._tmux("list-panes", "-t", "t", "-F", "#{pane_pid}").strip()
        children = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        assert children, "the program does not run"
        os.kill(int(children[0]), signal.SIGKILL)

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", str(self._socket), "-f", "/dev/null", *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=20,
        )
        return done.stdout
