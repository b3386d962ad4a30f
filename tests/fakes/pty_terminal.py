"""A terminal that nobody draws: what the program sends to it, and what that costs."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time

from tests.fakes import processes


class PtyTerminal:
    """A pseudo-terminal with `bzzz-tui` in it; its output is kept and not drawn."""

    def __init__(self, *arguments: str, size: tuple[int, int] = (80, 24), **env: str) -> None:
        """Start the program."""
        self.output = bytearray()
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        cleared = {
            key: value
            for key, value in os.environ.items()
            if key not in {"NO_COLOR", "COLORTERM", "SSH_CONNECTION"}
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bzzz_tui.cli", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**cleared, "LANG": "C.UTF-8", **env},
            start_new_session=True,
        )
        os.close(slave)

    def read(self, seconds: float) -> bytes:
        """Return what is sent within a time."""
        begin = len(self.output)
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            if not select.select([self.master], [], [], left_s)[0]:
                break
            try:
                self.output += os.read(self.master, 65_536)
            except OSError:
                break
        return bytes(self.output[begin:])

    def until(self, words: bytes, seconds: float = 30) -> None:
        """Read until something was sent."""
        end_s = time.monotonic() + seconds
        while words not in self.output:
            assert time.monotonic() < end_s, f"never sent {words!r}: {bytes(self.output[-500:])!r}"
            self.read(0.1)

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self.master, keys)

    def cpu_ms(self) -> float:
        """Return the CPU time the program used so far."""
        return processes.cpu_ms(self.process.pid)

    def vanish(self) -> None:
        """Be gone, without a word to the program."""
        os.close(self.master)
        self.master = -1

    def close(self) -> None:
        """End the program."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if self.master >= 0:
            os.close(self.master)
