"""Writes to a cluster while something is done to it; how long each node was away meanwhile.

`traffic_on_host.py` does it, on every host through its own agent. All hosts are containers of one
kernel, so the times that they note are of one clock.
"""

from __future__ import annotations

import itertools
import json
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bzzz_core.config.sections.network import Ports
from tests.testbed.bundles import Operator
from tests.testbed.state import Host

SCRIPT = Path(__file__).with_name("traffic_on_host.py")
UNIT = "traffic"
PLACE = "/var/tmp/traffic"  # noqa: S108  on a host of ours
Away = tuple[str, float, float]
"""A host and from when to when it was away, at most: between two looks that found it there."""


@dataclass(slots=True)
class Traffic:
    """What the hosts noted, in order of time; complete once the traffic has ended."""

    lines: list[dict[str, Any]] = field(default_factory=list)

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the lines of some kinds."""
        return [line for line in self.lines if line["kind"] in kinds]

    @property
    def acknowledged(self) -> list[str]:
        """Return the keys of the writes that were answered with success."""
        return [line["key"] for line in self.of("written")]

    @property
    def longest_silence_s(self) -> float:
        """Return how long no host got a write acknowledged, at most."""
        times = [float(line["at"]) for line in self.of("written")]
        return max(after - before for before, after in itertools.pairwise(times))

    def absences(self) -> list[Away]:
        """Return when which node was away: its broker or its agent gave no answer."""
        return [away for name in self._hosts for away in self._absences(name)]

    @property
    def _hosts(self) -> list[str]:
        return sorted({line["host"] for line in self.lines})

    def _absences(self, name: str) -> Iterator[Away]:
        since = None
        for line in self.of("seen"):
            if line["host"] != name:
                continue
            if line["away"] and since is None:
                since = line["begun"]
            if not line["away"] and since is not None:
                yield name, since, line["begun"]
                since = None
        if since is not None:
            yield name, since, float("inf")


def together(absences: Sequence[Away]) -> list[tuple[Away, Away]]:
    """Return every two hosts that were away at the same time."""
    return [
        (one, other)
        for one, other in itertools.combinations(absences, 2)
        if one[0] != other[0] and max(one[1], other[1]) < min(one[2], other[2])
    ]


@contextmanager
def traffic(operator: Operator) -> Iterator[Traffic]:
    """Let every host write, read and look while the block runs; then tell what they noted."""
    hosts, noted = operator.bed.hosts(), Traffic()
    for host in hosts:
        _feed(operator, host, f"mkdir -p {PLACE} && cat >{PLACE}/traffic.py", SCRIPT.read_bytes())
        options = f"--unit={UNIT} --collect --property=StandardOutput=append:{PLACE}/noted"
        operator.on(host.name, f"rm -f {PLACE}/noted; systemd-run {options} {_command(host)} run")
    yield noted
    for host in hosts:
        written = operator.on(host.name, f"systemctl stop {UNIT}; cat {PLACE}/noted")
        noted.lines += [json.loads(line) for line in written.splitlines()]
    noted.lines.sort(key=lambda line: float(line["at"]))


def missing(operator: Operator, keys: Sequence[str]) -> dict[str, list[str]]:
    """Ask every host for every key, and return by host what it does not find."""
    content = "\n".join(keys).encode()

    def ask(host: Host) -> tuple[str, list[str]]:
        return host.name, json.loads(_feed(operator, host, f"{_command(host)} check", content))

    with ThreadPoolExecutor() as pool:
        return dict(pool.map(ask, operator.bed.hosts()))


def _command(host: Host) -> str:
    return f"/usr/bin/python3 {PLACE}/traffic.py {host.name} {host.address} {Ports().api}"


def _feed(operator: Operator, host: Host, script: str, content: bytes) -> bytes:
    command = operator.bed.ssh_command(host, f"sudo -n sh -c {shlex.quote(script)}")
    done = subprocess.run(command, check=True, input=content, capture_output=True, timeout=300)
    return done.stdout
