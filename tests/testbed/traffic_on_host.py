"""Runs on a host: writes, reads back, and looks whether the node is there; needs no release.

    traffic_on_host.py NAME ADDRESS API_PORT run     until it is ended; prints a line for each thing
    traffic_on_host.py NAME ADDRESS API_PORT check   keys on standard input; prints those not found

A value is written through the host's own agent to the hash table, a JetStream publish that a
majority of three replicas has to take. What was answered with success is acknowledged.
"""

from __future__ import annotations

import base64
import json
import socket
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

TOKEN = Path("/etc/bzzz/secrets/api-token")
BROKER_PORT = 4222
WRITE_MS_MAX = 3_000
WRITE_PAUSE_S = 0.1
READ_PAUSE_S = 0.1
LOOK_PAUSE_S = 0.1
AFTER_REFUSAL_S = 0.2
ANSWER_S_MAX = 5
MISSING_STATUS = 404
TOO_MANY_STATUS = 429


class Traffic:
    """Everything that one host does and sees."""

    def __init__(self, name: str, address: str, port: int) -> None:
        """Ask nobody yet."""
        self._name = name
        self._address = address
        self._place = f"http://127.0.0.1:{port}"
        self._token = TOKEN.read_text().strip()
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._acknowledged: list[str] = []
        self._said = threading.Lock()

    def run(self) -> None:
        """Do all of it at once, for ever."""
        doing = (self._write, self._read, self._look)
        threads = [threading.Thread(target=_for_ever, args=(one,)) for one in doing]
        for thread in threads:
            thread.start()

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Return those of the keys under which this node does not find what was written."""
        return [key for key in keys if not self._patiently(key)]

    def _write(self) -> None:
        key = f"{self._name}-{time.time_ns()}"
        body = {"key": key, "value": _value(key), "timeout_ms": WRITE_MS_MAX}
        try:
            self._ask("PUT", "/v1/dht/value", body)
        except OSError as exc:
            self._say("refused", key=key, why=repr(exc)[:120])
            time.sleep(AFTER_REFUSAL_S)
            return
        self._acknowledged.append(key)
        self._say("written", key=key)
        time.sleep(WRITE_PAUSE_S)

    def _read(self) -> None:
        time.sleep(READ_PAUSE_S)
        if not self._acknowledged:
            return
        key = self._acknowledged[time.time_ns() % len(self._acknowledged)]
        try:
            self._say("read" if self._holds(key) else "lost", key=key)
        except OSError as exc:
            self._say("unread", key=key, why=repr(exc)[:120])

    def _look(self) -> None:
        begun = time.time()
        self._say("seen", begun=begun, away=self._away())
        time.sleep(LOOK_PAUSE_S)

    def _away(self) -> str:
        """Return which part of the node does not answer; empty: it is there."""
        try:
            socket.create_connection((self._address, BROKER_PORT), ANSWER_S_MAX).close()
        except OSError:
            return "broker"
        try:
            self._ask("GET", "/v1/status")
        except OSError:
            return "agent"
        return ""

    def _patiently(self, key: str) -> bool:
        """Do as `_holds`, and wait where the node has had enough questions for now."""
        while True:
            try:
                return self._holds(key)
            except urllib.error.HTTPError as exc:
                if exc.code != TOO_MANY_STATUS:
                    raise
                time.sleep(float(exc.headers.get("Retry-After", "1")))

    def _holds(self, key: str) -> bool:
        """Return whether the value is there as it was written.

        Raises:
            OSError: The node cannot say.
        """
        try:
            answer = self._ask("GET", f"/v1/dht/value?key={urllib.parse.quote(key)}")
        except urllib.error.HTTPError as exc:
            if exc.code == MISSING_STATUS:
                return False
            raise
        return bool(answer["value"] == _value(key))

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._place + path, data, method=method)  # noqa: S310
        request.add_header("Authorization", f"Bearer {self._token}")
        request.add_header("Content-Type", "application/json")
        with self._opener.open(request, timeout=ANSWER_S_MAX) as answer:
            return json.loads(answer.read() or b"null")

    def _say(self, kind: str, **what: Any) -> None:
        line = json.dumps({"kind": kind, "host": self._name, "at": time.time(), **what})
        with self._said:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()


def _for_ever(act: Callable[[], None]) -> None:
    while True:
        act()


def _value(key: str) -> str:
    return base64.b64encode(f"what was written as {key}".encode()).decode()


def main(words: list[str]) -> None:
    """Do what the command line says."""
    name, address, port, mode = words
    traffic = Traffic(name, address, int(port))
    if mode == "run":
        traffic.run()
    else:
        sys.stdout.write(json.dumps(traffic.missing(line.strip() for line in sys.stdin)))


if __name__ == "__main__":
    main(sys.argv[1:])
