"""Text for a reader who may be slow, stand still, or be gone; whoever prints never waits for them.

A reader that stands still (`less`, Ctrl-S, a log that is held) would hold up the event loop, and
with it leases, proofs and signals. So a thread writes, straight to the descriptor: the interpreter
waits in the end for the locks of its own buffers, and must not find them with a thread that waits
for a reader.

    a reader that has gone                      is printed to no more
    a place without room, a full disk           is tried again with the next text, and at the end
    a descriptor that does not wait (another    the thread waits instead
      program on it may have made it so)

What has no descriptor, a text in memory, is written at once; so is what no thread can be had for.
"""

from __future__ import annotations

import codecs
import os
import select
import threading
import time
from collections import deque
from contextlib import suppress
from queue import SimpleQueue
from typing import Final, TextIO

_NOT_YET_S: Final = 0.02
"""Before the next attempt where there is room, and too little: a terminal takes line ends whole."""


class Output:
    """One place to print. Its texts come out in their order; those of one thread are whole."""

    def __init__(self, out: TextIO | None) -> None:
        """Take where to print; None: nowhere."""
        self._out = out
        encoding = getattr(out, "encoding", None) or "utf-8"
        self._encoder = codecs.getincrementalencoder(encoding)("backslashreplace")
        self._texts: SimpleQueue[bytes | _Mark] = SimpleQueue()
        self._writing = False
        """Whether there is a thread."""
        self._given = 0
        self._taken = 0
        """Texts that need no more writing; counted by the thread alone."""

    @property
    def waiting(self) -> int:
        """Return how many texts are not written yet."""
        return self._given - self._taken

    def put(self, text: str) -> None:
        """Have a text written."""
        out = self._out
        if out is None:
            return
        if not self._writing:
            descriptor = _descriptor(out)
            if descriptor is None:
                self._put_at_once(out, text)
                return
            thread = threading.Thread(
                target=self._write_all, args=(descriptor,), name="output", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:  # the machine has none left
                os.close(descriptor)
                self._put_at_once(out, text)
                return
            self._writing = True
        self._given += 1
        self._texts.put(self._encoder.encode(text))

    def settle(self, limit_s: float | None = None) -> bool:
        """Wait until all is written, or cannot be.

        Args:
            limit_s: How long at most; None: as long as the reader takes.

        Returns:
            Whether it came so far in that time.
        """
        return self._reached(_Mark(last=False), limit_s) if self._writing else True

    def end(self, limit_s: float | None) -> bool:
        """Let all be written, and the thread end; what is not written then never is.

        Args:
            limit_s: As `settle` has it.

        Returns:
            Whether the thread came to its end in that time.
        """
        if not self._writing:
            return True
        self._writing = ended = False
        try:
            ended = self._reached(_Mark(last=True), limit_s)
        finally:  # who waits may be interrupted
            if not ended:
                self._out = None
        return ended

    def _reached(self, mark: _Mark, limit_s: float | None) -> bool:
        self._texts.put(mark)
        return mark.reached.wait(limit_s)

    def _put_at_once(self, out: TextIO, text: str) -> None:
        encoding = out.encoding or "utf-8"
        try:
            out.write(text.encode(encoding, "backslashreplace").decode(encoding))
            out.flush()
        except (OSError, ValueError):  # it is closed
            self._out = None

    def _write_all(self, descriptor: int) -> None:
        """Write what comes; the thread's whole life."""
        unwritten: deque[bytes] = deque()
        try:
            while True:
                item = self._texts.get()
                if isinstance(item, bytes):
                    unwritten.append(item)
                self._write(descriptor, unwritten)
                if isinstance(item, _Mark):
                    item.reached.set()
                    if item.last:
                        return
        finally:
            os.close(descriptor)

    def _write(self, descriptor: int, unwritten: deque[bytes]) -> None:
        """Write texts, until there are none or there is no room."""
        room = select.poll()
        room.register(descriptor, select.POLLOUT)
        while unwritten and self._out is not None:
            try:
                room.poll()
                count = os.write(descriptor, unwritten[0])
            except BlockingIOError:
                time.sleep(_NOT_YET_S)
            except BrokenPipeError:
                self._out = None
            except OSError:
                return
            else:
                unwritten[0] = unwritten[0][count:]
                if not unwritten[0]:
                    unwritten.popleft()
                    self._taken += 1
        self._taken += len(unwritten)  # nobody reads: they need not be
        unwritten.clear()


class _Mark:
    """Stands between texts; who waits for it knows that those before it are through."""

    def __init__(self, *, last: bool) -> None:
        self.last = last
        self.reached = threading.Event()


def _descriptor(out: TextIO) -> int | None:
    """Return a descriptor of our own for it; None: it has none, or is closed."""
    with suppress(OSError, ValueError):
        out.flush()
        return os.dup(out.fileno())
    return None
