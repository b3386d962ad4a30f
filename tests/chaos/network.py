"""Machines that share a switch and nothing else: one Linux network namespace a node.

Each node has its own loopback, its own address on one bridge, and its own firewall, so a cut is a
real one: the packets are dropped in the node's own kernel path, while the node's traffic with
itself goes on, as behind an unplugged cable. The bridge is in a namespace too; nothing of this
touches the machine's own network, and deleting the namespaces leaves nothing behind.

`connect` opens a TCP connection inside a node's namespace from outside: an API that listens on
the node's loopback can be asked through every cut, as an operator at the console could.

Needs root, and `ip` and `iptables`.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

SYSTEM_PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_CHAIN: Final = "CHAOS"
_CLONE_NEWNET: Final = 0x4000_0000  # <linux/sched.h>
_SUBNET: Final = "10.231.17."
_SUBNET_IPV6: Final = "fd5b:7a7a:17::"
_LOSS: Final = "0.25"


def missing() -> str | None:
    """Return why namespaces cannot be made here, or None."""
    if os.geteuid() != 0:
        return "needs root to make network namespaces"
    programs = ("ip", "iptables", "ip6tables")
    absent = [name for name in programs if not shutil.which(name, path=SYSTEM_PATH)]
    return f"no {', '.join(absent)}; run scripts/bootstrap --testbed" if absent else None


class ChaosNetwork:
    """`count` namespaces on one bridge, as a context manager."""

    def __init__(self, count: int, *, ipv6: bool = False) -> None:
        """Make nothing yet; with `ipv6`, nobody has an IPv4 address but for its own loopback."""
        self._prefix = f"bz{os.getpid() % 100_000}"
        self._subnet = _SUBNET_IPV6 if ipv6 else _SUBNET
        self._filter = "ip6tables" if ipv6 else "iptables"
        self._address = "/64 dev eth0 nodad" if ipv6 else "/24 dev eth0"
        self.addresses: list[str] = [f"{self._subnet}{number + 1}" for number in range(count)]
        """Address of each node."""

    def __enter__(self) -> Self:
        """Make the namespaces and their links."""
        try:
            self._make()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the namespaces; whoever still runs inside keeps them until its end."""
        self._remove()

    def namespace(self, number: int) -> str:
        """Return the name of a node's namespace."""
        return f"{self._prefix}-{number + 1}"

    def inside(self, number: int, command: Sequence[str]) -> list[str]:
        """Return `command` as it has to be called to run in a node's namespace."""
        ip = shutil.which("ip", path=SYSTEM_PATH)
        assert ip is not None, "missing() was asked before"
        return [ip, "netns", "exec", self.namespace(number), *command]

    def connect(self, number: int, port: int, timeout_s: float) -> socket.socket:
        """Return a connection to a port of a node's own loopback.

        Raises:
            OSError: Nobody listens, or nobody answers in time.
        """
        with _entered(self.namespace(number)):
            plain = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        plain.settimeout(timeout_s)
        try:
            plain.connect(("127.0.0.1", port))
        except OSError:
            plain.close()
            raise
        return plain

    def drop_from(self, number: int, others: Iterable[int]) -> None:
        """Let node `number` hear nothing any more from `others`."""
        rules = [f"-s {self.addresses[other]} -j DROP" for other in others]
        self._add(number, rules)

    def lose_from(self, number: int, others: Iterable[int]) -> None:
        """Drop a part of what node `number` gets from `others`, at random."""
        loss = f"-m statistic --mode random --probability {_LOSS} -j DROP"
        self._add(number, [f"-s {self.addresses[other]} {loss}" for other in others])

    def heal(self, number: int) -> None:
        """Let node `number` hear everybody again."""
        self._shell(number, f"{self._filter} -w -F {_CHAIN}")

    def _add(self, number: int, rules: Iterable[str]) -> None:
        self._shell(number, "\n".join(f"{self._filter} -w -A {_CHAIN} {rule}" for rule in rules))

    def _make(self) -> None:
        switch = f"{self._prefix}-0"
        lines = [
            f"ip netns add {switch}",
            f"ip -n {switch} link add bridge0 type bridge",
            f"ip -n {switch} link set bridge0 up",
        ]
        for number, address in enumerate(self.addresses):
            name, port = self.namespace(number), f"port{number + 1}"
            lines += [
                f"ip netns add {name}",
                f"ip -n {name} link set lo up",
                f"ip -n {switch} link add {port} type veth peer name eth0 netns {name}",
                f"ip -n {switch} link set {port} master bridge0 up",
                f"ip -n {name} address add {address}{self._address}",
                f"ip -n {name} link set eth0 up",
                f"ip netns exec {name} {self._filter} -w -N {_CHAIN}",
                f"ip netns exec {name} {self._filter} -w -A INPUT -j {_CHAIN}",
            ]
        _run("set -e\n" + "\n".join(lines))

    def _remove(self) -> None:
        names = [f"{self._prefix}-{number}" for number in range(len(self.addresses) + 1)]
        present = [name for name in names if Path("/run/netns", name).exists()]
        _run("\n".join(f"ip netns del {name}" for name in present))

    def _shell(self, number: int, script: str) -> None:
        _run("set -e\n" + script, prefix=self.inside(number, ()))


def _run(script: str, prefix: Sequence[str] = ()) -> None:
    environment = {**os.environ, "PATH": SYSTEM_PATH}
    subprocess.run([*prefix, "sh", "-c", script], env=environment, check=True)


@contextmanager
def _entered(namespace: str) -> Iterator[None]:
    """Have this thread in a namespace while the block runs: a socket belongs where it is made."""
    setns = ctypes.CDLL(None, use_errno=True).setns
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if setns(there, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
        yield
    finally:
        setns(home, _CLONE_NEWNET)
        os.close(home)
        os.close(there)
